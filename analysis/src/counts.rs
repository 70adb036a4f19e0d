//! What was counted of threads within a window: faults, interrupted time, what perf counts.
//!
//! A counter of a thread has a track of its own, called `WHAT NAME`. It grows at the end of slices, and is told once a millisecond at the most: a window that
//! cuts a slice has all of it or none.

use std::collections::{BTreeMap, HashMap};

use plumb_trace::timeline::{ProcessId, Query, StringId, TimelineError, Track, TrackId, TrackKind};
use serde_json::{Map, Value, json};

use crate::{Window, format::duration};

/// What threads counted, by name: what it grew by, and what one of it is. A counter that a thread has not is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, (u64, Unit)>);

/// What one of a counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Ns,
    Other,
}

/// How the part of a counter is called that was not counted but estimated.
const ESTIMATED: &str = ".estimated";

impl Counts {
    /// What a counter grew by, if it was counted.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).map(|(by, _)| *by)
    }

    /// Instructions per cycle, where both were counted.
    #[must_use]
    pub fn instructions_per_cycle(&self) -> Option<f64> {
        let cycles = self.get(self.cycles_name())?;
        let instructions = self.get("instructions")?;
        (cycles > 0).then(|| instructions as f64 / cycles as f64)
    }

    /// By which of its two names cycles were asked for.
    pub(crate) fn cycles_name(&self) -> &'static str {
        const NAMES: [&str; 2] = ["cycles", "cpu-cycles"];
        NAMES
            .into_iter()
            .find(|name| self.0.contains_key(*name))
            .unwrap_or(NAMES[0])
    }

    /// Names, in order. Estimates have names of their own, see [`Counts::is_estimated`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A counter as it is told to people: a length of time, or a number as `number` writes it; with `~` before it where a part of it is an estimate.
    #[must_use]
    pub fn told(&self, name: &str, number: impl Fn(u64) -> String) -> Option<String> {
        let (by, unit) = self.0.get(name)?;
        let mark = if self.is_estimated(name) { "~" } else { "" };
        let said = match unit {
            Unit::Ns => duration(*by),
            Unit::Other => number(*by),
        };
        Some(format!("{mark}{said}"))
    }

    /// Whether a name is that of the part of a counter that was not counted, but estimated.
    #[must_use]
    pub fn is_estimate(name: &str) -> bool {
        name.ends_with(ESTIMATED)
    }

    /// Whether a part of a counter is an estimate: counters that share the hardware count a part of the time.
    #[must_use]
    pub fn is_estimated(&self, name: &str) -> bool {
        self.get(&format!("{name}{ESTIMATED}")).is_some_and(|part| part > 0)
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        for (name, &(by, unit)) in &other.0 {
            let (sum, _) = self.0.entry(name.clone()).or_insert((0, unit));
            *sum = sum.saturating_add(by);
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let fields = self.0.iter().map(|(name, (by, _))| (name.clone(), json!(by)));
        Value::Object(fields.collect::<Map<_, _>>())
    }
}

/// What one thread counted in a window; nothing of a virtual thread, and of what is no thread.
///
/// # Errors
/// If the timeline is damaged where it was read.
pub fn counts(query: &dyn Query, thread: TrackId, window: Window) -> Result<Counts, TimelineError> {
    let Some(track) = query.tracks().get(thread.0 as usize) else {
        return Ok(Counts::default());
    };
    let is_own = |counter: &Track| counter.process == track.process && counter.tid == track.tid;
    match track.kind {
        TrackKind::Thread => Counters::among(query, is_own).within(track, window),
        _ => Ok(Counts::default()),
    }
}

/// What a counter that only grows grew by in a window.
///
/// # Errors
/// If the timeline is damaged where it was read.
pub(crate) fn growth(query: &dyn Query, (id, track): (TrackId, &Track), window: Window) -> Result<u64, TimelineError> {
    let by = value(query, (id, track), window.to_ns)? - value(query, (id, track), window.from_ns)?;
    Ok(u64::try_from(by).unwrap_or_default())
}

/// A counter's value at a time.
fn value(query: &dyn Query, (id, track): (TrackId, &Track), at_ns: u64) -> Result<i64, TimelineError> {
    let at_ns = at_ns.min(track.end_ns);
    let points = query.counters(id, at_ns.saturating_sub(1), at_ns.saturating_add(1), 0)?;
    Ok(points.last().map_or(0, |point| point.last.max(0)))
}

/// The counters of threads.
pub(crate) struct Counters<'q> {
    query: &'q dyn Query,
    of_thread: HashMap<(ProcessId, u32), Vec<Counter<'q>>>,
}

struct Counter<'q> {
    id: TrackId,
    track: &'q Track,
    unit: StringId,
}

impl<'q> Counters<'q> {
    /// Finds them.
    pub(crate) fn of(query: &'q dyn Query) -> Counters<'q> {
        Counters::among(query, |_| true)
    }

    fn among(query: &'q dyn Query, is_wanted: impl Fn(&Track) -> bool) -> Counters<'q> {
        let mut of_thread: HashMap<_, Vec<_>> = HashMap::new();
        for (track, number) in query.tracks().iter().zip(0..) {
            let (TrackKind::Counter { unit }, Some(tid)) = (track.kind, track.tid) else {
                continue;
            };
            let owner = query.processes().get(track.process.0 as usize);
            // Of the idle process they are of CPUs.
            if owner.is_some_and(|owner| owner.pid != 0) && is_wanted(track) {
                let id = TrackId(number);
                let counters = of_thread.entry((track.process, tid)).or_default();
                counters.push(Counter { id, track, unit });
            }
        }
        Counters { query, of_thread }
    }

    /// The counters of a thread, with what they count. Its id may have been another thread's before, or after.
    fn own<'c>(&'c self, thread: &'c Track) -> impl Iterator<Item = (&'c Counter<'q>, &'q str)> {
        let of_id = thread.tid.and_then(|tid| self.of_thread.get(&(thread.process, tid)));
        let is_own = |counter: &&Counter<'q>| (thread.start_ns..=thread.end_ns).contains(&counter.track.start_ns);
        let own = of_id.into_iter().flatten().filter(is_own);
        own.map(|counter| (counter, counter.track.name.split(' ').next().unwrap_or_default()))
    }

    /// What a value of its own is at a time, if there is such a counter.
    pub(crate) fn last(&self, thread: &Track, what: &str, at_ns: u64) -> Result<Option<i64>, TimelineError> {
        let found = self.own(thread).find(|(_, name)| *name == what);
        found
            .map(|(counter, _)| value(self.query, (counter.id, counter.track), at_ns))
            .transpose()
    }

    /// What a thread counted in a window.
    pub(crate) fn within(&self, thread: &Track, window: Window) -> Result<Counts, TimelineError> {
        let mut counts = Counts::default();
        for (counter, what) in self.own(thread) {
            if what.is_empty() {
                continue;
            }
            let unit = match self.query.string(counter.unit) {
                "ns" => Unit::Ns,
                "count" => Unit::Other,
                // Values of their own do not sum.
                _ => continue,
            };
            // What the last slice counted is told after the life's end, which is by the scheduler's own clock.
            let is_to_its_end = window.to_ns >= thread.end_ns;
            let to_ns = if is_to_its_end {
                counter.track.end_ns
            } else {
                window.to_ns
            };
            let by = growth(self.query, (counter.id, counter.track), Window { to_ns, ..window })?;
            let entry = counts.0.entry(what.to_owned()).or_insert((0, unit));
            entry.0 = entry.0.saturating_add(by);
        }
        Ok(counts)
    }
}
