//! One thread's life: what it does now, and the rule by which that becomes an interval of its track.
//!
//! A thread is always doing exactly one thing since some instant ([`Thread::since`]). An interval is written when that ends, and the next one
//! begins where it ended: nothing else writes states, so they are contiguous whatever the records say.

use super::activity::{Activities, Activity};
use super::charge::Charge;
use super::sleeps::Waiting;
use super::virtual_threads::Mounted;
use super::waits::Waits;
use plumb_trace::State;
use plumb_trace::timeline::{Cause, StateInterval, StringId, TimelineError, TimelineWriter, TrackId};

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    pub(crate) state: State,
    pub(crate) cpu: Option<u16>,
    pub(crate) peer: Option<TrackId>,
    pub(crate) cause: Cause,
}

impl Doing {
    pub(crate) const UNKNOWN: Doing = Doing::just(State::Unknown);

    pub(crate) const fn just(state: State) -> Doing {
        Doing {
            state,
            cpu: None,
            peer: None,
            cause: Cause::None,
        }
    }

    pub(crate) const fn running(cpu: u16) -> Doing {
        Doing {
            cpu: Some(cpu),
            ..Doing::just(State::Running)
        }
    }

    /// Neither on a CPU nor in a queue for one, as far as is known.
    pub(crate) fn is_off(&self) -> bool {
        !matches!(
            self.state,
            State::Running | State::Ready | State::Throttled | State::Unknown
        )
    }
}

/// Who made a thread runnable, from sched_waking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waker {
    pub(crate) at: u64,
    pub(crate) track: Option<TrackId>,
    pub(crate) interrupt: bool,
    /// The CPU that it was on last.
    pub(crate) cpu: Option<u16>,
    /// It slept then, and why it did has been settled.
    pub(crate) was_asleep: bool,
}

/// How much is known of a thread's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No record of the scheduler yet; the state letter of the snapshot, if it was in one.
    Never(Option<char>),
    /// Forked, not yet queued; its parent.
    Newborn(Option<TrackId>),
    /// Yes.
    Yes,
}

/// A thread of the recording, from its birth to its death.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) track: TrackId,
    /// Place in the registry's processes.
    pub(crate) process: usize,
    pub(crate) host: usize,
    pub(crate) tid: u32,
    pub(crate) pid: u32,
    pub(crate) since: u64,
    pub(crate) doing: Doing,
    pub(crate) seen: Seen,
    /// The CPU that it was last seen on.
    pub(crate) cpu: Option<u16>,
    pub(crate) charge: Charge,
    /// (voluntary, involuntary) switches at its last switch-out, low 16 bits.
    pub(crate) switches: Option<(u16, u16)>,
    pub(crate) waker: Option<Waker>,
    pub(crate) waits: Waits,
    pub(crate) activity: Activities,
    /// The activity is a park that a probe of libjvm told of.
    pub(crate) is_park_by_probe: bool,
    /// A pool's worker that asks for work: what it waits for is that.
    pub(crate) asks_for_work: bool,
    /// The virtual thread that it carries.
    pub(crate) mounted: Option<Mounted>,
    /// It has carried one.
    pub(crate) is_carrier: bool,
    /// Where it waits, if somebody looked.
    pub(crate) waiting: Waiting,
    /// Its priority when it last came to a CPU, if that was told.
    pub(crate) priority: Option<u8>,
    pub(crate) java: bool,
    /// The name came from the JVM, which knows it whole; the kernel's is cut.
    pub(crate) java_name: bool,
    /// Set when it died.
    pub(crate) ended: bool,
}

/// A thread's track, process (place in the registry), host, and its ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) track: TrackId,
    pub(crate) process: usize,
    pub(crate) host: usize,
    pub(crate) tid: u32,
    pub(crate) pid: u32,
}

impl Thread {
    pub(crate) fn new(identity: Identity, since: u64, doing: Doing, seen: Seen) -> Thread {
        let Identity {
            track,
            process,
            host,
            tid,
            pid,
        } = identity;
        Thread {
            track,
            process,
            host,
            tid,
            pid,
            since,
            doing,
            seen,
            cpu: None,
            charge: Charge::default(),
            switches: None,
            waker: None,
            waits: Waits::default(),
            activity: Activities::default(),
            is_park_by_probe: false,
            asks_for_work: false,
            mounted: None,
            is_carrier: false,
            waiting: Waiting::default(),
            priority: None,
            java: false,
            java_name: false,
            ended: false,
        }
    }

    /// A park that a probe of libjvm told of is over.
    pub(crate) fn unpark(&mut self) {
        if std::mem::take(&mut self.is_park_by_probe) {
            self.activity = Activities::default();
        }
    }

    /// Ends what it does now at `at` and begins `next`.
    pub(crate) fn change(&mut self, writer: &mut TimelineWriter, at: u64, next: Doing) -> Result<(), TimelineError> {
        self.close(writer, at, 0, false)?;
        self.doing = next;
        if let State::Running | State::Ready = next.state {
            self.cpu = next.cpu.or(self.cpu);
        }
        Ok(())
    }

