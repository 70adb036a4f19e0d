//! Threads that have waited longer than a rule says: found by the agent's own thread, which takes their stacks.
//!
//! A thread whose processor time stands still does not run. That is one system call for each thread that a rule names, some quarter of a microsecond, and touches nothing that the thread itself uses; looks come so
//! seldom that they take at most a hundredth of one CPU. Only of a thread that has been found so is the JVM asked anything. Who waited for a CPU all the time is told apart by the merger, which knows.
//!
//! Here are the platform threads; one that waits while it carries a virtual thread has nothing to tell itself. The virtual ones, where they are recorded, are in [`virtual_waits`]; the stack of one that has no carrier
//! is taken from where the JVM keeps it, and of one that keeps its carrier by a handshake with that.

use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::jthread;
use plumb_trace::definition::STACKS;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::events::gettid;
use super::jni::Jni;
use super::probe::record;
use super::quiet::used_ns;
use super::rules::RuleSet;
use super::session::Session;
use super::stacks::{Stacks, Taken, can_be_taken, can_be_taken_unmounted};
use super::{Agent, idlers, quiet, virtual_waits};

/// Looks within the shortest wait that a rule names.
const LOOKS: u32 = 5;
/// Shortest and longest time between two looks.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(250));
/// A look may take this part of the time until the next, in processor time.
const LOOK_PART: u32 = 100;
/// Stacks that are taken in a second.
const STACKS_A_SECOND: u32 = 50;

/// Who is looked at.
pub struct Waits {
    can_look: Option<bool>,
    can_take_unmounted: Option<bool>,
    /// What `watched` was made of.
    rules: Option<Arc<RuleSet>>,
    generation: u64,
    watched: Vec<Watched>,
    stacks: Stacks,
    next_look: Instant,
    budget: Budget,
}

/// A thread that a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watched {
    java_id: u64,
    tid: u32,
    after: Duration,
    /// Its processor time at the last look, and when that was first seen.
    seen: Option<(u64, Instant)>,
    /// The stack of this wait was taken.
    is_told: bool,
}

impl Watched {
    /// It has used so much now; how long it has waited by then, where that is to be told.
    fn look(&mut self, used_ns: Option<u64>, now: Instant) -> Option<Duration> {
        let used_ns = used_ns?;
        match self.seen {
            Some((before, since)) if before == used_ns => {
                let waited = now.saturating_duration_since(since);
                (waited > self.after && !self.is_told).then_some(waited)
            }
            _ => {
                self.seen = Some((used_ns, now));
                self.is_told = false;
                None
            }
        }
    }
}

/// Who has waited long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// A place in `watched`.
    Platform(usize),
    /// A Java id.
    Virtual(u64),
}

/// Processor time of this thread.
fn own_used() -> Duration {
    used_ns(gettid()).map_or(Duration::ZERO, Duration::from_nanos)
}

impl Waits {
    /// Nobody yet.
    pub fn new() -> Waits {
        Waits {
            can_look: None,
            can_take_unmounted: None,
            rules: None,
            generation: 0,
            watched: Vec::new(),
            stacks: Stacks::default(),
            next_look: Instant::now(),
            budget: Budget::new(STACKS_A_SECOND),
        }
    }

    /// How long until the next look; none: nobody is to be looked at.
    pub fn patience(&self, session: &Session) -> Option<Duration> {
        let is_wanted = self.can_look != Some(false) && session.rules().matcher.wants_stacks();
        is_wanted.then(|| self.next_look.saturating_duration_since(Instant::now()))
    }

