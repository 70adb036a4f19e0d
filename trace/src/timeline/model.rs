//! The words of a timeline. All times are CLOCK_MONOTONIC ns of the first host; all ranges are half open, `from <= t < to`.

use crate::State;
use serde::{Deserialize, Serialize};

/// Number of a track: its place in [`Query::tracks`](super::Query::tracks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrackId(pub u32);

/// Number of a process: its place in [`Query::processes`](super::Query::processes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId(pub u32);

/// Number of a string, see [`Query::string`](super::Query::string). 0 is the empty string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StringId(pub u32);

/// Number of a stack, see [`Query::stack`](super::Query::stack). 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(pub u32);

/// What the whole timeline is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// First instant.
    pub from_ns: u64,
    /// End.
    pub to_ns: u64,
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC at the start, ns.
    pub realtime_offset_ns: i64,
    /// Version of plumb that merged.
    pub plumb_version: String,
    /// The hosts.
    pub hosts: Vec<HostInfo>,
    /// Names of groups, in the rules' order.
    pub groups: Vec<String>,
    /// How far the JVM's times may be off the kernel's, ns.
    pub clock_uncertainty_ns: u64,
    /// What the merger could not use or has doubts about, one line each.
    pub notes: Vec<String>,
}

/// A host of the timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Host name.
    pub name: String,
    /// Boot id.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// Number of CPUs.
    pub cpus: u32,
    /// Whether there are kernel records: without them, states are those of the JVM only.
    pub has_kernel: bool,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Host, place in [`Info::hosts`].
    pub host: u32,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Process id in its own namespace.
    pub ns_pid: u32,
    /// Short name (comm of the main thread, or of the last exec).
    pub name: String,
    /// Command line.
    pub cmdline: String,
    /// A JVM whose agent was recorded.
    pub jvm: bool,
    /// Attached to or started by the recording.
    pub target: bool,
    /// plumb itself.
    pub plumb: bool,
    /// A kernel thread's (pid 2's children, and the idle task's pid 0).
    pub kernel: bool,
    /// cgroup path, or empty.
    pub cgroup: String,
}

/// What a track shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrackKind {
    /// A thread of the kernel's: states, slices, flows.
    Thread,
    /// A virtual thread.
    VirtualThread,
    /// A JVM: its pauses are slices, whose names [`crate::pauses`] explains.
    Jvm,
    /// A CPU: its occupancy, see [`Query::occupancy`](super::Query::occupancy).
    Cpu,
    /// A counter, see [`Query::counters`](super::Query::counters): of a process; of a thread of it, which the `tid` tells; of a CPU, whose number is the `tid`, where the process is the idle one; of the
    /// host, where there is no `tid` either.
    Counter {
        /// What one is, a word to stand behind a number: `ns`, `bytes`, `threads`. Values are whole numbers: let it be fine enough (`ppm`, not `%`).
        unit: StringId,
    },
}

/// A track: one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Kind.
    pub kind: TrackKind,
    /// Process that it belongs to (the host's idle process for CPUs, and for counters of a CPU or of the host).
    pub process: ProcessId,
    /// Thread id in the initial namespace; the CPU's number for a CPU and for a CPU's counter; `None` for a virtual thread and a JVM.
    pub tid: Option<u32>,
    /// Virtual thread's number.
    pub vthread: Option<u64>,
    /// Last name.
    pub name: String,
    /// Earlier names: until when each held.
    pub former_names: Vec<(u64, String)>,
    /// Group, place in [`Info::groups`].
    pub group: Option<u32>,
    /// Birth, or the timeline's start.
    pub start_ns: u64,
    /// Death, or the timeline's end.
    pub end_ns: u64,
    /// A Java thread (seen by the agent).
    pub java: bool,
}

/// What the JVM knew of a thread when it was first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JavaThread {
    /// Name of its thread group, or empty.
    pub group: String,
    /// A daemon, which keeps no JVM from ending.
    pub daemon: bool,
    /// Java priority, 1 to 10.
    pub priority: u32,
}

/// Why an interval's state began, or what it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Nothing more is known.
    #[default]
    None,
    /// ready: woken by the peer.
    Woken,
    /// ready: woken out of an interrupt.
    WokenByInterrupt,
    /// ready: the peer took its CPU.
    Preempted,
    /// ready: it gave its CPU away by itself (sched_yield).
    Yielded,
    /// ready: newly born, the peer is the parent.
    Born,
    /// monitor, wait, park, idle: class of the object.
    Class(StringId),
    /// monitor: as `Class`, and the interval before it in this state was of the same wait. Some JVMs have who waits look by itself now and then whether the lock is free.
    ClassAgain(StringId),
    /// net, disk, poll, futex, syscall, sleep: the system call's number, and the kind of its file (see [`crate::record::fd_kind`]).
    Syscall {
        /// System call number of the recording's architecture (x86-64).
        number: u16,
        /// Kind of file.
        fd_kind: u8,
    },
}

