//! When a JVM pauses, and for what: the slices of its track.
//!
//! Two tell of it. The JVM's own events say when a collection begins and ends within a safepoint. The probes of its libjvm, where the rules ask for them, say when the VM
//! thread begins to stop the others and when it lets them go, and what it does in between; a pause then is the whole safepoint, of which a collection is a part. Their
//! records come by ways of their own with clocks of their own, so that a collection may seem to begin before its safepoint, or to end after it.
//!
//! Everything here bears being told twice: where two mounts show the kernel one libjvm as two files, each probe fires twice.

use super::Machine;
use super::activity::Activity;
use super::jvm::Jvm;
use super::thread::Doing;
use crate::input::{Classes, JvmInput};
use plumb_trace::State;
use plumb_trace::pauses::{HALT, PauseName};
use plumb_trace::record::{KernelRecord, flags, probe};
use plumb_trace::timeline::{Cause, Slice, TimelineError};
use rustc_hash::FxHashMap;

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// Longest name of an operation that is kept, bytes.
const NAME_BYTES_MAX: usize = 2 * probe::PART_BYTES;
/// A JVM waits at its end for threads in native code for 300 ms.
const END_NS_MAX: u64 = 500_000_000;

/// The pauses of a JVM.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    open: Option<Pause>,
    /// Begin and end of the last one that is over.
    last: Option<(u64, u64)>,
    /// Up to here records of probes may be missing.
    lost_until_ns: u64,
}

/// A pause that goes on.
#[derive(Debug)]
struct Pause {
    start_ns: u64,
    /// Collections that have begun and not ended.
    collections: u32,
    is_gc: bool,
    /// It lasts until the safepoint's end is told.
    is_safepoint: bool,
    /// From here on records of probes may be missing, its end too.
    lost_ns: Option<u64>,
    operation: Option<Operation>,
    /// Name of the first operation that is done.
    done: Option<String>,
}

/// An operation of the VM thread that goes on.
#[derive(Debug)]
struct Operation {
    start_ns: u64,
    name: Vec<u8>,
    /// The next record goes on with a name.
    goes_on: bool,
    /// Operations within it, of which nothing is told.
    nested: u32,
}

impl Pauses {
    /// Begin and end of the pause that goes on at `at`, or of the last one.
    pub(super) fn latest(&self, at: u64) -> Option<(u64, u64)> {
        let open = self.open.as_ref().map(|pause| (pause.start_ns, at.max(pause.start_ns)));
        open.or(self.last)
    }
}

impl Pause {
    fn new(start_ns: u64) -> Pause {
        Pause {
            start_ns,
            collections: 0,
            is_gc: false,
            is_safepoint: false,
            lost_ns: None,
            operation: None,
            done: None,
        }
    }

    fn name(&self) -> String {
        let by_operation = self.done.as_deref().map(PauseName::of_operation);
        let name = PauseName {
            is_gc: self.is_gc || by_operation.is_some_and(|name| name.is_gc),
            operation: self.done.as_deref(),
        };
        name.shown().into_owned()
    }

    /// The VM thread ends within it, at `at`: of the operation for which it does so no probe tells. One that lasts longer than a JVM's end may be of a JVM that was killed because it stood still.
    fn name_end(&mut self, at: u64) {
        let is_long = at.saturating_sub(self.start_ns) > END_NS_MAX;
        let is_known = is_long || self.is_gc || self.operation.is_some() || self.done.is_some();
        if self.is_safepoint && self.lost_ns.is_none() && !is_known {
            self.done = Some(HALT.to_owned());
        }
    }

    fn operation_begins(&mut self, at: u64, record: &KernelRecord) {
        let goes_on = record.flags & flags::MORE != 0;
        match &mut self.operation {
            Some(operation) if operation.goes_on => {
                if operation.nested == 0 && operation.name.len() < NAME_BYTES_MAX {
                    operation.name.extend(record.name_part());
                }
                operation.goes_on = goes_on;
            }
            Some(operation) => {
                operation.nested += 1;
                operation.goes_on = goes_on;
            }
            None => {
                self.operation = Some(Operation {
                    start_ns: at,
                    name: record.name_part(),
                    goes_on,
                    nested: 0,
                });
            }
        }
    }

    /// Takes the operation that ends now.
    fn operation_ends(&mut self) -> Option<Operation> {
        match &mut self.operation {
            Some(operation) if operation.nested > 0 => {
                operation.nested -= 1;
                None
            }
            operation => operation.take(),
        }
    }
}

