//! What short samples tell of the units of work, so that a long timeline opens as fast as a short one.

use super::source::Source;
use std::collections::HashSet;

/// Samples of a timeline.
const SAMPLES: u64 = 12;
/// Longest sample, ns.
const SAMPLE_NS_MAX: u64 = 100_000_000;

/// What the samples told.
#[derive(Clone, Debug, Default)]
pub struct UnitSample {
    /// Groups whose threads do units.
    pub groups: HashSet<u32>,
    /// Units per ns.
    pub per_ns: f64,
}

impl UnitSample {
    /// Takes the samples. Where the timeline is damaged, they tell nothing: the damage shows where it is drawn.
    pub fn of(source: &Source) -> UnitSample {
        let step_ns = source.total_ns() / SAMPLES;
        let sample_ns = step_ns.clamp(1, SAMPLE_NS_MAX);
        let from_ns = source.query.info().from_ns;
        let starts = (0..SAMPLES).map(|number| from_ns.saturating_add(number * step_ns));
        let units: Vec<_> = starts
            .flat_map(|start_ns| {
                source
                    .query
                    .units(start_ns, start_ns.saturating_add(sample_ns))
                    .unwrap_or_default()
            })
            .collect();
        let groups = units
            .iter()
            .filter_map(|unit| source.track(unit.track)?.group)
            .collect();
        UnitSample {
            groups,
            per_ns: units.len() as f64 / (SAMPLES * sample_ns) as f64,
        }
    }
}
