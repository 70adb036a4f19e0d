//! When threads are looked at for new names: soon after one was heard of, and now and then where some are not.
//!
//! A rename that was heard of says only that there is one: one look finds all there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::jni::Jni;
use super::session::Session;
use super::{Agent, natives, sites, wake};

/// How often threads are looked at for new names that were heard of, at the most.
const HEARD_EVERY: Duration = Duration::from_millis(50);
/// How often for others.
const UNHEARD_EVERY: Duration = Duration::from_secs(2);
/// Looks for others take one part in so many of a CPU, at the most.
const UNHEARD_PART: u32 = 1000;

/// The looks of a session.
pub struct Renames {
    /// Not before this for what was heard of.
    heard_after: Instant,
    /// At this for the others.
    unheard_at: Instant,
}

impl Renames {
    /// The session begins, with all names known.
    pub fn new() -> Renames {
        let now = Instant::now();
        Renames {
            heard_after: now,
            unheard_at: now + UNHEARD_EVERY,
        }
    }

    /// How long no look is due; none: not before one is heard of.
    pub fn patience(&self, agent: &Agent, session: &Session) -> Option<Duration> {
        let heard = wake::is_rename_pending().then_some(self.heard_after);
        let unheard = are_some_unheard(agent, session).then_some(self.unheard_at);
        let due = heard.into_iter().chain(unheard).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Looks if it is time to.
    pub fn look(&mut self, agent: &'static Agent, session: &Arc<Session>, jni: Jni) {
        let begin = Instant::now();
        let heard_at = (begin >= self.heard_after).then(wake::take_renamed_at).flatten();
        let is_unheard_due = begin >= self.unheard_at && are_some_unheard(agent, session);
        if heard_at.is_none() && !is_unheard_due {
            return;
        }
        let renamed_at = heard_at.unwrap_or_else(|| session.now());
        session.threads.scan(agent.thread_context(session, jni), renamed_at);
        let end = Instant::now();
        self.heard_after = end + HEARD_EVERY;
        self.unheard_at = end + UNHEARD_EVERY.max(end.saturating_duration_since(begin) * UNHEARD_PART);
    }
}

fn are_some_unheard(agent: &Agent, session: &Session) -> bool {
    let features = session.rules().features;
    features.threads && !sites::hears_renames(features) && !natives::hears_all_renames(agent.jvmti)
}
