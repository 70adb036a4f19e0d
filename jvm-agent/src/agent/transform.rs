//! Probes into classes and out of them again: the class-file hook and retransformation.

#![allow(unsafe_code, reason = "reads class files that the JVM points to")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::jclass;
use jvmti_bindings::sys::jvmti::JVMTI_EVENT_CLASS_FILE_LOAD_HOOK;
use plumb_filters::matcher::{ArgumentKind, argument};

use super::Agent;
use super::jni::Jni;
use super::jvmti::Jvmti;
use super::kin::Facts;
use super::late::Late;
use super::names::{internal_of, lock};
use super::release::is_at_least;
use super::rules::RuleSet;
use super::session::Session;
use super::{handover, shadow, sites};
use crate::classfile::access;
use crate::rewrite::{Begin, Choice, MethodInfo, Probes, Rewritten, Selector, rewrite};

/// Classes that are retransformed at once: each batch stops the JVM for a moment.
const BATCH: usize = 32;
/// The same of JVMs before 13. They look for each changed class through all classes and all compiled code, milliseconds long, which others do once for all of a batch: there a batch saves nothing,
/// and stops the JVM for as many times as long.
const BATCH_BEFORE_13: usize = 4;
/// Longest pause between batches.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// The class file with probes, or none: leave it as it is. `class` is an internal name. `is_load`: of a class that is coming to be, not of one that is looked at again.
pub fn with_probes(agent: &Agent, session: &Session, class: &str, bytes: &[u8], is_load: bool) -> Option<Vec<u8>> {
    if is_load {
        // Before the rules are read: who knows what passed until they changed knows all that went by the old ones.
        session.note_passing(class);
    }
    let rules = session.rules();
    let facts = if rules.matcher.needs_kin() {
        Facts::new(&session.families, bytes, class)
    } else {
        None
    };
    if facts.as_ref().is_some_and(|facts| !facts.is_learnt) {
        session.note_left_alone(class, "", "more classes than kin is kept of");
    }
    let supertypes = facts.as_ref().map_or(&[][..], Facts::supertypes);
    if !session.wants_with(&rules, class, supertypes) {
        session.note_unprobed(class);
        return None;
    }
    let mut chooser = Chooser {
        agent,
        session,
        rules,
        facts,
    };
    match rewrite(bytes, &Probes::PLUMB, &mut chooser) {
        Ok(Some(rewritten)) => note(session, class, rewritten, is_load),
        Ok(None) => {
            session.note_unprobed(class);
            None
        }
        Err(error) => {
            session.note_unprobed(class);
            session.note_left_alone(class, "", &error.to_string());
            None
        }
    }
}

/// Which methods get which probes.
struct Chooser<'a> {
    agent: &'a Agent,
    session: &'a Session,
    rules: Arc<RuleSet>,
    /// Where the rules ask for them.
    facts: Option<Facts<'a>>,
}

impl Selector for Chooser<'_> {
    fn select(&mut self, class: &str, method: &MethodInfo<'_>) -> Option<Choice> {
        let Chooser {
            agent,
            session,
            rules,
            facts,
        } = self;
        let MethodInfo {
            name,
            descriptor,
            code_len,
            ..
        } = *method;
        if code_len == 0 {
            return None;
        }
        if let Some(choice) = sites::choice(rules.features, class, name, descriptor) {
            return Some(choice);
        }
        if rules.hands_over
            && let Some(choice) = handover::choice(class, name, descriptor)
        {
            return Some(choice);
        }
        let matcher = &rules.matcher;
        let action = match facts {
            None => matcher.method(class, name, descriptor, code_len as usize),
            Some(facts) => {
                let annotations = facts.annotations_of(name, descriptor);
                matcher.method_with(class, name, descriptor, code_len as usize, &facts.kin(&annotations))
            }
        }?;
        if action.idle {
            return Some(sites::idle());
        }
        let unit = action.unit.unwrap_or("");
        // A unit that goes on elsewhere is another one than one that does not, should the rules change.
        let kind = if action.handover {
            &format!("{unit}, handed over")
        } else {
            unit
        };
        let Some(id) = agent.names.method(class, name, descriptor, kind) else {
            session.note_left_alone(
                class,
                &format!("{name}{descriptor}"),
                "more methods than can have probes",
            );
            return None;
        };
        session.define_method(id, class, name, descriptor, unit, action.handover);
        if let Some(number) = action.key {
            return Some(keyed(session, class, method, id, number));
        }
        let minimum = rules.minimums.iter().position(|min| *min == action.min_ns);
        let timed = minimum.and_then(|minimum| shadow::timed_id(id, minimum));
        Some(timed.unwrap_or(id).into())
    }
}