impl Cause {
    /// The class of the object that is waited for.
    #[must_use]
    pub fn class(self) -> Option<StringId> {
        match self {
            Cause::Class(class) | Cause::ClassAgain(class) => Some(class),
            _ => None,
        }
    }
}

/// A stretch of one state of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateInterval {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// State; never [`State::Stolen`].
    pub state: State,
    /// running: the CPU; ready: the CPU whose queue it waits in.
    pub cpu: Option<u16>,
    /// running: how much of it the hypervisor (or interrupts, see [`Info::notes`]) took, at most the length.
    pub stolen_ns: u64,
    /// ready: waker or preemptor; monitor: the owner (who released it); running, of a virtual thread: its carrier; otherwise who ended it.
    pub peer: Option<TrackId>,
    /// Cause.
    pub cause: Cause,
    /// running: it was left involuntarily (counted as such by the kernel); of a virtual thread that is blocked: it keeps its carrier, see [`StateInterval::is_pinned`]; else false.
    pub involuntary: bool,
}

impl StateInterval {
    /// Length, ns.
    #[must_use]
    pub fn length_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }

    /// Whether it is a virtual thread's that is blocked and keeps its carrier all the same.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.involuntary && self.state != State::Running
    }
}

/// A stretch of a track at a coarse zoom: what was there most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoarseState {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// The state that had the largest part.
    pub state: State,
    /// Parts of 255 of the stretch in which the thread was on a CPU.
    pub running: u8,
}

/// A method call, or a pause of a JVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// Name.
    pub name: StringId,
    /// Calls around it.
    pub depth: u16,
    /// Left by an exception.
    pub thrown: bool,
    /// Begin not seen: it is the timeline's, the thread's or a loss's.
    pub open_start: bool,
    /// End not seen.
    pub open_end: bool,
}

impl Slice {
    /// One whose begin and end were seen, and that no exception ended.
    #[must_use]
    pub fn whole((start_ns, end_ns): (u64, u64), name: StringId, depth: u16) -> Slice {
        Slice {
            start_ns,
            end_ns,
            name,
            depth,
            thrown: false,
            open_start: false,
            open_end: false,
        }
    }
}

/// A sleep of a thread of which stacks were recorded: from when it left its CPU until it could go on. Its states tell why; a sleep may be several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// Where it slept; none where that was not recorded.
    pub stack: StackId,
    /// Where it was woken from; none where that was not recorded, or an interrupt woke it.
    pub waker_stack: StackId,
    /// Who woke it, where it has a stack.
    pub waker: Option<TrackId>,
    /// The Java methods that it slept in; none where they were not asked for, or it did not sleep long enough.
    pub java_stack: StackId,
}

/// One unit of work: a request, a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Name of the kind of unit.
    pub name: StringId,
    /// What it was about, or the empty string.
    pub key: StringId,
    /// Track that did it, or began it.
    pub track: TrackId,
    /// Number by which its parts refer to it; 0: all of it was done by its track.
    pub number: u64,
    /// Begin.
    pub start_ns: u64,
    /// End: that of its last part.
    pub end_ns: u64,
    /// Left by an exception.
    pub thrown: bool,
    /// Begin and end both seen: only those count in latencies.
    pub complete: bool,
}

/// What one thread did of a unit that several worked on: between start and end it worked on nothing else. Parts of one unit may overlap in time, not on one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitPart {
    /// The unit's number.
    pub number: u64,
    /// Name of the kind of unit.
    pub name: StringId,
    /// The unit's key, or the empty string.
    pub key: StringId,
    /// Track that did it.
    pub track: TrackId,
    /// When it was handed over to that track: from then to its start it waited. The start, of a unit's first part.
    pub handed_ns: u64,
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
}

/// Who had a CPU. Between two of these where nothing is, nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// The thread; `None`: idle.
    pub track: Option<TrackId>,
}

/// A stretch of a CPU at a coarse zoom. A gap that is shorter is within it, and counts as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoarseOccupancy {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// The thread that had most of the time that was not idle, however little that is; `None`: idle all the time.
    pub track: Option<TrackId>,
    /// Parts of 255 of what is known of the stretch in which the CPU was not idle: 0 with no track only.
    pub busy: u8,
}

/// A stretch of a counter: a sample, which holds from its time until the next one's (the last one until its track's end), or at a coarse zoom several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterPoint {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// Smallest value, in the track's unit.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// Value at the end.
    pub last: i64,
}

/// Records that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Stream, as the recording names it (`cpu-0`, `jvm-4711/http-nio-8080-exec-1`).
    pub stream: String,
    /// From.
    pub from_ns: u64,
    /// To.
    pub to_ns: u64,
    /// How many; `None` where it cannot be known.
    pub events: Option<u64>,
}

/// What a track did within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Nanoseconds by state; `running` is without `stolen`.
    pub states: crate::StateTotals,
    /// Times it left a CPU by its own will.
    pub voluntary: u64,
    /// Times it was made to leave.
    pub involuntary: u64,
    /// Times it came to another CPU than the one it had.
    pub migrations: u64,
    /// The window cuts a running interval with stolen time, which was prorated.
    pub prorated: bool,
}
