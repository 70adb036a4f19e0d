//! The state machine: records in order of time in, intervals of tracks out.
//!
//! One [`Machine`] holds what is known now of every thread, CPU and JVM; a record changes that and writes what thereby ended. It keeps no past: the
//! memory of a merge is the threads, not the records.
//!
//! What is said of a thread before its first record follows from completeness alone. From the first switch record on (on any CPU) every
//! switch of the host is recorded, unless a loss says otherwise. So a thread whose first record is a switch-out was running since then; one that
//! is first woken was off its CPU (`blocked`: why is not recorded); one that has no record at all and was asleep in the snapshot slept all the time. Everything else is `unknown`.

mod accounting;
mod activity;
mod calls;
mod cause;
mod charge;
mod counted;
mod counters;
mod cpu;
mod definitions;
mod demangle;
mod extras;
mod facts;
mod finish;
mod java_stacks;
mod jvm;
mod kernel;
mod losses;
mod pauses;
mod registry;
mod safepoints;
mod sleeps;
mod slice_counters;
mod stacks;
mod syscalls;
mod thread;
mod unseen;
mod virtual_threads;
mod waits;

use crate::MergeError;
use crate::input::{Consumer, Gap, HostInput, JvmInput, LaneKind};
use accounting::AccountingClock;
use counters::Counter;
use cpu::{Cpu, Occupant};
use extras::Extras;
use jvm::{Jvm, JvmStream};
use plumb_trace::definition::Dated;
use plumb_trace::record::{JvmRecord, KernelRecord};
use plumb_trace::recording::CounterSample;
use plumb_trace::timeline::{Loss, Process, ProcessId, TimelineWriter, Track, TrackId, TrackKind};
use registry::Registry;
use rustc_hash::FxHashMap;
use slice_counters::SliceCounters;
use stacks::Stacks;
use std::collections::VecDeque;
use syscalls::SystemCalls;
use virtual_threads::VirtualThreads;

/// What is known of a host now.
#[derive(Debug)]
struct Host {
    cpus: Vec<Cpu>,
    has_kernel: bool,
    accounting: AccountingClock,
    /// The last times that a CPU was had by somebody of whom nothing is recorded.
    holes: VecDeque<(u64, u64)>,
    /// From its first switch record on, every switch is recorded.
    covered_from: Option<u64>,
    first_loss: Option<u64>,
    /// The traced processes alone were recorded.
    alone: bool,
    last_loss: Option<u64>,
    from_ns: u64,
    boottime_offset_ns: i64,
    shift_ns: i64,
    /// The process that CPU tracks belong to.
    idle: Option<ProcessId>,
    /// (pid, start ticks where known) of the processes that the recording is about.
    targets: Vec<u32>,
    recorders: Vec<u32>,
}

/// What could not be used, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities {
    /// Kernel or JVM records of a kind that this version does not know.
    pub(crate) unknown_kinds: u64,
    /// Times that a thread was seen to come to a CPU and not to leave it.
    pub(crate) unseen_leavings: u64,
    /// Records that came late.
    pub(crate) late: u64,
    /// JVM records of threads that could not be told.
    pub(crate) nameless: u64,
}

/// The merge's state.
pub(crate) struct Machine {
    pub(crate) writer: TimelineWriter,
    now: u64,
    from_ns: u64,
    registry: Registry,
    hosts: Vec<Host>,
    jvms: Vec<Jvm>,
    streams: FxHashMap<(usize, u32), JvmStream>,
    virtual_threads: VirtualThreads,
    /// By host and number.
    counters: FxHashMap<(usize, u32), Counter>,
    extras: Extras,
    slice_counters: SliceCounters,
    system_calls: SystemCalls,
    stacks: Stacks,
    losses: Vec<Loss>,
    pub(crate) oddities: Oddities,
}

impl Machine {
    pub(crate) fn new(writer: TimelineWriter, hosts: &[HostInput], jvms: Vec<JvmInput>) -> Machine {
        let from_ns = hosts.iter().map(|host| host.from_ns).min().unwrap_or(0);
        let mut registry = Registry::default();
        let hosts = hosts
            .iter()
            .map(|input| {
                registry.add_host(input.from_ns);
                Host::new(input)
            })
            .collect();
        let mut machine = Machine {
            writer,
            now: from_ns,
            from_ns,
            registry,
            hosts,
            jvms: Vec::new(),
            streams: FxHashMap::default(),
            virtual_threads: VirtualThreads::default(),
            counters: FxHashMap::default(),
            extras: Extras::default(),
            slice_counters: SliceCounters::default(),
            system_calls: SystemCalls::default(),
            stacks: Stacks::default(),
            losses: Vec::new(),
            oddities: Oddities::default(),
        };
        machine.jvms = jvms
            .into_iter()
            .enumerate()
            .map(|(place, input)| Jvm::new(place, input, &mut machine.writer))
            .collect();
        machine
    }

