//! Where the addresses of a stack lie in its process: a look at what that has mapped, soon enough that it is still there.

use super::maps::{self, Mapping};
use crate::proc;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at what a process has mapped, and how many more there are meanwhile at the most: it may have got another program just now, while unwinding by frame
/// pointers makes up addresses without end that are nowhere.
const LOOK: Duration = Duration::from_millis(100);
const EARLY_LOOKS: u32 = 4;
/// Processes that are kept in memory.
const KEPT_MAX: usize = 1024;
/// Bytes of all that they have mapped, about.
const WEIGHT_MAX: usize = 64 << 20;

/// A process, as it was when it was looked at last.
struct Process {
    start_ticks: u64,
    mappings: Vec<Arc<Mapping>>,
    /// Bytes in memory, about.
    weight: usize,
    is_jvm: bool,
    looked: Instant,
    early_looks: u32,
}

/// Where an address lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub address: u64,
    pub mapping: Arc<Mapping>,
}

/// A stack's places, innermost first.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub pid: u32,
    /// With the pid, which process it is; 0: it has ended.
    pub start_ticks: u64,
    pub is_jvm: bool,
    pub places: Vec<Place>,
    /// What to say in place of the rest, where there is one.
    pub end: Option<&'static str>,
}

/// What is known of processes.
#[derive(Default)]
pub(super) struct Processes {
    processes: HashMap<u32, Process>,
    /// Bytes of all, about.
    weight: usize,
}

impl Process {
    fn look(pid: u32, start_ticks: u64, early_looks: u32) -> Process {
        let mappings = maps::of(pid);
        Process {
            start_ticks,
            is_jvm: mappings.iter().any(|mapping| mapping.file_name() == "libjvm.so"),
            weight: mappings.iter().map(Mapping::weight).sum(),
            mappings: mappings.into_iter().map(Arc::new).collect(),
            looked: Instant::now(),
            early_looks,
        }
    }
}

impl Processes {
    /// A process has another program from now on.
    pub fn forget(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            self.weight -= process.weight;
        }
    }

    fn keep(&mut self, pid: u32, process: Process) {
        self.forget(pid);
        if self.is_full(1) {
            let has_ended = |pid: &u32, process: &Process| proc::start_ticks(*pid) != Some(process.start_ticks);
            self.processes.retain(|pid, process| !has_ended(pid, process));
            self.weight = self.processes.values().map(|process| process.weight).sum();
            // Not to look again soon who has ended. Who is still needed is looked at again.
            if self.is_full(2) {
                *self = Processes::default();
            }
        }
        self.weight += process.weight;
        self.processes.insert(pid, process);
    }

    /// Whether there are as many, or as much of them, as may be, or such a part of that.
    fn is_full(&self, part: usize) -> bool {
        self.processes.len() >= KEPT_MAX / part || self.weight >= WEIGHT_MAX / part
    }

    /// The places of a stack. They end at the first address that is no code's: what unwinding by frame pointers made up.
    pub fn places(&mut self, pid: u32, addresses: &[u64]) -> Places {
        // Of one that has ended meanwhile it is known what was seen of it before.
        let known = || self.processes.get(&pid).map(|process| process.start_ticks);
        let start_ticks = proc::start_ticks(pid).or_else(known).unwrap_or(0);
        let mut places = Vec::with_capacity(addresses.len());
        for (depth, &address) in addresses.iter().enumerate() {
            // A return address is behind the call; and may be behind the function that it is in.
            let address = if depth == 0 { address } else { address.saturating_sub(1) };
            match self.mapping(pid, start_ticks, address) {
                Some(mapping) => places.push(Place { address, mapping }),
                None => break,
            }
        }
        let end = match (self.processes.get(&pid), places.len() == addresses.len()) {
            (_, true) => None,
            (Some(_), false) => Some("[unknown]"),
            (None, false) => Some("[ended]"),
        };
        Places {
            pid,
            start_ticks,
            is_jvm: self.processes.get(&pid).is_some_and(|process| process.is_jvm),
            places,
            end,
        }
    }

    /// Where an address is mapped; what was not known yet may have come meanwhile.
    fn mapping(&mut self, pid: u32, start_ticks: u64, address: u64) -> Option<Arc<Mapping>> {
        let mut early_looks = 0;
        if let Some(process) = self.processes.get(&pid)
            && process.start_ticks == start_ticks
        {
            let found = maps::find(&process.mappings, address);
            let is_early = process.looked.elapsed() < LOOK;
            if found.is_some() || (is_early && process.early_looks >= EARLY_LOOKS) {
                return found.cloned();
            }
            early_looks = if is_early { process.early_looks + 1 } else { 0 };
        }
        let process = Process::look(pid, start_ticks, early_looks);
        if process.mappings.is_empty() {
            return None;
        }
        let found = maps::find(&process.mappings, address).cloned();
        self.keep(pid, process);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_end_where_there_is_no_code() {
        let mut processes = Processes::default();
        let here = places_end_where_there_is_no_code as fn() as usize as u64;
        let found = processes.places(std::process::id(), &[here, here + 1, 0x10, here]);
        let addresses: Vec<u64> = found.places.iter().map(|place| place.address).collect();
        assert_eq!((addresses, found.end), (vec![here, here], Some("[unknown]")));
        assert!(found.places[0].mapping.path.contains("plumb_collector"));
        assert!(!found.is_jvm);
    }

    fn process(start_ticks: u64, weight: usize) -> Process {
        Process {
            start_ticks,
            mappings: Vec::new(),
            weight,
            is_jvm: false,
            looked: Instant::now(),
            early_looks: 0,
        }
    }

    #[test]
    fn all_together_are_bounded_and_who_has_ended_goes_first() {
        let mut processes = Processes::default();
        let me = std::process::id();
        let here = proc::start_ticks(me).expect("this process");
        processes.keep(me, process(here, 1));
        processes.keep(me, process(here, 10));
        // No such pids: pid_max is 4,194,304 at most.
        (0..3).for_each(|n| processes.keep(5_000_000 + n, process(1, WEIGHT_MAX / 2)));
        assert_eq!(processes.weight, WEIGHT_MAX / 2 + 10);
        let mut left: Vec<u32> = processes.processes.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [me, 5_000_002]);
        // Nobody has ended.
        processes.keep(me, process(here, WEIGHT_MAX));
        processes.keep(5_000_003, process(1, 7));
        assert_eq!((processes.processes.len(), processes.weight), (1, 7));
        processes.forget(5_000_003);
        assert_eq!(processes.weight, 0);
    }

    #[test]
    fn of_who_has_ended_is_known_what_was_seen_before() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let mut processes = Processes::default();
        // Until it has its program.
        let address = loop {
            let mappings = maps::of(child.id());
            if let Some(code) = mappings.iter().find(|mapping| mapping.file_name().contains("libc")) {
                break code.start;
            }
        };
        assert_eq!(processes.places(child.id(), &[address]).end, None);
        child.kill().and_then(|()| child.wait()).expect("its end");
        assert_eq!(processes.places(child.id(), &[address]).end, None);
        processes.forget(child.id());
        assert_eq!(processes.places(child.id(), &[address]).end, Some("[ended]"));
    }
}