    /// Writes what it does now up to `at`; from there on it is to be replaced by the caller.
    pub(crate) fn close(
        &mut self,
        writer: &mut TimelineWriter,
        at: u64,
        stolen_ns: u64,
        involuntary: bool,
    ) -> Result<(), TimelineError> {
        let (start, doing) = (self.since, self.doing);
        self.since = self.since.max(at);
        self.write(writer, (start, at), doing, stolen_ns, involuntary)
    }

    /// The virtual thread that it carries leaves at `at`: its states are written up to there.
    pub(crate) fn let_go(&mut self, writer: &mut TimelineWriter, at: u64) -> Result<Option<Mounted>, TimelineError> {
        let Some(mut mounted) = self.mounted.take() else {
            return Ok(None);
        };
        mounted.mirror(writer, &interval((self.since, at), self.doing, 0, false))?;
        Ok(Some(mounted))
    }

    fn write(
        &mut self,
        writer: &mut TimelineWriter,
        (start_ns, end_ns): (u64, u64),
        doing: Doing,
        stolen_ns: u64,
        involuntary: bool,
    ) -> Result<(), TimelineError> {
        if end_ns <= start_ns || self.ended {
            return Ok(());
        }
        self.waiting
            .see(writer, self.track, (start_ns, end_ns), doing.is_off())?;
        let interval = interval((start_ns, end_ns), doing, stolen_ns, involuntary);
        if let Some(mounted) = &mut self.mounted {
            mounted.mirror(writer, &interval)?;
        }
        // The wait goes on in the next interval, unless the JVM says that it is over.
        self.activity.sleeps_in(interval.state);
        writer.state(self.track, &interval)
    }

    /// What it was thought to be doing up to now was not so: what it did since then is not known.
    pub(crate) fn forget_since(&mut self) {
        self.charge.forget();
        self.waits.forget();
        self.waker = None;
        self.waiting.forget();
        self.doing = Doing::UNKNOWN;
    }

    /// Nothing is known from `at` on.
    pub(crate) fn lose_sight(&mut self, writer: &mut TimelineWriter, at: u64) -> Result<(), TimelineError> {
        self.charge.forget();
        self.waits.forget();
        self.waker = None;
        if self.doing.state == State::Unknown {
            return Ok(());
        }
        self.change(writer, at, Doing::UNKNOWN)
    }

    /// What it does off its CPU: where the JVM knows why it waits in a futex, that is why.
    pub(crate) fn with_activity(&self, state: State, cause: Cause) -> Doing {
        explained(state, cause, self.activity.now(), self.asks_for_work)
    }

    /// The kernel counted this switch-out as involuntary; `fallback` where its counters are not known yet.
    pub(crate) fn counts_involuntary(&mut self, nvcsw: u16, nivcsw: u16, fallback: bool) -> bool {
        let before = self.switches.replace((nvcsw, nivcsw));
        match before {
            Some((_, involuntary)) if nivcsw != involuntary => true,
            Some((voluntary, _)) if nvcsw != voluntary => false,
            _ => fallback,
        }
    }
}

/// What a thread does off its CPU, by what it has said of it.
pub(crate) fn explained(state: State, cause: Cause, activity: Activity, asks_for_work: bool) -> Doing {
    let idle_or = |state| if asks_for_work { State::Idle } else { state };
    let (state, cause) = match (state, activity) {
        (State::Futex | State::Blocked, Activity::Monitor(class)) => (State::Monitor, class),
        (State::Futex | State::Blocked, Activity::MonitorAgain(class)) => (State::Monitor, again(class)),
        (State::Futex | State::Blocked, Activity::Wait(class)) => (idle_or(State::Wait), class),
        (State::Futex | State::Blocked, Activity::Park(class)) => (idle_or(State::Park), class),
        (State::Futex | State::Blocked, Activity::Sleep) => (idle_or(State::Sleep), cause),
        // It waits for work in a way of its own: HotSpot's fork-join pools, a selector.
        (State::Futex | State::Blocked | State::Poll, Activity::None) => (idle_or(state), cause),
        _ => (state, cause),
    };
    Doing {
        cause,
        ..Doing::just(state)
    }
}

fn again(cause: Cause) -> Cause {
    match cause {
        Cause::Class(class) => Cause::ClassAgain(class),
        // Its class is not known.
        _ => Cause::ClassAgain(StringId::default()),
    }
}

fn interval((start_ns, end_ns): (u64, u64), doing: Doing, stolen_ns: u64, involuntary: bool) -> StateInterval {
    let Doing {
        state,
        cpu,
        peer,
        cause,
    } = doing;
    StateInterval {
        start_ns,
        end_ns,
        state,
        cpu,
        stolen_ns,
        peer,
        cause,
        involuntary,
    }
}