    /// The time of a record: never before one that was seen.
    fn at(&mut self, at: u64) -> u64 {
        if at < self.now {
            // Records of before the start (a ring that was filled while programs were attached) are no wonder.
            self.oddities.late += u64::from(self.now > self.from_ns);
        }
        self.now = self.now.max(at);
        self.now
    }

    /// The host that a lane is of.
    pub(crate) fn host_of(&self, lane: LaneKind) -> usize {
        match lane {
            LaneKind::Host { host } | LaneKind::Counters { host } | LaneKind::Cpu { host, .. } => host,
            LaneKind::JvmDefinitions { jvm } | LaneKind::Jvm { jvm, .. } => self.jvms[jvm].host,
        }
    }

    /// Last instant that was seen.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    fn cpu(&mut self, host: usize, cpu: u16) -> &mut Cpu {
        let Host { cpus, covered_from, .. } = &mut self.hosts[host];
        while cpus.len() <= usize::from(cpu) {
            cpus.push(Cpu::new(*covered_from));
        }
        &mut cpus[usize::from(cpu)]
    }

    /// Makes a CPU's track, at its first switch.
    fn ensure_cpu_track(&mut self, host: usize, cpu: u16) {
        if self.cpu(host, cpu).track.is_some() {
            return;
        }
        let process = self.idle_process(host);
        let track = self.writer.add_track(Track {
            kind: TrackKind::Cpu,
            process,
            tid: Some(u32::from(cpu)),
            vthread: None,
            name: format!("CPU {cpu}"),
            former_names: Vec::new(),
            group: None,
            start_ns: self.hosts[host].from_ns,
            end_ns: self.hosts[host].from_ns,
            java: false,
        });
        self.cpu(host, cpu).track = Some(track);
    }

    fn idle_process(&mut self, host: usize) -> ProcessId {
        let writer = &mut self.writer;
        *self.hosts[host].idle.get_or_insert_with(|| {
            writer.add_process(Process {
                host: host as u32,
                name: "idle".into(),
                kernel: true,
                ..Process::default()
            })
        })
    }

    fn occupant_track(&self, occupant: Occupant) -> Option<TrackId> {
        match occupant {
            Occupant::Thread(thread) => Some(self.registry.threads[thread].track),
            Occupant::Idle | Occupant::Unknown => None,
        }
    }
}

impl Host {
    fn new(input: &HostInput) -> Host {
        Host {
            cpus: Vec::new(),
            has_kernel: input.has_kernel,
            accounting: AccountingClock::default(),
            holes: VecDeque::new(),
            covered_from: None,
            first_loss: None,
            alone: false,
            last_loss: None,
            from_ns: input.from_ns,
            boottime_offset_ns: input.boottime_offset_ns,
            shift_ns: input.shift_ns,
            idle: None,
            targets: input
                .manifests
                .iter()
                .flat_map(|manifest| manifest.targets.iter().copied())
                .collect(),
            recorders: input.manifests.iter().map(|manifest| manifest.recorder_pid).collect(),
        }
    }
}

impl Consumer for Machine {
    type Error = MergeError;

    fn kernel(&mut self, host: usize, cpu: u16, at: u64, record: &KernelRecord) -> Result<(), MergeError> {
        let at = self.at(at);
        Ok(self.kernel_record(host, cpu, at, record)?)
    }

    fn jvm(&mut self, jvm: usize, stream: u32, tid: u32, at: u64, record: &JvmRecord) -> Result<(), MergeError> {
        let at = self.at(at);
        Ok(self.jvm_record(jvm, stream, tid, at, record)?)
    }

    fn definition(&mut self, source: LaneKind, at: u64, dated: &Dated) -> Result<(), MergeError> {
        let at = self.at(at);
        Ok(self.define(source, at, &dated.definition)?)
    }

    fn counter(&mut self, host: usize, at: u64, sample: &CounterSample) -> Result<(), MergeError> {
        Ok(self.count(host, at, sample)?)
    }

    fn lost(&mut self, lane: LaneKind, gap: Gap) -> Result<(), MergeError> {
        Ok(self.lose(lane, gap)?)
    }
}