impl Machine {
    /// A thread came by a probe of its libjvm.
    pub(super) fn probe_hit(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        match record.value {
            probe::PARK_BEGIN => self.park_begins(thread),
            probe::PARK_END => self.park_ends(thread),
            probe::SAFEPOINT_BEGIN => {
                let jvm = self.jvm_of(thread, at);
                self.safepoint_begins(jvm, thread, at)?;
            }
            probe::SAFEPOINT_END => {
                let jvm = self.jvm_of(thread, at);
                self.safepoint_ends(jvm, at)?;
            }
            probe::OPERATION_BEGIN => {
                let jvm = self.jvm_of(thread, at);
                if let Some(pause) = self.jvms[jvm].pauses.open.as_mut().filter(|pause| pause.is_safepoint) {
                    pause.operation_begins(at, record);
                }
            }
            probe::OPERATION_END => {
                let jvm = self.jvm_of(thread, at);
                self.operation_ends(jvm, at)?;
            }
            _ => self.oddities.unknown_kinds += 1,
        }
        Ok(())
    }

    /// The JVM that a thread belongs to, which is made known if its agent has not done so.
    fn jvm_of(&mut self, thread: usize, at: u64) -> usize {
        let entry = &self.registry.threads[thread];
        let (host, pid, process) = (entry.host, entry.pid, entry.process);
        if let Some(jvm) = self.registry.processes[process].jvm {
            return jvm;
        }
        let start_ticks = self.registry.processes[process].start_ticks;
        let known = self
            .jvms
            .iter()
            .position(|jvm| jvm.is_yet_unseen(host, pid, start_ticks));
        if let Some(jvm) = known {
            self.bind(jvm, at);
            return jvm;
        }
        let input = JvmInput {
            host,
            pid,
            ns_pid: pid,
            start_ticks: start_ticks.unwrap_or(0),
            classes: Classes::default(),
            tids: FxHashMap::default(),
        };
        let jvm = self.jvms.len();
        self.jvms.push(Jvm::without_agent(jvm, input, &mut self.writer));
        self.bind_to(jvm, process, at);
        jvm
    }

    fn safepoint_begins(&mut self, jvm: usize, thread: usize, at: u64) -> Result {
        self.jvms[jvm].vm_thread = Some(self.registry.threads[thread].track);
        if let Some(lost_ns) = self.lost_end(jvm) {
            self.pause_ends(jvm, lost_ns, true)?;
        }
        let pause = self.jvms[jvm].pauses.open.get_or_insert_with(|| Pause::new(at));
        pause.is_safepoint = true;
        Ok(())
    }

    /// Since when the end of the safepoint that goes on may have been lost.
    fn lost_end(&self, jvm: usize) -> Option<u64> {
        let Pauses {
            open, lost_until_ns, ..
        } = &self.jvms[jvm].pauses;
        let pause = open.as_ref().filter(|pause| pause.is_safepoint)?;
        let began_in_loss = pause.start_ns < *lost_until_ns;
        pause.lost_ns.or(began_in_loss.then_some(pause.start_ns))
    }

    fn safepoint_ends(&mut self, jvm: usize, at: u64) -> Result {
        let is_safepoint = self.jvms[jvm]
            .pauses
            .open
            .as_ref()
            .is_some_and(|pause| pause.is_safepoint);
        // Of one that began before there were probes, or that has ended already, nothing is known.
        if is_safepoint {
            self.pause_ends(jvm, at, false)
        } else {
            Ok(())
        }
    }

    fn operation_ends(&mut self, jvm: usize, at: u64) -> Result {
        let Jvm { pauses, bound, .. } = &mut self.jvms[jvm];
        let Some(pause) = &mut pauses.open else { return Ok(()) };
        let Some(operation) = pause.operation_ends() else {
            return Ok(());
        };
        let name = String::from_utf8_lossy(&operation.name).into_owned();
        if name.is_empty() {
            return Ok(());
        }
        if let Some((_, track)) = *bound {
            let name = self.writer.string(&name);
            let end_ns = at.max(operation.start_ns);
            self.writer
                .slice(track, &Slice::whole((operation.start_ns, end_ns), name, 1))?;
        }
        pause.done.get_or_insert(name);
        Ok(())
    }

