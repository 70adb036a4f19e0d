//! Virtual threads of whose long waits the stack is wanted: who has left its carrier since when, and who keeps one.
//!
//! The JVM has no list of them, and only its events give a reference to one: so each that a rule names has its place here from its first mount or unmount to its end, with a weak reference, which does not keep
//! it alive. Mounts and unmounts pay for it with a lock of one of several tables, where a rule asks for stacks and virtual threads are recorded; nobody else looks here.
//!
//! References are deleted by the agent's own thread alone, which is also the only one that goes by them.

#![allow(unsafe_code, reason = "references that threads hand each other")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::{jobject, jthread};

use super::Agent;
use super::events::gettid;
use super::jni::Jni;
use super::names::lock;
use super::quiet::{self, used_ns};

/// Tables, so that carriers seldom meet at one.
const TABLES: usize = 16;
/// Most virtual threads that are known at a time, those included that no rule names; of more no stack is taken.
const KNOWN_MAX: usize = 16_384;

/// Whether somebody wants stacks of virtual threads.
static IS_WANTED: AtomicBool = AtomicBool::new(false);
static KNOWN: AtomicUsize = AtomicUsize::new(0);
/// By Java id.
static THREADS: [Mutex<BTreeMap<u64, Known>>; TABLES] = [const { Mutex::new(BTreeMap::new()) }; TABLES];
/// Weak references of those that have ended.
static ENDED: Mutex<Vec<WeakReference>> = Mutex::new(Vec::new());

/// A virtual thread.
struct Known {
    place: Place,
    /// None: no rule names it.
    wanted: Option<Wanted>,
}

#[derive(Clone, Copy)]
struct Wanted {
    thread: WeakReference,
    after: Duration,
    /// The stack of this wait was taken.
    is_told: bool,
}

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On no carrier, since then.
    Unmounted(Instant),
    /// On this carrier; that one's processor time at the last look, and when that was first seen.
    Mounted(u32, Option<(u64, Instant)>),
}

/// A weak global reference.
#[derive(Clone, Copy)]
struct WeakReference(jobject);

// SAFETY: global references may be used by every thread.
unsafe impl Send for WeakReference {}

fn table(id: u64) -> &'static Mutex<BTreeMap<u64, Known>> {
    &THREADS[id as usize % TABLES]
}

/// Stacks are wanted from now on, or are not. What was known by other rules is forgotten.
pub fn want(jni: Jni, is_wanted: bool) {
    IS_WANTED.store(false, Ordering::SeqCst);
    forget(jni);
    IS_WANTED.store(is_wanted, Ordering::SeqCst);
}

/// The calling thread carries this virtual one from now on.
pub fn mounted(agent: &Agent, jni: Jni, id: u64, thread: jthread) {
    if IS_WANTED.load(Ordering::Relaxed) {
        is_at(agent, jni, (id, thread), Place::Mounted(gettid(), None));
    }
}

/// It does not carry it any more.
pub fn unmounted(agent: &Agent, jni: Jni, id: u64, thread: jthread) {
    if IS_WANTED.load(Ordering::Relaxed) {
        is_at(agent, jni, (id, thread), Place::Unmounted(Instant::now()));
    }
}

/// It ends.
pub fn ended(id: u64) {
    if !IS_WANTED.load(Ordering::Relaxed) {
        return;
    }
    if let Some(known) = lock(table(id)).remove(&id) {
        KNOWN.fetch_sub(1, Ordering::Relaxed);
        if let Some(wanted) = known.wanted {
            lock(&ENDED).push(wanted.thread);
        }
    }
}

fn is_at(agent: &Agent, jni: Jni, (id, thread): (u64, jthread), place: Place) {
    if let Some(known) = lock(table(id)).get_mut(&id) {
        known.place = place;
        if let Some(wanted) = &mut known.wanted {
            wanted.is_told = false;
        }
        return;
    }
    if KNOWN.load(Ordering::Relaxed) >= KNOWN_MAX {
        return;
    }
    // Nobody else comes with this thread meanwhile: it is the one that calls. And no lock is held where the JVM is asked.
    let wanted = wanted(agent, jni, id, thread);
    KNOWN.fetch_add(1, Ordering::Relaxed);
    lock(table(id)).insert(id, Known { place, wanted });
}