/// The probes of a method whose argument of this number is its units' key, if it can be one.
fn keyed(session: &Session, class: &str, method: &MethodInfo<'_>, id: u32, number: u8) -> Choice {
    let MethodInfo { name, descriptor, .. } = *method;
    let found = argument(descriptor, number).filter(|_| name != "<init>");
    let Some(found) = found else {
        let reason = format!("argument {number} can be no key, so that its units have none");
        session.note_left_alone(class, &format!("{name}{descriptor}"), &reason);
        return id.into();
    };
    let slot = found.slot + u16::from(method.access & access::STATIC == 0);
    let begin = match found.kind {
        ArgumentKind::Text => Begin::Text(slot),
        ArgumentKind::Int => Begin::Int(slot),
        ArgumentKind::Long => Begin::Long(slot),
    };
    Choice { id, begin }
}

fn note(session: &Session, class: &str, rewritten: Rewritten, is_load: bool) -> Option<Vec<u8>> {
    for left_alone in &rewritten.left_alone {
        let method = format!("{}{}", left_alone.name, left_alone.descriptor);
        session.note_left_alone(class, &method, &left_alone.reason.to_string());
    }
    if rewritten.probed.is_empty() {
        session.note_unprobed(class);
        return None;
    }
    session.note_probed(class, rewritten.probed.len(), is_load);
    Some(rewritten.bytes)
}

/// Puts probes into the loaded classes that want them. `pause`: leave the JVM some time between batches. `is_over`: looked at between two batches, nobody wants the
/// rest any more.
pub fn probe_loaded(agent: &Agent, session: &Session, jni: Jni, pause: bool, is_over: &dyn Fn() -> bool) {
    probe(
        agent,
        session,
        jni,
        (pause, is_over),
        |class| session.wants(class),
        |classes| {
            // As the JVM starts what is loaded has gone through the hook, and goes through it again now.
            if !pause {
                session.note_seen(classes.iter().map(|(_, name)| name.as_str()));
            }
        },
    );
}

/// After a change of the rules: puts probes into the loaded classes that want them, and takes them out of those that do not any more. `before`: the rules that were gone by.
pub fn probe_again(agent: &Agent, session: &Session, jni: Jni, before: &RuleSet, is_over: &dyn Fn() -> bool) {
    // The hook was off; or it was not long ago, and what was on its way then is still being looked for.
    let is_for_all = before.matcher.is_empty_of_methods() || lock(&session.late).as_ref().is_some_and(Late::is_for_all);
    let mut late = Late::new((!is_for_all).then(|| session.passed()));
    probe(
        agent,
        session,
        jni,
        (true, is_over),
        |class| is_concerned(session, class),
        |classes| {
            for (class, name) in classes {
                late.is_new(agent.jvmti, *class, name);
            }
        },
    );
    *lock(&session.late) = Some(late);
}

/// Whether a change of the rules may be one for classes of this name.
fn is_concerned(session: &Session, class: &str) -> bool {
    session.has_probed(class) || session.wants(class)
}

/// Some time after a change of the rules: has those classes go by them that were being loaded at that time, when the hook had seen them and nobody else could.
///
/// By which rules the hook saw a class of a name that went through it before the change cannot be told from outside: another of its name may have been seen by others. So those that are new since then are looked at,
/// once.
pub fn probe_late(agent: &Agent, session: &Session, jni: Jni) {
    let Some(mut late) = lock(&session.late).take() else {
        return;
    };
    jni.with_frame(|| {
        let mut classes = loaded(agent.jvmti, jni, |class| {
            late.may_be(class) && is_concerned(session, class)
        });
        classes.retain(|(class, name)| late.is_new(agent.jvmti, *class, name));
        for (class, error) in retransform(agent.jvmti, &classes, true, &|| false) {
            session.note_refused(&class, &error);
        }
    });
    *lock(&session.late) = late.again();
}