    /// Looks, if it is time.
    pub fn look(&mut self, agent: &'static Agent, session: &Session, jni: Jni) {
        let (begin, used_before) = (Instant::now(), own_used());
        if begin < self.next_look || self.patience(session).is_none() || !self.can_look(agent, session) {
            return;
        }
        let rules = session.rules();
        self.watch(session, &rules);
        let mut long: Vec<(Duration, Who)> = Vec::new();
        for (place, watched) in self.watched.iter_mut().enumerate() {
            if let Some(waited) = watched.look(used_ns(watched.tid), begin)
                && !idlers::is_idle(watched.tid)
                // Who has no CPU does not wait for what its stack shows, and would have to get one to tell it.
                && quiet::state(watched.tid) != Some('R')
            {
                long.push((waited, Who::Platform(place)));
            }
        }
        // They would use up what may be taken for nothing, where none of them can be.
        let unmounted = virtual_waits::is_any_known() && self.can_take_unmounted(agent, session);
        let virtual_ones = virtual_waits::long_waits(jni, begin, unmounted).into_iter();
        long.extend(virtual_ones.map(|(waited, id)| (waited, Who::Virtual(id))));
        virtual_waits::tell_left_out(session, false);
        if !long.is_empty() {
            // Who has waited longest first: the others are still there at the next look, or did not wait long.
            long.sort_by(|one, other| other.cmp(one));
            let may_take = self.budget.take(begin, long.len());
            if may_take < long.len() {
                let reason = format!(
                    "more threads waited long than stacks are taken of ({STACKS_A_SECOND} a second): of some there is none"
                );
                session.note_left_alone(STACKS, "rate", &reason);
            }
            long.truncate(may_take);
            jni.with_frame(|| self.take(agent, session, jni, &rules, &long));
        }
        let shortest = rules
            .matcher
            .stack_after_ns_min()
            .map_or(LOOK_EVERY.1, Duration::from_nanos);
        let (least, most) = LOOK_EVERY;
        let pause = (shortest / LOOKS)
            .clamp(least, most)
            .max(own_used().saturating_sub(used_before) * LOOK_PART);
        self.next_look = Instant::now() + pause;
    }

    fn can_look(&mut self, agent: &Agent, session: &Session) -> bool {
        *self.can_look.get_or_insert_with(|| {
            let can = can_be_taken(agent.jvmti);
            if !can {
                let reason = "no stacks of long waits: a JVM before version 16 would stop all threads for each";
                session.note_left_alone(STACKS, "version", reason);
            }
            can
        })
    }

    fn can_take_unmounted(&mut self, agent: &Agent, session: &Session) -> bool {
        *self.can_take_unmounted.get_or_insert_with(|| {
            let can = can_be_taken_unmounted(agent.jvmti);
            if !can {
                let reason = "no stacks of virtual threads without a carrier: a JVM before version 24 would stop all threads for each";
                session.note_left_alone(STACKS, "virtual-version", reason);
            }
            can
        })
    }

