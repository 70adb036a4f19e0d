//! Counters: samples to tracks of their own.
//!
//! A cumulative counter (one that the kernel has counted up since boot) is shown as what it has grown by since its first sample, so that the difference of two
//! of its values is what happened between. A value that falls (a counter that began anew, a CPU that went and came) begins at 0 again.

use super::Machine;
use plumb_trace::definition::Definition;
use plumb_trace::recording::CounterSample;
use plumb_trace::timeline::{ProcessId, TimelineError, Track, TrackId, TrackKind};

/// One counter.
#[derive(Debug)]
pub(super) struct Counter {
    track: TrackId,
    cumulative: bool,
    /// Value of the first sample.
    first: Option<u64>,
    /// Time of the last sample.
    last_ns: Option<u64>,
}

/// What a counter is about.
pub(super) struct About {
    pub(super) process: ProcessId,
    /// Thread, or CPU of the idle process.
    pub(super) tid: Option<u32>,
}

impl Machine {
    /// A number begins to mean a counter, and the counter has a track.
    pub(super) fn define_counter(&mut self, host: usize, definition: &Definition) {
        let Definition::Counter {
            id,
            name,
            unit,
            cumulative,
            cpu_plus_1,
            cgroup,
        } = definition
        else {
            return;
        };
        let about = About {
            process: self.idle_process(host),
            tid: cpu_plus_1.checked_sub(1),
        };
        let name = if cgroup.is_empty() {
            name.clone()
        } else {
            format!("{name} {cgroup}")
        };
        self.add_counter((host, *id), about, name, unit, *cumulative);
    }

    /// A number begins to mean a counter of a JVM.
    pub(super) fn define_jvm_counter(&mut self, host: usize, definition: &Definition) {
        let Definition::JvmCounter {
            id,
            name,
            unit,
            cumulative,
            pid,
            start_ticks,
        } = definition
        else {
            return;
        };
        let process = self.process_instance(host, *pid, *start_ticks);
        let about = About {
            process: self.registry.processes[process].id,
            tid: None,
        };
        self.add_counter((host, *id), about, name.clone(), unit, *cumulative);
    }

    fn add_counter(&mut self, key: (usize, u32), about: About, name: String, unit: &str, cumulative: bool) {
        if self.counters.contains_key(&key) {
            return;
        }
        let start_ns = self.hosts[key.0].from_ns;
        let counter = Counter {
            track: self.add_counter_track(about, name, unit, start_ns),
            cumulative,
            first: None,
            last_ns: None,
        };
        self.counters.insert(key, counter);
    }

    pub(super) fn add_counter_track(&mut self, about: About, name: String, unit: &str, start_ns: u64) -> TrackId {
        let track = Track {
            kind: TrackKind::Counter {
                unit: self.writer.string(unit),
            },
            process: about.process,
            tid: about.tid,
            vthread: None,
            name,
            former_names: Vec::new(),
            group: None,
            start_ns,
            end_ns: start_ns,
            java: false,
        };
        self.writer.add_track(track)
    }

    /// A sample. One that is not later than the one before it says nothing new.
    pub(super) fn count(&mut self, host: usize, at: u64, sample: &CounterSample) -> Result<(), TimelineError> {
        let at = at.max(self.from_ns);
        self.now = self.now.max(at);
        let Some(counter) = self.counters.get_mut(&(host, sample.counter)) else {
            self.oddities.unknown_kinds += 1;
            return Ok(());
        };
        if counter.last_ns.is_some_and(|last| at <= last) {
            return Ok(());
        }
        counter.last_ns = Some(at);
        let first = *counter.first.get_or_insert(sample.value);
        let value = if counter.cumulative {
            counter.first = Some(first.min(sample.value));
            sample.value.saturating_sub(first)
        } else {
            sample.value
        };
        self.writer
            .counter(counter.track, at, i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Every counter's last value holds to the end.
    pub(super) fn close_counters(&mut self, to_ns: u64) {
        for counter in self.counters.values() {
            self.writer.track_mut(counter.track).end_ns = to_ns;
        }
    }
}
