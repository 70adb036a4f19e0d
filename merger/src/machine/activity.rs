//! What a thread wants, as the JVM tells it: why it does not run, while it does not.
//!
//! A sleep and a park may be for a while in another wait: with a time limit, JDK 21 takes a lock to set the clock. What is begun within one of them ends alone.

use plumb_trace::State;
use plumb_trace::timeline::Cause;

/// Why the JVM says that the thread does not run, while it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    #[default]
    None,
    /// Between monitor_enter and monitor_entered, before it has slept.
    Monitor(Cause),
    /// The same, after it has slept and looked whether the lock is free.
    MonitorAgain(Cause),
    /// Between wait and waited.
    Wait(Cause),
    /// In LockSupport.park.
    Park(Cause),
    /// In Thread.sleep.
    Sleep,
}

impl Activity {
    fn is_alike(self, other: Activity) -> bool {
        let kind = |activity| match activity {
            Activity::MonitorAgain(class) => Activity::Monitor(class),
            activity => activity,
        };
        std::mem::discriminant(&kind(self)) == std::mem::discriminant(&kind(other))
    }
}

/// An activity, and the one that it is within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activities {
    now: Activity,
    outer: Activity,
}

impl Activities {
    /// What the thread does not run for.
    pub(crate) fn now(self) -> Activity {
        self.now
    }

    /// One begins.
    pub(crate) fn begin(&mut self, activity: Activity) {
        let is_within = matches!(self.now, Activity::Park(_)) || self.now == Activity::Sleep;
        if !is_within || activity == Activity::Sleep {
            self.outer = Activity::None;
        } else if self.outer == Activity::None {
            self.outer = self.now;
        }
        self.now = activity;
    }

    /// The thread falls asleep, in this state.
    pub(crate) fn sleeps_in(&mut self, state: State) {
        if let (State::Monitor, Activity::Monitor(class)) = (state, self.now) {
            self.now = Activity::MonitorAgain(class);
        }
    }

    /// One of this kind ends. What has not begun ends whatever was thought to be.
    pub(crate) fn end(&mut self, kind: Activity) {
        let outer = std::mem::take(&mut self.outer);
        self.now = if self.now.is_alike(kind) { outer } else { Activity::None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARK: Activity = Activity::Park(Cause::None);
    const WAIT: Activity = Activity::Wait(Cause::None);

    #[test]
    fn what_is_within_another_ends_alone() {
        for outer in [Activity::Sleep, PARK] {
            let mut activities = Activities::default();
            activities.begin(outer);
            activities.begin(PARK);
            activities.end(PARK);
            assert_eq!(activities.now(), outer);
            activities.begin(Activity::Monitor(Cause::None));
            activities.sleeps_in(State::Monitor);
            activities.end(Activity::Monitor(Cause::None));
            assert_eq!(activities.now(), outer);
            activities.end(outer);
            assert_eq!(activities.now(), Activity::None);
        }
    }

    #[test]
    fn ends_without_a_begin_and_begins_without_an_end_do_not_last() {
        let mut activities = Activities::default();
        activities.begin(Activity::Sleep);
        activities.end(WAIT);
        assert_eq!(activities.now(), Activity::None);
        activities.begin(WAIT);
        activities.begin(PARK);
        activities.end(PARK);
        assert_eq!(activities.now(), Activity::None, "a wait is in nothing else");
        activities.begin(PARK);
        activities.begin(Activity::Sleep);
        activities.end(Activity::Sleep);
        assert_eq!(activities.now(), Activity::None, "nobody sleeps within a park");
    }
}
