//! A JVM's records: what its threads call, what they want, and when it pauses.

use super::activity::Activity;
use super::calls::{Calls, Output, Probe, Runner, Units};
use super::counted::Counted;
use super::safepoints::Pauses;
use super::thread::{Doing, Thread};
use super::{Cpu, Machine, Occupant};
use crate::input::{Classes, JvmInput};
use plumb_trace::State;
use plumb_trace::record::{JvmKind, JvmRecord};
use plumb_trace::timeline::{Cause, StackId, StringId, TimelineError, TimelineWriter, Track, TrackId, TrackKind};
use rustc_hash::FxHashMap;

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// A JVM.
#[derive(Debug)]
pub(super) struct Jvm {
    pub(super) host: usize,
    pub(super) pid: u32,
    pub(super) ns_pid: u32,
    start_ticks: u64,
    tids: FxHashMap<u32, u32>,
    probes: FxHashMap<u32, Probe>,
    classes: FxHashMap<u32, StringId>,
    pub(super) counted: Counted,
    keys: FxHashMap<u32, StringId>,
    /// Stacks that the agent took of threads that waited.
    pub(super) stacks: FxHashMap<u32, StackId>,
    /// For keys without a definition, and for those beyond what the agent tells apart.
    nameless_keys: [StringId; 2],
    /// Units that may go on in several threads.
    pub(super) units: Units,
    /// It says which virtual threads are given to their scheduler.
    pub(super) tells_ready: bool,
    /// Up to here records of carriers are missing: who may go on may have done so.
    pub(super) carriers_unseen_until: u64,
    /// For probe ids without a definition.
    nameless: Probe,
    /// Place in the registry's processes, and its own track, once it has been seen.
    pub(super) bound: Option<(usize, TrackId)>,
    /// The thread that announces pauses.
    pub(super) vm_thread: Option<TrackId>,
    /// When that thread was last woken from a futex by a Java thread or a timer: for an operation. (GC workers wake it too, within one.)
    pub(super) vm_thread_woken: Option<u64>,
    /// When it pauses.
    pub(super) pauses: Pauses,
    /// It is known by the probes of its libjvm alone.
    pub(super) is_without_agent: bool,
}

/// One thread's stream.
#[derive(Debug)]
pub(super) struct JvmStream {
    /// Place in the registry's threads; `None` where it cannot be told.
    pub(super) thread: Option<usize>,
    pub(super) calls: Calls,
}

impl Jvm {
    /// The JVM at this place.
    pub(super) fn new(place: usize, input: JvmInput, writer: &mut TimelineWriter) -> Jvm {
        let JvmInput {
            host,
            pid,
            ns_pid,
            start_ticks,
            classes:
                Classes {
                    methods,
                    classes,
                    places,
                    keys,
                    frames,
                    stacks,
                    ..
                },
            tids,
        } = input;
        let probes = methods.into_iter().map(|(id, method)| {
            let unit = (!method.unit.is_empty()).then(|| writer.string(&method.unit));
            (
                id,
                Probe {
                    name: writer.string(&method.name),
                    unit,
                    hands_over: method.hands_over,
                },
            )
        });
        let probes = probes.collect();
        Jvm {
            host,
            pid,
            ns_pid,
            start_ticks,
            tids,
            probes,
            classes: classes
                .into_iter()
                .map(|(id, name)| (id, writer.string(&name)))
                .collect(),
            counted: Counted::new(places),
            nameless: Probe {
                name: writer.string("(method without a name)"),
                unit: None,
                hands_over: false,
            },
            keys: keys.into_iter().map(|(id, key)| (id, writer.string(&key))).collect(),
            stacks: stacks_of(&frames, stacks, writer),
            nameless_keys: ["(key without a name)", "(other keys)"].map(|name| writer.string(name)),
            units: Units::new(place),
            tells_ready: false,
            carriers_unseen_until: 0,
            bound: None,
            vm_thread: None,
            vm_thread_woken: None,
            pauses: Pauses::default(),
            is_without_agent: false,
        }
    }

    /// One that no agent speaks for.
    pub(super) fn without_agent(place: usize, input: JvmInput, writer: &mut TimelineWriter) -> Jvm {
        Jvm {
            is_without_agent: true,
            ..Jvm::new(place, input, writer)
        }
    }

    /// Whether it is the one with this pid, of which nothing has come yet.
    pub(super) fn is_yet_unseen(&self, host: usize, pid: u32, start_ticks: Option<u64>) -> bool {
        let is_instance = start_ticks.is_none_or(|ticks| ticks == self.start_ticks);
        self.bound.is_none() && self.host == host && self.pid == pid && is_instance
    }

