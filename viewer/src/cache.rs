//! Answers of the timeline that the screen needs again in the next frame.
//!
//! A row's answer is asked for half a window beyond both edges and at a resolution of a power of two, so that panning and slow zooming rarely ask again. What was
//! not used by the last frame is forgotten: the cache holds one screen of rows, whatever the timeline's length.

use crate::model::counter::{self, Step};
use crate::model::source::Source;
use crate::model::time::{Scale, Window};
use plumb_trace::timeline::{CoarseOccupancy, CoarseState, Slice, TimelineError, TrackId, Unit};
use std::collections::HashMap;
use std::rc::Rc;

/// Buckets of a CPU asked for a pixel: one thread stands for all of a bucket, several buckets of a pixel tell how it was shared.
const CPU_BUCKETS_OF_A_PIXEL: u64 = 4;
/// Units asked for at once, at the most (by estimate).
const UNITS_MAX: f64 = 300_000.0;
/// Problems kept to be shown.
const PROBLEMS_MAX: usize = 8;

/// A row's answer.
#[derive(Default)]
pub struct Lanes {
    /// States of a thread.
    pub states: Vec<CoarseState>,
    /// Calls of a thread, pauses of a JVM.
    pub slices: Vec<Slice>,
    /// Who had a CPU.
    pub occupancy: Vec<CoarseOccupancy>,
    /// Steps of a counter.
    pub steps: Vec<Step>,
}

/// What of a track is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// States and calls of a thread.
    Thread,
    /// Pauses of a JVM.
    Pauses,
    /// Occupancy of a CPU.
    Cpu,
    /// A counter.
    Counter,
}

#[derive(Clone, Copy, PartialEq)]
struct Extent {
    from_ns: f64,
    to_ns: f64,
    resolution_ns: u64,
}

impl Extent {
    /// What to ask for so that `window` is covered with some room to move.
    fn around(window: Window, pixel_ns: f64) -> Extent {
        let room = window.span_ns() / 2.0;
        let resolution_ns = 1u64 << (pixel_ns.clamp(1.0, 1e15) as u64).ilog2();
        Extent {
            from_ns: window.from_ns - room,
            to_ns: window.to_ns + room,
            resolution_ns,
        }
    }

    fn serves(&self, window: Window, pixel_ns: f64) -> bool {
        let wanted = Extent::around(window, pixel_ns);
        self.resolution_ns == wanted.resolution_ns && self.from_ns <= window.from_ns && self.to_ns >= window.to_ns
    }
}

struct Entry<T> {
    extent: Extent,
    frame: u64,
    answer: Rc<T>,
}

/// Units by the tracks that did them.
pub type UnitsByTrack = HashMap<TrackId, Vec<Unit>>;

/// The cache.
#[derive(Default)]
pub struct Cache {
    lanes: HashMap<(usize, TrackId, Want), Entry<Lanes>>,
    units: HashMap<usize, Entry<UnitsByTrack>>,
    unit_rates: Vec<f64>,
    problems: Vec<String>,
    frame: u64,
}

impl Cache {
    /// A cache of nothing, for sources that have about so many units per ns.
    pub fn new(unit_rates: Vec<f64>) -> Cache {
        Cache {
            unit_rates,
            ..Cache::default()
        }
    }

    /// Forgets what the frame before did not use.
    pub fn begin_frame(&mut self) {
        let frame = self.frame;
        self.lanes.retain(|_, entry| entry.frame == frame);
        self.frame += 1;
    }

