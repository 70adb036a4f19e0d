//! Units of work: how long they take, and what they are doing meanwhile.

use std::{collections::BTreeMap, ops::RangeInclusive};

use plumb_trace::{
    State, StateTotals,
    timeline::{Query, StringId, TimelineError, Unit},
};

use crate::{Window, sweep};

/// All units of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitReport {
    /// Name.
    pub name: String,
    /// How many ended in the window and were seen from begin to end: the rest is about these.
    pub count: u64,
    /// How many of them were left by an exception.
    pub thrown: u64,
    /// How many overlap the window but were not seen whole, or end after it.
    pub incomplete: u64,
    /// How long they took.
    pub latency: Latency,
    /// What they did.
    pub anatomy: Anatomy,
}

/// Percentiles of latency, ns: the smallest that this share of the units does not exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

/// Mean ns by state of the units of a band of latencies. A band's states sum to its mean latency, but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// Of the typical ones: latencies from the 45th to the 55th percentile.
    pub p50: StateTotals,
    /// Of the slow ones: the 99th percentile and above.
    pub p99: StateTotals,
}

/// Reports on the units of a window, by name.
pub(crate) fn units(query: &dyn Query, window: Window) -> Result<Vec<UnitReport>, TimelineError> {
    let mut kinds: BTreeMap<StringId, Kind> = BTreeMap::new();
    sweep::each_unit(query, window, |unit| {
        kinds.entry(unit.name).or_default().count(unit, window);
        Ok(())
    })?;
    kinds.values_mut().for_each(Kind::find_bands);
    let is_told = |unit: &Unit| {
        kinds
            .get(&unit.name)
            .is_some_and(|kind| kind.is_in_a_band(unit, window))
    };
    // What a unit did before the window belongs to its latency.
    let always = Window {
        from_ns: 0,
        to_ns: u64::MAX,
    };
    let mut bands: BTreeMap<StringId, [Band; 2]> = BTreeMap::new();
    sweep::each_unit_totals(query, window, always, is_told, |unit, totals| {
        let Some(kind) = kinds.get(&unit.name) else { return };
        let [typical, slow] = bands.entry(unit.name).or_default();
        [(&kind.typical, typical), (&kind.slow, slow)]
            .into_iter()
            .for_each(|(range, band)| {
                if range.contains(&latency_ns(unit)) {
                    band.count += 1;
                    band.sum.merge(&totals.states);
                }
            });
    })?;
    let report =
        |(name, kind): (StringId, Kind)| kind.report(query.string(name), bands.remove(&name).unwrap_or_default());
    let mut reports: Vec<UnitReport> = kinds.into_iter().map(report).collect();
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(reports)
}

/// The units of one name.
struct Kind {
    /// Of those seen whole; sorted by [`Kind::find_bands`].
    latencies: Vec<u64>,
    thrown: u64,
    incomplete: u64,
    /// Latencies of the typical ones.
    typical: RangeInclusive<u64>,
    /// Latencies of the slow ones.
    slow: RangeInclusive<u64>,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            latencies: Vec::new(),
            thrown: 0,
            incomplete: 0,
            typical: 0..=0,
            slow: 0..=0,
        }
    }
}

impl Kind {
    fn count(&mut self, unit: &Unit, window: Window) {
        if counts(unit, window) {
            self.latencies.push(latency_ns(unit));
            self.thrown += u64::from(unit.thrown);
        } else {
            self.incomplete += 1;
        }
    }

    fn find_bands(&mut self) {
        self.latencies.sort_unstable();
        self.typical = percentile(&self.latencies, 0.45)..=percentile(&self.latencies, 0.55);
        self.slow = percentile(&self.latencies, 0.99)..=percentile(&self.latencies, 1.0);
    }

    fn is_in_a_band(&self, unit: &Unit, window: Window) -> bool {
        let latency_ns = latency_ns(unit);
        counts(unit, window) && (self.typical.contains(&latency_ns) || self.slow.contains(&latency_ns))
    }

    fn report(self, name: &str, [typical, slow]: [Band; 2]) -> UnitReport {
        let percentile = |share| percentile(&self.latencies, share);
        UnitReport {
            name: name.to_owned(),
            count: self.latencies.len() as u64,
            thrown: self.thrown,
            incomplete: self.incomplete,
            latency: Latency {
                p50: percentile(0.5),
                p90: percentile(0.9),
                p99: percentile(0.99),
                p999: percentile(0.999),
                max: percentile(1.0),
            },
            anatomy: Anatomy {
                p50: typical.mean(),
                p99: slow.mean(),
            },
        }
    }
}

/// What the units of a band did.
#[derive(Default)]
struct Band {
    count: u64,
    sum: StateTotals,
}

impl Band {
    fn mean(&self) -> StateTotals {
        let mut mean = StateTotals::default();
        for state in State::ALL {
            mean.add(state, self.sum.get(state) / self.count.max(1));
        }
        mean
    }
}

/// Whether a unit was seen whole and ended in the window.
fn counts(unit: &Unit, window: Window) -> bool {
    unit.complete && unit.end_ns <= window.to_ns
}

fn latency_ns(unit: &Unit) -> u64 {
    unit.end_ns.saturating_sub(unit.start_ns)
}

/// By nearest rank; 0 of nothing.
fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<u64> = (1..=1000).collect();
        let got = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| percentile(&sorted, share));
        assert_eq!(got, [500, 900, 990, 999, 1000]);
        assert_eq!((percentile(&[7], 0.5), percentile(&[], 0.5)), (7, 0));
    }

    #[test]
    fn slow_units_show_what_made_them_slow() {
        let mut fake = Fake::new(0, 1_000_000);
        let worker = fake.thread("java", "worker");
        let name = fake.text("request");
        // A hundred requests of 1000 ns; the last two of 5000, of which 4000 wait for a lock.
        let mut at = 0;
        for number in 0..100 {
            let end = at + 1_000;
            fake.running(worker, at, end, 0);
            let waited = if number >= 98 { 4_000 } else { 0 };
            if waited > 0 {
                fake.state(worker, end, end + waited, State::Monitor);
            }
            fake.unit(name, worker, at, end + waited);
            at = end + waited;
        }
        fake.state(worker, at, 1_000_000, State::Park);
        fake.units.push(Unit {
            complete: false,
            start_ns: at,
            end_ns: 1_000_000,
            ..fake.units[0]
        });

        let got = units(&fake, Window::of(&fake, None, None)).unwrap();
        let [report] = got.as_slice() else { panic!("one name") };
        assert_eq!(
            (report.name.as_str(), report.count, report.incomplete),
            ("request", 100, 1)
        );
        assert_eq!(
            (
                report.latency.p50,
                report.latency.p90,
                report.latency.p99,
                report.latency.max
            ),
            (1_000, 1_000, 5_000, 5_000)
        );
        assert_eq!(
            (report.anatomy.p50.get(State::Running), report.anatomy.p50.sum()),
            (1_000, 1_000)
        );
        assert_eq!(
            (report.anatomy.p99.get(State::Monitor), report.anatomy.p99.sum()),
            (4_000, 5_000)
        );
    }
}
