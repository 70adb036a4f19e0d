//! Names of virtual threads: those that they are born with, those of threads that are older than the session, and those that they give themselves.
//!
//! No list of the JVM's has virtual threads, so a name is told when its thread passes by: at its birth, at the first mount of one that is older, and when one that has renamed itself leaves its carrier.
//! A name that another thread gives it is not seen.
//!
//! A program may give each task a name: so a carrier tells of so many renames a second and no more. Who is not told of is remembered, and told of when it leaves a carrier later, or ends; names that it had meanwhile are not known.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::LocalKey;
use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::jthread;
use plumb_trace::definition::Definition;

use super::Agent;
use super::jni::Jni;

/// Places for threads that are older than the session, by their ids; who finds none keeps its number for a name.
const OLDER_MAX: usize = 16_384;
/// Places that are looked at for one thread.
const TRIES: usize = 8;

/// From one rename that a carrier tells of to the next, at the least.
const RENAMES_EVERY: Duration = Duration::from_millis(50);
/// Places for threads whose rename is not told yet; that of one without a place is told at once.
const UNTOLD_MAX: usize = 4096;

/// Threads whose rename is not told yet, and how many places are taken. 0: nobody.
static UNTOLD: [AtomicU64; UNTOLD_MAX] = [const { AtomicU64::new(0) }; UNTOLD_MAX];
static UNTOLD_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Threads that are older than the session and were met. 0: nobody.
static OLDER: [AtomicU64; OLDER_MAX] = [const { AtomicU64::new(0) }; OLDER_MAX];
/// A thread with this id or a greater one was made when births were told already. Ids are given as threads are made, which may be long before they are born: of who has a smaller one its birth need
/// not have been seen.
static FIRST_BORN: AtomicU64 = AtomicU64::new(u64::MAX);