/// Whether a rule names it. Records have room for 32 bits of its id.
fn wanted(agent: &Agent, jni: Jni, id: u64, thread: jthread) -> Option<Wanted> {
    u32::try_from(id).ok()?;
    let name = agent.jvmti.thread_info(jni, thread).ok()?.name;
    // As it is called in the timeline.
    let name = if name.is_empty() {
        format!("virtual thread {id}")
    } else {
        name
    };
    let after_ns = agent.session()?.rules().matcher.stack_after_ns(&name)?;
    Some(Wanted {
        thread: WeakReference(jni.new_weak(thread)?),
        after: Duration::from_nanos(after_ns),
        is_told: false,
    })
}

/// Those that have waited longer than their rules say, and how long. Called by the agent's own thread.
pub fn long_waits(jni: Jni, now: Instant) -> Vec<(Duration, u64)> {
    let mut long = Vec::new();
    for table in &THREADS {
        for (id, known) in &mut *lock(table) {
            if let Some(wanted) = &mut known.wanted
                && let Some(waited) = waited(&mut known.place, &mut wanted.is_told, now)
                && waited > wanted.after
                && !wanted.is_told
                && !has_no_cpu(known.place)
            {
                long.push((waited, *id));
            }
        }
    }
    delete_ended(jni);
    long
}

/// How long it has waited; one that has run since the last look begins anew.
fn waited(place: &mut Place, is_told: &mut bool, now: Instant) -> Option<Duration> {
    match place {
        Place::Unmounted(since) => Some(now.saturating_duration_since(*since)),
        Place::Mounted(tid, seen) => {
            let used = used_ns(*tid)?;
            match seen {
                Some((before, since)) if *before == used => Some(now.saturating_duration_since(*since)),
                _ => {
                    (*seen, *is_told) = (Some((used, now)), false);
                    None
                }
            }
        }
    }
}

/// Who has no CPU does not wait for what its stack shows.
fn has_no_cpu(place: Place) -> bool {
    matches!(place, Place::Mounted(tid, _) if quiet::state(tid) == Some('R'))
}

/// Where it is, with a local reference to it, if it lives. It counts as told.
pub fn take(jni: Jni, id: u64) -> Option<(Place, jthread)> {
    let (place, thread) = {
        let mut threads = lock(table(id));
        let known = threads.get_mut(&id)?;
        let wanted = known.wanted.as_mut()?;
        wanted.is_told = true;
        (known.place, wanted.thread)
    };
    match jni.new_local(thread.0) {
        Some(thread) => Some((place, thread)),
        None => {
            // It waits for nobody who could ever wake it, and the collector has taken it.
            ended(id);
            None
        }
    }
}

/// Whether it is still where it was, and has not run since.
pub fn is_still(id: u64, place: Place) -> bool {
    let has_run = match place {
        Place::Unmounted(_) => false,
        Place::Mounted(tid, seen) => used_ns(tid) != seen.map(|(used, _)| used),
    };
    !has_run && lock(table(id)).get(&id).is_some_and(|known| known.place == place)
}

/// There were more than are known.
pub fn is_full() -> bool {
    KNOWN.load(Ordering::Relaxed) >= KNOWN_MAX
}

fn forget(jni: Jni) {
    for table in &THREADS {
        let threads = std::mem::take(&mut *lock(table));
        KNOWN.fetch_sub(threads.len(), Ordering::Relaxed);
        let references = threads.into_values().filter_map(|known| known.wanted);
        references.for_each(|wanted| jni.delete_weak(wanted.thread.0));
    }
    delete_ended(jni);
}

fn delete_ended(jni: Jni) {
    let ended = std::mem::take(&mut *lock(&ENDED));
    ended.into_iter().for_each(|thread| jni.delete_weak(thread.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_keeps_its_carrier_waits_while_that_does_not_run() {
        let begin = Instant::now();
        let later = begin + Duration::from_millis(7);
        let mut told = true;
        let mut place = Place::Unmounted(begin);
        assert_eq!(waited(&mut place, &mut told, later), Some(Duration::from_millis(7)));
        assert!(told);
        // This thread is not what it was at the last look.
        let own = gettid();
        place = Place::Mounted(own, Some((0, begin)));
        assert_eq!(waited(&mut place, &mut told, later), None);
        assert!(!told && matches!(place, Place::Mounted(_, Some((used, at))) if used > 0 && at == later));
        assert_eq!(
            waited(&mut Place::Mounted(u32::MAX >> 2, None), &mut told, later),
            None,
            "it has ended"
        );
    }
}