    /// The JVM says that a collection begins.
    pub(super) fn collection_starts(&mut self, jvm: usize, thread: usize, at: u64) -> Result {
        let track = self.registry.threads[thread].track;
        let entry = &mut self.jvms[jvm];
        entry.vm_thread = Some(track);
        let is_new = entry.pauses.open.is_none();
        let pause = entry.pauses.open.get_or_insert_with(|| Pause::new(at));
        pause.collections = pause.collections.saturating_add(1);
        pause.is_gc = true;
        if !is_new {
            return Ok(());
        }
        self.hold_without_kernel(
            jvm,
            at,
            State::Unknown,
            Doing {
                peer: Some(track),
                ..Doing::just(State::Pause)
            },
        )
    }

    /// The JVM says that a collection is over.
    pub(super) fn collection_ends(&mut self, jvm: usize, at: u64) -> Result {
        let Some(pause) = &mut self.jvms[jvm].pauses.open else {
            return Ok(());
        };
        pause.collections = pause.collections.saturating_sub(1);
        let goes_on = pause.collections > 0 || pause.is_safepoint;
        if goes_on {
            Ok(())
        } else {
            self.pause_ends(jvm, at, false)
        }
    }

    /// A pause ends; `open_end`: its end was not seen.
    pub(super) fn pause_ends(&mut self, jvm: usize, at: u64, open_end: bool) -> Result {
        if let Some(pause) = &mut self.jvms[jvm].pauses.open
            && let Some(operation) = &mut pause.operation
        {
            operation.nested = 0;
            self.operation_ends(jvm, at)?;
        }
        let Jvm { pauses, bound, .. } = &mut self.jvms[jvm];
        let Some(pause) = pauses.open.take() else {
            return Ok(());
        };
        let end_ns = at.max(pause.start_ns);
        pauses.last = Some((pause.start_ns, end_ns));
        if let Some((_, track)) = *bound {
            let name = self.writer.string(&pause.name());
            let slice = Slice {
                open_end,
                ..Slice::whole((pause.start_ns, end_ns), name, 0)
            };
            self.writer.slice(track, &slice)?;
        }
        self.hold_without_kernel(jvm, at, State::Pause, Doing::UNKNOWN)
    }

    /// Without kernel records: every Java thread that is in `from` is in `to` from here on. Who was in native code all the time was not
    /// held; that cannot be told, and a note says so.
    fn hold_without_kernel(&mut self, jvm: usize, at: u64, from: State, to: Doing) -> Result {
        let Jvm {
            host,
            bound: Some((process, _)),
            ..
        } = self.jvms[jvm]
        else {
            return Ok(());
        };
        if self.hosts[host].has_kernel {
            return Ok(());
        }
        let held = self.registry.threads.iter_mut();
        let mut held = held
            .filter(|thread| thread.process == process && thread.java && !thread.ended && thread.doing.state == from);
        held.try_for_each(|thread| thread.change(&mut self.writer, at, to))
    }

    /// A thread ends: if it was a JVM's VM thread, so does the safepoint in which it brought all others to their end.
    pub(super) fn end_pause_of(&mut self, thread: usize, at: u64) -> Result {
        let entry = &self.registry.threads[thread];
        match self.registry.processes[entry.process].jvm {
            Some(jvm) if self.jvms[jvm].vm_thread == Some(entry.track) => {
                if let Some(pause) = &mut self.jvms[jvm].pauses.open {
                    pause.name_end(at);
                }
                self.pause_ends(jvm, at, true)
            }
            _ => Ok(()),
        }
    }

    /// Kernel records of a host are missing: ends of safepoints and parks may be among them.
    pub(super) fn lose_probes(&mut self, host: usize, from_ns: u64, to_ns: u64) {
        for jvm in self.jvms.iter_mut().filter(|jvm| jvm.host == host) {
            jvm.pauses.lost_until_ns = jvm.pauses.lost_until_ns.max(to_ns);
            if let Some(pause) = &mut jvm.pauses.open {
                pause.lost_ns.get_or_insert(from_ns.max(pause.start_ns));
            }
        }
        for thread in self.registry.threads.iter_mut().filter(|thread| thread.host == host) {
            thread.unpark();
        }
    }

    /// What the agent says of a park counts: it knows for what.
    fn park_begins(&mut self, thread: usize) {
        let entry = &mut self.registry.threads[thread];
        if entry.activity.now() == Activity::None {
            entry.activity.begin(Activity::Park(Cause::None));
            entry.is_park_by_probe = true;
        }
    }

    fn park_ends(&mut self, thread: usize) {
        self.registry.threads[thread].unpark();
    }
}