thread_local! {
    /// Whether the virtual thread that this carrier has called `setName`.
    static RENAMED: Cell<bool> = const { Cell::new(false) };
    /// When this carrier told of a rename last.
    static TOLD_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A session begins: nobody has been met.
pub fn begin() {
    FIRST_BORN.store(u64::MAX, Ordering::Relaxed);
    for place in OLDER.iter().chain(&UNTOLD) {
        place.store(0, Ordering::Relaxed);
    }
    UNTOLD_COUNT.store(0, Ordering::Relaxed);
}

/// Births are told from now on.
pub fn births_are_told(agent: &Agent, jni: Jni) {
    if let Some(id) = next_id(agent, jni).filter(|id| *id != 0) {
        FIRST_BORN.store(id, Ordering::Relaxed);
    }
}

/// The id of a thread that is made for it and never starts; none where there are no virtual threads.
fn next_id(agent: &Agent, jni: Jni) -> Option<u64> {
    let fields = agent.thread_fields.get().filter(|_| jni.has_virtual_threads())?;
    jni.with_frame(|| {
        let groups = agent.jvmti.top_thread_groups().ok()?;
        let thread = jni.new_thread(*groups.first()?, c"plumb-agent")?;
        Some(fields.java_id(jni, thread))
    })?
}

/// `Thread.setName` ends in this thread, or in the virtual one that it carries.
pub fn renamed() {
    RENAMED.set(true);
}

/// A virtual thread is born.
pub fn born(agent: &Agent, jni: Jni, id: u64, thread: jthread) {
    if id < FIRST_BORN.load(Ordering::Relaxed) {
        // Its first mount need not tell it again.
        is_met_first(&OLDER, id);
    }
    tell(agent, jni, id, thread);
}

/// It was mounted.
pub fn mounted(agent: &Agent, jni: Jni, id: u64, thread: jthread) {
    if id < FIRST_BORN.load(Ordering::Relaxed) && is_met_first(&OLDER, id) {
        tell(agent, jni, id, thread);
    }
}

/// It is about to leave its carrier, or to end. Says whether it has another name than before.
pub fn leaves(agent: &Agent, jni: Jni, id: u64, thread: jthread, is_end: bool) -> bool {
    let is_renamed = RENAMED.replace(false);
    let was_untold = UNTOLD_COUNT.load(Ordering::Relaxed) > 0 && take_untold(id);
    if (is_renamed || was_untold) && (is_end || is_due(&TOLD_AT, Instant::now()) || !keep_untold(id)) {
        tell(agent, jni, id, thread);
    }
    is_renamed
}

/// Whether a rename may be told of now; then it is.
fn is_due(told_at: &'static LocalKey<Cell<Option<Instant>>>, now: Instant) -> bool {
    let is_due = told_at
        .get()
        .is_none_or(|at| now.saturating_duration_since(at) >= RENAMES_EVERY);
    if is_due {
        told_at.set(Some(now));
    }
    is_due
}

/// False: there is no place for it.
fn keep_untold(id: u64) -> bool {
    let is_kept = is_met_first(&UNTOLD, id);
    UNTOLD_COUNT.fetch_add(usize::from(is_kept), Ordering::Relaxed);
    is_kept
}

/// Whether it was kept; it is not any more.
fn take_untold(id: u64) -> bool {
    let count = forget(&UNTOLD, id);
    UNTOLD_COUNT.fetch_sub(count, Ordering::Relaxed);
    count > 0
}

/// The places that are looked at for it.
fn places_of(places: &[AtomicU64], id: u64) -> impl Iterator<Item = &AtomicU64> {
    (0..TRIES).map(move |more| &places[(id as usize).wrapping_add(more) % places.len()])
}

/// Makes its places free; how many it had.
fn forget(places: &[AtomicU64], id: u64) -> usize {
    let had = |place: &&AtomicU64| {
        place
            .compare_exchange(id, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    };
    if id == 0 {
        0
    } else {
        places_of(places, id).filter(had).count()
    }
}

/// Whether it was not met before, and is from now on. False also where there is no place for it: it would be told again and again.
fn is_met_first(places: &[AtomicU64], id: u64) -> bool {
    if id == 0 {
        return false;
    }
    for place in places_of(places, id) {
        match place.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(met) if met == id => return false,
            Err(_) => {}
        }
    }
    false
}

fn tell(agent: &Agent, jni: Jni, id: u64, thread: jthread) {
    let info = agent.jvmti.thread_info(jni, thread);
    // Most have no name: spare them the definition.
    if let (Some(session), Ok(info)) = (agent.session(), info)
        && id != 0
        && !info.name.is_empty()
    {
        session.definitions.write(
            session.now(),
            Definition::VirtualThread {
                java_id: id,
                name: info.name,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_met_once_and_who_has_no_place_never() {
        let places: Vec<AtomicU64> = (0..TRIES as u64 * 2).map(|_| AtomicU64::new(0)).collect();
        for round in 0..2 {
            for id in 1..=TRIES as u64 {
                assert_eq!(is_met_first(&places, id), round == 0, "{id}");
            }
        }
        let same_place = |more: u64| 1 + more * places.len() as u64;
        let met = (1..=TRIES as u64 * 2)
            .filter(|&more| is_met_first(&places, same_place(more)))
            .count();
        assert_eq!(met, 0, "all places that are looked at for them are taken");
        assert!(!is_met_first(&places, 0));
    }

    #[test]
    fn a_carrier_tells_of_so_many_renames_and_who_waits_is_known() {
        thread_local!(static TOLD: Cell<Option<Instant>> = const { Cell::new(None) });
        let begin = Instant::now();
        let due = |ms| is_due(&TOLD, begin + Duration::from_millis(ms));
        assert_eq!(
            [0, 1, 49, 50, 99, 100].map(due),
            [true, false, false, true, false, true]
        );

        let places: Vec<AtomicU64> = (0..TRIES as u64 * 2).map(|_| AtomicU64::new(0)).collect();
        assert!(is_met_first(&places, 3) && is_met_first(&places, 4));
        assert_eq!((forget(&places, 3), forget(&places, 3), forget(&places, 4)), (1, 0, 1));
    }
}