    /// A thread of it is woken at `at`, out of what it still is said to be doing; `by_worker`: by a thread that is none of Java's.
    pub(super) fn thread_woken(&mut self, thread: &Thread, at: u64, by_worker: bool) {
        if self.vm_thread == Some(thread.track) && thread.doing.state == State::Futex && !by_worker {
            self.vm_thread_woken = Some(at);
        }
    }

    fn probe(&self, id: u32) -> Probe {
        self.probes.get(&id).copied().unwrap_or(self.nameless)
    }

    /// A unit's key by its number.
    fn key(&mut self, id: u32) -> StringId {
        match id {
            0 => StringId(0),
            JvmRecord::KEY_OTHER => {
                self.units.other_keys += 1;
                self.nameless_keys[1]
            }
            id => self.keys.get(&id).copied().unwrap_or(self.nameless_keys[0]),
        }
    }

    fn class(&self, id: u32) -> Cause {
        self.classes.get(&id).map_or(Cause::None, |&name| Cause::Class(name))
    }
}

/// The numbers that stacks have in the timeline.
fn stacks_of(
    frames: &FxHashMap<u32, String>,
    stacks: FxHashMap<u32, Vec<u32>>,
    writer: &mut TimelineWriter,
) -> FxHashMap<u32, StackId> {
    let mut named = |frame: &u32| writer.string(frames.get(frame).map_or("(frame without a name)", String::as_str));
    let stacks: Vec<(u32, Vec<StringId>)> = stacks
        .into_iter()
        .map(|(id, stack)| (id, stack.iter().map(&mut named).collect()))
        .collect();
    let defined = stacks.into_iter().filter_map(|(id, mut frames)| {
        let stack = writer.add_stack()?;
        frames.reverse();
        writer.define_stack(stack, &frames).then_some((id, stack))
    });
    defined.collect()
}

/// A record about a task that changes threads.
fn handed(calls: &mut Calls, out: &mut Output<'_>, at: u64, kind: JvmKind, record: &JvmRecord) -> Result {
    let task = record.value();
    let runner = if record.detail() == 0 {
        Runner::Pool
    } else {
        Runner::Within
    };
    match kind {
        JvmKind::HandOver => calls.hand_over(out, at, task),
        JvmKind::Run => calls.run(out, at, runner, task),
        JvmKind::Ran if runner == Runner::Pool => calls.ran(out, at, runner, Some(task)),
        JvmKind::Ran => calls.ran(out, at, runner, None),
        JvmKind::TakenBack => out.units.take_back(out.writer, task),
        JvmKind::Starts => {
            calls.start(out.units, at, record.java_id());
            Ok(())
        }
        _ => Ok(()),
    }
}

impl Machine {
    pub(super) fn jvm_record(&mut self, jvm: usize, stream: u32, tid: u32, at: u64, record: &JvmRecord) -> Result {
        let Some(kind) = record.kind() else {
            self.oddities.unknown_kinds += 1;
            return Ok(());
        };
        let Some(thread) = self.stream_thread(jvm, stream, tid, at) else {
            self.oddities.nameless += 1;
            return Ok(());
        };
        match kind {
            JvmKind::Enter | JvmKind::Exit | JvmKind::Thrown => self.call((jvm, stream), thread, at, kind, record),
            JvmKind::Past | JvmKind::Called => self.long_call((jvm, stream), thread, at, kind, record),
            JvmKind::MonitorEnter => {
                self.begin_activity(thread, at, Activity::Monitor(self.jvms[jvm].class(record.detail())))
            }
            JvmKind::Wait => self.begin_activity(thread, at, Activity::Wait(self.jvms[jvm].class(record.detail()))),
            JvmKind::Park => {
                let class = self.jvms[jvm].class(record.detail());
                self.begin_activity(thread, at, Activity::Park(class))
            }
            JvmKind::Sleep => self.begin_activity(thread, at, Activity::Sleep),
            JvmKind::MonitorEntered => self.end_activity(thread, at, Activity::Monitor(Cause::None)),
            JvmKind::Waited => self.end_activity(thread, at, Activity::Wait(Cause::None)),
            JvmKind::Unparked => self.end_activity(thread, at, Activity::Park(Cause::None)),
            JvmKind::Slept => self.end_activity(thread, at, Activity::Sleep),
            JvmKind::Idle | JvmKind::Busy => {
                self.registry.threads[thread].asks_for_work = kind == JvmKind::Idle;
                match kind {
                    JvmKind::Idle => self.with_calls((jvm, stream), thread, |calls, out| {
                        calls.ran(out, at, Runner::Pool, None)
                    }),
                    _ => Ok(()),
                }
            }
            JvmKind::GcStart => self.collection_starts(jvm, thread, at),
            JvmKind::GcFinish => self.collection_ends(jvm, at),
            JvmKind::Stack => self.java_stack(jvm, at, record),
            JvmKind::VthreadStack => {
                self.virtual_stack(jvm, at, record);
                Ok(())
            }
            JvmKind::Counted => self.count_at_place(jvm, at, record),
            JvmKind::Armed => Ok(()),
            JvmKind::Mount | JvmKind::Unmount | JvmKind::VthreadStart | JvmKind::VthreadEnd => {
                self.virtual_record((jvm, record.java_id()), (thread, stream), at, kind)
            }
            JvmKind::VthreadReady => self.virtual_ready((jvm, record.java_id()), thread, at),
            JvmKind::HandOver | JvmKind::Run | JvmKind::Ran | JvmKind::TakenBack | JvmKind::Starts => {
                self.with_calls((jvm, stream), thread, |calls, out| handed(calls, out, at, kind, record))
            }
        }
    }