    /// Learns whom the rules name, where that may have changed.
    fn watch(&mut self, session: &Session, rules: &Arc<RuleSet>) {
        let generation = session.threads.generation();
        let same_rules = self.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules));
        if same_rules && generation == self.generation {
            return;
        }
        (self.rules, self.generation) = (Some(rules.clone()), generation);
        let mut before = std::mem::take(&mut self.watched);
        before.sort_unstable_by_key(|watched| watched.java_id);
        session.threads.each(|java_id, tid, name| {
            let Some(after_ns) = rules.matcher.stack_after_ns(name).filter(|_| tid != 0) else {
                return;
            };
            let known = before.binary_search_by_key(&java_id, |watched| watched.java_id);
            let known = known.ok().map(|at| before[at]).filter(|known| known.tid == tid);
            self.watched.push(Watched {
                java_id,
                tid,
                after: Duration::from_nanos(after_ns),
                seen: known.and_then(|known| known.seen),
                is_told: known.is_some_and(|known| known.is_told),
            });
        });
    }

    /// Takes and tells the stacks of these.
    fn take(&mut self, agent: &'static Agent, session: &Session, jni: Jni, rules: &RuleSet, long: &[(Duration, Who)]) {
        let mut platform = Vec::new();
        for &(_, who) in long {
            match who {
                Who::Platform(place) => platform.push(place),
                Who::Virtual(id) => self.take_virtual(agent, session, jni, rules, id),
            }
        }
        if !platform.is_empty() {
            self.take_platform(agent, session, jni, rules, &platform);
        }
    }

    fn take_virtual(&mut self, agent: &Agent, session: &Session, jni: Jni, rules: &RuleSet, id: u64) {
        let Some((place, thread)) = virtual_waits::take(jni, id) else {
            return;
        };
        // It may have left its carrier since it was found.
        if matches!(place, virtual_waits::Place::Unmounted(_)) && !self.can_take_unmounted(agent, session) {
            jni.delete_local(thread);
            return;
        }
        let taken = self.stacks.take(agent.jvmti, jni, session, rules, thread);
        jni.delete_local(thread);
        match taken {
            Taken::Stack(number) if virtual_waits::is_still(id, place) => {
                record(JvmRecord::pack(JvmKind::VthreadStack, number, id as u32));
            }
            Taken::Full => session.note_left_alone(STACKS, "room", "more different stacks of waits than are told"),
            Taken::Stack(_) | Taken::Idle | Taken::None => {}
        }
    }

    /// Those at these places in `watched`.
    fn take_platform(&mut self, agent: &Agent, session: &Session, jni: Jni, rules: &RuleSet, places: &[usize]) {
        let Some(fields) = agent.thread_fields.get() else {
            return;
        };
        let threads = agent.jvmti.all_threads().unwrap_or_default();
        jni.ensure_locals(threads.len() + 16);
        let mut threads: Vec<(u64, jthread)> = threads
            .into_iter()
            .map(|thread| (fields.java_id(jni, thread), thread))
            .collect();
        threads.sort_unstable_by_key(|(java_id, _)| *java_id);
        for &place in places {
            let watched = &mut self.watched[place];
            watched.is_told = true;
            let found = threads.binary_search_by_key(&watched.java_id, |(java_id, _)| *java_id);
            let thread = found.map_or(ptr::null_mut(), |at| threads[at].1);
            if thread.is_null() {
                continue;
            }
            match self.stacks.take(agent.jvmti, jni, session, rules, thread) {
                // It has not run since: the stack is that of the wait.
                Taken::Stack(number) if used_ns(watched.tid) == watched.seen.map(|(used_ns, _)| used_ns) => {
                    record(JvmRecord::pack(JvmKind::Stack, number, watched.tid));
                }
                Taken::Full => session.note_left_alone(STACKS, "room", "more different stacks of waits than are told"),
                Taken::Stack(_) | Taken::Idle | Taken::None => {}
            }
        }
    }
}

/// So many in a second, and no more at once.
#[derive(Debug)]
struct Budget {
    a_second: u32,
    left: u32,
    since: Instant,
}

impl Budget {
    fn new(a_second: u32) -> Budget {
        Budget {
            a_second,
            left: a_second,
            since: Instant::now(),
        }
    }

    /// How many of `wanted` are to be had now.
    fn take(&mut self, now: Instant, wanted: usize) -> usize {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            (self.left, self.since) = (self.a_second, now);
        }
        let taken = (self.left as usize).min(wanted);
        self.left -= taken as u32;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_once_and_only_when_it_is_longer() {
        let mut watched = Watched {
            java_id: 1,
            tid: 2,
            after: Duration::from_millis(100),
            seen: None,
            is_told: false,
        };
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        assert_eq!(watched.look(Some(7), at(0)), None);
        assert_eq!(watched.look(Some(7), at(100)), None);
        assert_eq!(watched.look(Some(7), at(110)), Some(Duration::from_millis(110)));
        watched.is_told = true;
        assert_eq!(watched.look(Some(7), at(500)), None);
        assert_eq!(watched.look(Some(8), at(600)), None, "it has run");
        assert_eq!(watched.look(Some(8), at(650)), None);
        assert_eq!(watched.look(Some(8), at(701)), Some(Duration::from_millis(101)));
        assert_eq!(watched.look(None, at(900)), None, "it has ended");
    }

    #[test]
    fn a_second_has_so_many_and_no_more() {
        let mut budget = Budget::new(5);
        let begin = budget.since;
        assert_eq!(budget.take(begin, 3), 3);
        assert_eq!(budget.take(begin + Duration::from_millis(900), 4), 2);
        assert_eq!(budget.take(begin + Duration::from_millis(999), 1), 0);
        assert_eq!(budget.take(begin + Duration::from_secs(10), 100), 5);
    }
}