    /// What the timeline could not answer, one line each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Notes a failure, once.
    pub fn problem(&mut self, error: &TimelineError) {
        let line = error.to_string().replace('\n', "; ");
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&line) {
            self.problems.push(line);
        }
    }

    /// A row's answer for what is on the screen.
    pub fn lanes(&mut self, source: (usize, &Source), track: TrackId, want: Want, scale: Scale) -> Rc<Lanes> {
        let (window, pixel_ns) = (scale.window, scale.ns_per_point());
        let key = (source.0, track, want);
        if let Some(entry) = self.lanes.get_mut(&key)
            && entry.extent.serves(window, pixel_ns)
        {
            entry.frame = self.frame;
            return Rc::clone(&entry.answer);
        }
        let extent = Extent::around(window, pixel_ns);
        let answer = Rc::new(ask(source.1, track, want, extent).unwrap_or_else(|error| {
            self.problem(&error);
            Lanes::default()
        }));
        self.lanes.insert(
            key,
            Entry {
                extent,
                frame: self.frame,
                answer: Rc::clone(&answer),
            },
        );
        answer
    }

    /// Units of a window by track; none where they would be too many to be told apart anyway.
    pub fn units(&mut self, source: (usize, &Source), scale: Scale) -> Rc<UnitsByTrack> {
        let (window, pixel_ns) = (scale.window, scale.ns_per_point());
        if let Some(entry) = self.units.get(&source.0)
            && entry.extent.serves(window, pixel_ns)
        {
            return Rc::clone(&entry.answer);
        }
        let extent = Extent::around(window, pixel_ns);
        let rate = self.unit_rates.get(source.0).copied().unwrap_or(0.0);
        let units = if rate * (extent.to_ns - extent.from_ns) > UNITS_MAX {
            Ok(Vec::new())
        } else {
            ask_units(source.1, extent)
        };
        let units = units.unwrap_or_else(|error| {
            self.problem(&error);
            Vec::new()
        });
        let mut by_track = UnitsByTrack::new();
        for unit in units {
            by_track.entry(unit.track).or_default().push(unit);
        }
        let answer = Rc::new(by_track);
        self.units.insert(
            source.0,
            Entry {
                extent,
                frame: self.frame,
                answer: Rc::clone(&answer),
            },
        );
        answer
    }
}

fn ask(source: &Source, track: TrackId, want: Want, extent: Extent) -> Result<Lanes, TimelineError> {
    let (from_ns, to_ns) = (source.absolute_ns(extent.from_ns), source.absolute_ns(extent.to_ns));
    let query = &source.query;
    let mut lanes = Lanes::default();
    match want {
        Want::Thread => {
            lanes.states = query.coarse_states(track, from_ns, to_ns, extent.resolution_ns)?;
            if source.track(track).is_some_and(|track| track.java) {
                lanes.slices = query.slices(track, from_ns, to_ns, extent.resolution_ns)?;
            }
        }
        Want::Pauses => lanes.slices = query.slices(track, from_ns, to_ns, 0)?,
        Want::Cpu => {
            let bucket_ns = (extent.resolution_ns / CPU_BUCKETS_OF_A_PIXEL).max(1);
            lanes.occupancy = query.coarse_occupancy(track, from_ns, to_ns, bucket_ns)?;
        }
        Want::Counter => lanes.steps = counter::steps(source, track, (from_ns, to_ns), extent.resolution_ns)?,
    }
    Ok(lanes)
}

fn ask_units(source: &Source, extent: Extent) -> Result<Vec<Unit>, TimelineError> {
    let (from_ns, to_ns) = (source.absolute_ns(extent.from_ns), source.absolute_ns(extent.to_ns));
    let mut units = source.query.units(from_ns, to_ns)?;
    // What several threads worked on is shown where they did.
    units.retain(|unit| unit.number == 0);
    let parts = source.query.unit_parts(from_ns, to_ns)?;
    units.extend(parts.iter().map(|part| Unit {
        name: part.name,
        key: part.key,
        track: part.track,
        number: part.number,
        start_ns: part.start_ns,
        end_ns: part.end_ns,
        thrown: false,
        complete: true,
    }));
    units.sort_by_key(|unit| (unit.end_ns, unit.start_ns));
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panning_within_the_room_and_slow_zooming_do_not_ask_again() {
        let window = Window {
            from_ns: 1e9,
            to_ns: 2e9,
        };
        let pixel_ns = 1e6;
        let extent = Extent::around(window, pixel_ns);
        assert_eq!(extent.resolution_ns, 1 << 19);
        assert!(extent.serves(window.moved(0.4e9), pixel_ns));
        assert!(extent.serves(window.zoomed(1.05, 1.5e9), pixel_ns));
        assert!(!extent.serves(window.moved(0.6e9), pixel_ns));
        assert!(!extent.serves(window, pixel_ns / 2.0));
    }
}