    /// What is in doubt about units.
    pub(crate) fn note_units(&self, notes: &mut Vec<String>) {
        for jvm in &self.jvms {
            let (pid, units) = (jvm.pid, &jvm.units);
            if units.other_keys > 0 {
                notes.push(format!(
                    "JVM {pid}: {} units have keys beyond those that the agent tells apart: they are under (other keys)",
                    units.other_keys
                ));
            }
            if units.uncertain > 0 {
                notes.push(format!(
                    "JVM {pid}: {} units handed over tasks of which it is not certain for whom they ran: they count as not seen whole",
                    units.uncertain
                ));
            }
        }
    }

    fn call(&mut self, stream: (usize, u32), thread: usize, at: u64, kind: JvmKind, record: &JvmRecord) -> Result {
        let (id, jvm) = (record.value(), &mut self.jvms[stream.0]);
        let probe = jvm.probe(id);
        let key = if kind == JvmKind::Enter {
            jvm.key(record.detail())
        } else {
            StringId(0)
        };
        self.with_calls(stream, thread, |calls, out| match kind {
            JvmKind::Enter => {
                calls.enter(out.units, out.track, at, (id, probe), key);
                Ok(())
            }
            _ => calls.exit(out, at, (id, probe), kind == JvmKind::Thrown),
        })
    }

