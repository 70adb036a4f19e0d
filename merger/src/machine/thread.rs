//! One thread's life: what it does now, and the rule by which that becomes an interval of its track.
//!
//! A thread is always doing exactly one thing since some instant ([`Thread::since`]). An interval is written when that ends, and the next one
//! begins where it ended: nothing else writes states, so they are contiguous whatever the records say.

use super::charge::Charge;
use plumb_trace::State;
use plumb_trace::timeline::{Cause, StateInterval, TimelineError, TimelineWriter, TrackId};

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

/// Why the JVM says that the thread does not run, while it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    #[default]
    None,
    /// Between monitor_enter and monitor_entered.
    Monitor(Cause),
    /// Between wait and waited.
    Wait(Cause),
}

/// Who made a thread runnable, from sched_waking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waker {
    pub(crate) at: u64,
    pub(crate) track: Option<TrackId>,
    pub(crate) interrupt: bool,
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
    /// (voluntary, involuntary) switches at its last switch-out.
    pub(crate) switches: Option<(u32, u32)>,
    pub(crate) waker: Option<Waker>,
    pub(crate) activity: Activity,
    pub(crate) java: bool,
    /// The name came from the JVM, which knows it whole; the kernel's is cut.
    pub(crate) java_name: bool,
    /// Set when it died.
    pub(crate) ended: bool,
}

impl Thread {
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
        if at <= self.since || self.ended {
            return Ok(());
        }
        let Doing {
            state,
            cpu,
            peer,
            cause,
        } = self.doing;
        let interval = StateInterval {
            start_ns: self.since,
            end_ns: at,
            state,
            cpu,
            stolen_ns,
            peer,
            cause,
            involuntary,
        };
        self.since = at;
        writer.state(self.track, &interval)
    }

    /// What it was thought to be doing up to now was not so: what it did since then is not known.
    pub(crate) fn forget_since(&mut self) {
        self.charge.forget();
        self.waker = None;
        self.doing = Doing::UNKNOWN;
    }

    /// Nothing is known from `at` on.
    pub(crate) fn lose_sight(&mut self, writer: &mut TimelineWriter, at: u64) -> Result<(), TimelineError> {
        self.charge.forget();
        self.waker = None;
        if self.doing.state == State::Unknown {
            return Ok(());
        }
        self.change(writer, at, Doing::UNKNOWN)
    }

    /// What it does off its CPU: where the JVM knows why it waits in a futex, that is why.
    pub(crate) fn with_activity(&self, state: State, cause: Cause) -> Doing {
        let may_be_monitor = matches!(state, State::Futex | State::Blocked);
        match self.activity {
            Activity::Monitor(class) if may_be_monitor => Doing {
                cause: class,
                ..Doing::just(State::Monitor)
            },
            Activity::Wait(class) if may_be_monitor => Doing {
                cause: class,
                ..Doing::just(State::Wait)
            },
            _ => Doing {
                cause,
                ..Doing::just(state)
            },
        }
    }

    /// The kernel counted this switch-out as involuntary; `fallback` where its counters are not known yet.
    pub(crate) fn counts_involuntary(&mut self, nvcsw: u32, nivcsw: u32, fallback: bool) -> bool {
        let before = self.switches.replace((nvcsw, nivcsw));
        match before {
            Some((_, involuntary)) if nivcsw != involuntary => true,
            Some((voluntary, _)) if nvcsw != voluntary => false,
            _ => fallback,
        }
    }
}
