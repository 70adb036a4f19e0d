//! Other rules for a session that goes on.
//!
//! Calls that are under way end as they began: the JVM lets frames run the code that they entered.

use std::sync::Arc;

use plumb_filters::matcher::JvmFeatures;

use super::jni::Jni;
use super::rules::only_in;
use super::session::Session;
use super::{Agent, allocations, events, natives, transform, virtual_waits};
use crate::protocol::Armed;

/// Goes by these rules from now on. `is_over`: somebody has asked for something else meanwhile.
///
/// # Errors
/// One line of reason; the session then goes on as before.
pub fn change(
    agent: &'static Agent,
    session: &Arc<Session>,
    jni: Jni,
    compiled: &[u8],
    is_over: &dyn Fn() -> bool,
) -> Result<Armed, String> {
    let before = session.rules();
    let rules = before.followed_by(compiled)?;
    let (gone, new) = (
        only_in(before.features, rules.features),
        only_in(rules.features, before.features),
    );
    session.set_rules(rules);
    turn_off(agent, jni, gone);
    turn_on(agent, session, jni, new);
    natives::go_by(agent, jni, session.rules().features);
    virtual_waits::go_by(agent, jni, Some(&session.rules()));
    transform::probe_again(agent, session, jni, &before, is_over);
    Ok(session.armed())
}

/// Turns what is not done by probes on.
pub fn turn_on(agent: &'static Agent, session: &Arc<Session>, jni: Jni, features: JvmFeatures) {
    events::set_events(agent, jni, features, true);
    if features.allocations {
        allocations::watch(agent.jvmti, session);
    }
    if features.threads {
        session.threads.scan(agent.thread_context(session, jni), session.now());
    }
}

/// Turns it off.
pub fn turn_off(agent: &Agent, jni: Jni, features: JvmFeatures) {
    events::set_events(agent, jni, features, false);
    if features.allocations {
        allocations::leave(agent.jvmti);
    }
}