    /// The calls of a stream's thread, or of the virtual thread that it carries, and where what ends of them is written.
    pub(super) fn with_calls(
        &mut self,
        stream: (usize, u32),
        thread: usize,
        body: impl FnOnce(&mut Calls, &mut Output<'_>) -> Result,
    ) -> Result {
        let entry = &self.registry.threads[thread];
        let track = entry.mounted.map_or(entry.track, |mounted| mounted.track);
        let Some(JvmStream { calls, .. }) = self.streams.get_mut(&stream) else {
            return Ok(());
        };
        let mut out = Output {
            writer: &mut self.writer,
            units: &mut self.jvms[stream.0].units,
            track,
        };
        body(calls, &mut out)
    }

    /// A call of a rule with a minimum duration: told when it ends.
    fn long_call(&mut self, stream: (usize, u32), thread: usize, at: u64, kind: JvmKind, record: &JvmRecord) -> Result {
        let probe = self.jvms[stream.0].probe(record.value());
        let entry = &self.registry.threads[thread];
        let track = entry.mounted.map_or(entry.track, |mounted| mounted.track);
        let Some(JvmStream { calls, .. }) = self.streams.get_mut(&stream) else {
            return Ok(());
        };
        if kind == JvmKind::Past {
            calls.began(at.saturating_sub(record.java_id()));
            return Ok(());
        }
        let (depth, thrown) = (record.detail() >> 1, record.detail() & 1 == 1);
        calls.called(&mut self.writer, track, at, (probe.name, depth, thrown))
    }

    fn begin_activity(&mut self, thread: usize, at: u64, activity: Activity) -> Result {
        let entry = &mut self.registry.threads[thread];
        entry.unpark();
        entry.activity.begin(activity);
        self.has_activity(thread, at)
    }

    fn end_activity(&mut self, thread: usize, at: u64, kind: Activity) -> Result {
        let entry = &mut self.registry.threads[thread];
        entry.activity.end(kind);
        entry.is_park_by_probe = false;
        self.has_activity(thread, at)
    }

    /// What a thread wants is another thing from here on. It runs while it says so; without kernel records its word is all there is.
    fn has_activity(&mut self, thread: usize, at: u64) -> Result {
        let entry = &mut self.registry.threads[thread];
        if self.hosts[entry.host].has_kernel || entry.ended {
            return Ok(());
        }
        let doing = match entry.activity.now() {
            Activity::None => Doing::UNKNOWN,
            _ => entry.with_activity(State::Blocked, Cause::None),
        };
        entry.change(&mut self.writer, at, doing)
    }

    /// The thread of a stream, told once: streams are never used twice.
    fn stream_thread(&mut self, jvm: usize, stream: u32, tid: u32, at: u64) -> Option<usize> {
        if let Some(known) = self.streams.get(&(jvm, stream))
            && known.thread.is_some()
        {
            return known.thread;
        }
        let thread = self.java_thread(jvm, tid, at);
        if let Some(thread) = thread {
            self.system_calls.has_stream(thread, (jvm, stream));
        }
        self.streams.insert(
            (jvm, stream),
            JvmStream {
                thread,
                calls: Calls::new(at),
            },
        );
        thread
    }

    /// The thread that has this id in its JVM's own namespace now.
    pub(super) fn java_thread(&mut self, jvm: usize, tid: u32, at: u64) -> Option<usize> {
        if tid == 0 {
            return None;
        }
        let (process, _) = self.bind(jvm, at);
        let Jvm { host, pid, ns_pid, .. } = self.jvms[jvm];
        let tid = match self.jvms[jvm].tids.get(&tid) {
            Some(&tid) => tid,
            None if ns_pid == pid => tid,
            // Nobody's ids come from the kernel: a thread that had ended before it could be looked up keeps that of its own namespace.
            None if !self.hosts[host].has_kernel => tid,
            None => return self.newborn(jvm, process, tid),
        };
        match self.registry.find(host, tid) {
            Some(thread) => (self.registry.threads[thread].process == process).then_some(thread),
            // It is dead already: a last record that the clocks' uncertainty puts behind its end.
            None => match self.registry.find_dead(host, tid) {
                Some((thread, _)) if self.registry.threads[thread].process == process => Some(thread),
                _ => Some(self.registry.add_old(&mut self.writer, host, tid, pid)),
            },
        }
    }

    /// A thread was born in a process: where that is a JVM in another pid namespace, this is the id that the JVM will know it by.
    pub(super) fn learn_outside_tid(&mut self, host: usize, pid: u32, ns_tid: u32, tid: u32) {
        let of_process = |jvm: &&mut Jvm| (jvm.host, jvm.pid) == (host, pid) && jvm.ns_pid != pid;
        for jvm in self.jvms.iter_mut().filter(of_process) {
            jvm.tids.insert(ns_tid, tid);
        }
    }

    /// A thread that a JVM in another pid namespace started while recorded, by a kernel side that does not tell the ids inside: its id outside is that of the one thread of the process that runs now and has no name
    /// from the JVM yet. `None` where there are several.
    fn newborn(&mut self, jvm: usize, process: usize, tid: u32) -> Option<usize> {
        let host = self.jvms[jvm].host;
        let running = self.hosts[host].cpus.iter().filter_map(|cpu: &Cpu| match cpu.occupant {
            Occupant::Thread(thread) => Some(thread),
            _ => None,
        });
        let mut candidates = running.filter(|&thread| {
            let entry = &self.registry.threads[thread];
            entry.process == process && !entry.java
        });
        let thread = candidates.next()?;
        if candidates.next().is_some() {
            return None;
        }
        let outside = self.registry.threads[thread].tid;
        self.jvms[jvm].tids.insert(tid, outside);
        Some(thread)
    }

    /// The process of a JVM, and the JVM's own track; made known if they are not.
    pub(super) fn bind(&mut self, jvm: usize, at: u64) -> (usize, TrackId) {
        if let Some(bound) = self.jvms[jvm].bound {
            return bound;
        }
        let Jvm {
            host, pid, start_ticks, ..
        } = self.jvms[jvm];
        let same = |process: &usize| {
            self.registry.processes[*process]
                .start_ticks
                .is_none_or(|ticks| ticks == start_ticks)
        };
        let process = match self.registry.find_process(host, pid).filter(same) {
            Some(process) => process,
            None => self.registry.new_process(&mut self.writer, host, pid),
        };
        self.registry.processes[process].start_ticks = Some(start_ticks);
        self.bind_to(jvm, process, at)
    }

    /// As [`Machine::bind`], to a process that is known.
    pub(super) fn bind_to(&mut self, jvm: usize, process: usize, at: u64) -> (usize, TrackId) {
        let Jvm { host, ns_pid, .. } = self.jvms[jvm];
        let entry = &mut self.registry.processes[process];
        entry.jvm = Some(jvm);
        let id = entry.id;
        let described = self.writer.process_mut(id);
        described.jvm = true;
        if !self.jvms[jvm].is_without_agent {
            described.ns_pid = ns_pid;
        }
        let start_ns = self.hosts[host].from_ns;
        let track = self.writer.add_track(Track {
            kind: TrackKind::Jvm,
            process: id,
            tid: None,
            vthread: None,
            name: "JVM".into(),
            former_names: Vec::new(),
            group: None,
            start_ns,
            end_ns: at.max(start_ns),
            java: false,
        });
        self.jvms[jvm].bound = Some((process, track));
        (process, track)
    }
}