fn probe(
    agent: &Agent,
    session: &Session,
    jni: Jni,
    (pause, is_over): (bool, &dyn Fn() -> bool),
    is_concerned: impl FnMut(&str) -> bool,
    mut see: impl FnMut(&[(jclass, String)]),
) {
    let (jvmti, rules) = (agent.jvmti, session.rules());
    if jvmti.set_event(JVMTI_EVENT_CLASS_FILE_LOAD_HOOK, true).is_err() {
        session.note_left_alone("*", "", "the JVM does not give class files");
        return;
    }
    jni.with_frame(|| {
        // Classes of the JDK that no hook will show to us later, since it is off then.
        let followed = rules.hands_over.then(handover::classes);
        for class in sites::classes(rules.features).chain(followed.into_iter().flatten()) {
            jni.load_boot_class(class);
        }
        if rules.matcher.needs_kin() {
            learn_loaded(session, jvmti, jni);
        }
        let classes = loaded(jvmti, jni, is_concerned);
        see(&classes);
        for (class, error) in retransform(jvmti, &classes, pause, is_over) {
            session.note_refused(&class, &error);
        }
    });
    if rules.matcher.is_empty_of_methods() {
        // Only classes of the JDK were wanted, and that is done: spare the JVM the hook.
        let _ = jvmti.set_event(JVMTI_EVENT_CLASS_FILE_LOAD_HOOK, false);
    }
}

/// Puts probes into classes that were put aside when they were loaded, and that the rules want.
pub fn probe_aside(agent: &Agent, session: &Session, jni: Jni) {
    let wanted = session.families.wanted(&session.rules().matcher);
    if wanted.is_empty() {
        return;
    }
    jni.with_frame(|| {
        let classes = loaded(agent.jvmti, jni, |class| wanted.contains(class));
        classes.iter().for_each(|(_, class)| session.families.settle(class));
        for (class, error) in retransform(agent.jvmti, &classes, true, &|| false) {
            session.note_refused(&class, &error);
        }
    });
}

/// Learns who extends and implements whom.
fn learn_loaded(session: &Session, jvmti: Jvmti, jni: Jni) {
    let classes = loaded(jvmti, jni, |_| true);
    for (class, name) in &classes {
        session.families.learn_loaded(jvmti, jni, *class, name);
    }
    classes.into_iter().for_each(|(class, _)| jni.delete_local(class));
}

/// Loaded classes that are wanted and may be changed. The references live in the current frame.
///
/// A class whose initialiser failed is not among them: the JVM refuses it, and nobody can call it any more. Programs that try to load such a class again and again, by loaders of
/// its own, have thousands of them; each would fail its whole batch.
pub(super) fn loaded(jvmti: Jvmti, jni: Jni, mut wanted: impl FnMut(&str) -> bool) -> Vec<(jclass, String)> {
    let classes = jvmti.loaded_classes().unwrap_or_default();
    jni.ensure_locals(classes.len() + 16);
    let named = classes.into_iter().filter_map(|class| {
        let signature = jvmti.class_signature(class).ok()?;
        // Arrays have no class file.
        let name = signature.starts_with('L').then(|| internal_of(&signature))?;
        let is_right = wanted(name) && jvmti.is_modifiable(class) && !jvmti.is_erroneous(class);
        is_right.then(|| (class, name.to_owned()))
    });
    named.collect()
}

/// Retransforms, and names the classes that would not be, with the reason.
pub(super) fn retransform(
    jvmti: Jvmti,
    classes: &[(jclass, String)],
    pause: bool,
    is_over: &dyn Fn() -> bool,
) -> Vec<(String, String)> {
    let mut failed = Vec::new();
    let batch_max = match is_at_least(jvmti, 13) {
        true => BATCH,
        false => BATCH_BEFORE_13,
    };
    for batch in classes.chunks(batch_max) {
        if is_over() {
            break;
        }
        let begin = Instant::now();
        retransform_batch(jvmti, batch, &mut failed);
        if pause && batch.len() == batch_max {
            thread::sleep(begin.elapsed().min(PAUSE_MAX));
        }
    }
    failed
}

/// One class that fails fails its whole batch: halve until it stands alone.
fn retransform_batch(jvmti: Jvmti, batch: &[(jclass, String)], failed: &mut Vec<(String, String)>) {
    let references: Vec<jclass> = batch.iter().map(|(class, _)| *class).collect();
    match (jvmti.retransform(&references), batch) {
        (Ok(()), _) => {}
        (Err(error), [(_, name)]) => failed.push((name.clone(), format!("the JVM refused it with probes: {error}"))),
        (Err(_), _) => {
            let (first, second) = batch.split_at(batch.len() / 2);
            retransform_batch(jvmti, first, failed);
            retransform_batch(jvmti, second, failed);
        }
    }
}
