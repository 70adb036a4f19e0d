//! Virtual threads of whose long waits the stack is wanted: who has left its carrier since when, and who keeps one.
//!
//! The JVM has no list of them, and only its events give a reference to one: so each that a rule names has its place here from its first mount or unmount to its end, with a weak reference, which does not keep
//! it alive. Mounts and unmounts pay for it with a lock of one of several tables, where a rule asks for stacks and virtual threads are recorded; nobody else looks here. No lock is held while the JVM or the
//! kernel is asked anything.
//!
//! Who is known stays known when the rules change, if they still name it. Of who was not, there is no reference: it is met at its next mount or unmount.
//!
//! References are deleted by the agent's own thread alone, which is also the only one that goes by them.

mod table;

use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::jthread;
use plumb_trace::definition::STACKS;

use super::Agent;
use super::events::gettid;
use super::jni::Jni;
use super::names::lock;
use super::quiet::{self, used_ns};
use super::rules::RuleSet;
use super::session::Session;
pub use table::Place;
use table::{Known, Table, WeakReference};

/// Tables, so that carriers seldom meet at one.
const TABLES_COUNT: usize = 16;
/// Most virtual threads that are known at a time; of more no stack is taken.
const KNOWN_MAX: usize = 16_384;
/// Who was left out is met again once there are fewer.
const ROOM_BELOW: usize = KNOWN_MAX / 4 * 3;

/// Whether somebody wants stacks of virtual threads.
static IS_WANTED: AtomicBool = AtomicBool::new(false);
/// Which rules are gone by: another number after each change.
static RULES: AtomicU64 = AtomicU64::new(0);
static KNOWN: AtomicUsize = AtomicUsize::new(0);
/// Named by a rule, and not known for want of room.
static LEFT_OUT: AtomicUsize = AtomicUsize::new(0);
/// Some of these may find room at their next mount, should there be some again.
static IS_LEFT_OUT: AtomicBool = AtomicBool::new(false);
/// By Java id.
static TABLES: [Mutex<Table>; TABLES_COUNT] = [const { Mutex::new(Table::new()) }; TABLES_COUNT];
/// Weak references of those that have ended.
static ENDED: Mutex<Vec<WeakReference>> = Mutex::new(Vec::new());
/// Whose dead are looked for next.
static SWEPT: AtomicUsize = AtomicUsize::new(0);

fn table(id: u64) -> &'static Mutex<Table> {
    &TABLES[id as usize % TABLES_COUNT]
}

/// Goes by these rules from now on, or by none. The session goes by them already, if it is one.
pub fn go_by(agent: &Agent, jni: Jni, rules: Option<&RuleSet>) {
    let Some(rules) = rules.filter(|rules| rules.matcher.wants_stacks()) else {
        IS_WANTED.store(false, Ordering::SeqCst);
        TABLES.iter().for_each(|table| gone(lock(table).clear()));
        return delete_ended(jni);
    };
    // Who judges somebody at this moment, by the rules of before, sees that and judges again.
    RULES.fetch_add(1, Ordering::SeqCst);
    if !IS_WANTED.swap(true, Ordering::SeqCst) {
        LEFT_OUT.store(0, Ordering::Relaxed);
        return;
    }
    for table in &TABLES {
        let threads = lock(table).judge_again();
        for (id, reference) in threads {
            let local = jni.new_local(reference.0);
            let after = local.and_then(|thread| after(agent, jni, rules, (id, thread)));
            local.inspect(|thread| jni.delete_local(*thread));
            match after {
                Some(after) => lock(table).set_after(id, after),
                None => forget(id),
            }
        }
    }
    delete_ended(jni);
}

/// Tells of those that were left out, once at the first and with their number at the end.
pub fn tell_left_out(session: &Session, is_end: bool) {
    let (method, reason) = match (LEFT_OUT.load(Ordering::Relaxed), is_end) {
        (0, _) => return,
        (_, false) => (
            "virtual",
            "more virtual threads at a time than are known: of some there is no stack".to_owned(),
        ),
        // Those that were forgotten to have been left out count again.
        (count, true) => (
            "virtual-count",
            format!("up to {count} virtual threads had no place among the {KNOWN_MAX} of which stacks are taken"),
        ),
    };
    session.note_left_alone(STACKS, method, &reason);
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

/// It has another name, by which it is judged again.
pub fn renamed(id: u64) {
    ended(id);
}

/// It ends.
pub fn ended(id: u64) {
    if IS_WANTED.load(Ordering::Relaxed) {
        forget(id);
    }
}

fn forget(id: u64) {
    let thread = lock(table(id)).forget(id);
    // Most were never known: they need not meet at the lock of those that were.
    if thread.is_some() {
        gone(thread);
    }
}

/// These are known no more.
fn gone(threads: impl IntoIterator<Item = WeakReference>) {
    let mut ended = lock(&ENDED);
    let before = ended.len();
    ended.extend(threads);
    KNOWN.fetch_sub(ended.len() - before, Ordering::Relaxed);
}

/// Nobody else comes with this thread meanwhile: it is the one that calls.
fn is_at(agent: &Agent, jni: Jni, (id, thread): (u64, jthread), place: Place) {
    if lock(table(id)).is_at(id, place) {
        return;
    }
    while IS_WANTED.load(Ordering::SeqCst) {
        let rules = RULES.load(Ordering::SeqCst);
        let judged = judge(agent, jni, (id, thread), place);
        match settle(id, rules, judged) {
            Some(outdated) => lock(&ENDED).extend(outdated),
            None => return,
        }
    }
}

/// What becomes of a thread that is met for the first time.
enum Judged {
    Named(Known),
    /// Named by a rule, but there is no place.
    LeftOut,
    Passed,
}

fn judge(agent: &Agent, jni: Jni, (id, thread): (u64, jthread), place: Place) -> Judged {
    let rules = agent.session().map(|session| session.rules());
    let Some(after) = rules.and_then(|rules| after(agent, jni, &rules, (id, thread))) else {
        return Judged::Passed;
    };
    if KNOWN.load(Ordering::Relaxed) >= KNOWN_MAX {
        return Judged::LeftOut;
    }
    jni.new_weak(thread).map_or(Judged::LeftOut, |reference| {
        Judged::Named(Known {
            place,
            thread: WeakReference(reference),
            after,
            is_told: false,
        })
    })
}

/// After how long a wait its stack is wanted; none: no rule names it. Records have room for 32 bits of its id.
fn after(agent: &Agent, jni: Jni, rules: &RuleSet, (id, thread): (u64, jthread)) -> Option<Duration> {
    u32::try_from(id).ok()?;
    let name = agent.jvmti.thread_info(jni, thread).ok()?.name;
    // As it is called in the timeline.
    let name = if name.is_empty() {
        format!("virtual thread {id}")
    } else {
        name
    };
    rules.matcher.stack_after_ns(&name).map(Duration::from_nanos)
}

/// Puts down what was judged by the rules of this number; none: it is done. Else others are gone by meanwhile, and the reference is to be deleted, if there is one.
fn settle(id: u64, rules: u64, judged: Judged) -> Option<Option<WeakReference>> {
    let mut table = lock(table(id));
    let is_outdated = !IS_WANTED.load(Ordering::SeqCst) || RULES.load(Ordering::SeqCst) != rules;
    match judged {
        Judged::Named(known) if is_outdated => return Some(Some(known.thread)),
        _ if is_outdated => return Some(None),
        Judged::Named(known) => {
            KNOWN.fetch_add(1, Ordering::Relaxed);
            table.keep(id, known);
        }
        Judged::LeftOut => {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
            IS_LEFT_OUT.store(true, Ordering::Relaxed);
            table.leave_out(id);
        }
        Judged::Passed => table.pass(id),
    }
    None
}

/// Whether there is somebody to look at.
pub fn is_any_known() -> bool {
    KNOWN.load(Ordering::Relaxed) > 0
}

/// Those that have waited longer than their rules say, and how long; `unmounted`: those without a carrier too. Called by the agent's own thread.
pub fn long_waits(jni: Jni, now: Instant, unmounted: bool) -> Vec<(Duration, u64)> {
    let (mut long, mut mounted) = (Vec::new(), Vec::new());
    for table in &TABLES {
        lock(table).look(now, unmounted.then_some(&mut long), &mut mounted);
    }
    long.extend(mounted.into_iter().filter_map(|(id, place)| {
        let Place::Mounted(tid, _) = place else { return None };
        let used_ns = used_ns(tid)?;
        let waited = lock(table(id)).has_used(id, place, used_ns, Instant::now())?;
        // Who has no CPU does not wait for what its stack shows.
        (quiet::state(tid) != Some('R')).then_some((waited, id))
    }));
    if KNOWN.load(Ordering::Relaxed) > KNOWN_MAX / 2 {
        sweep(jni);
    }
    if KNOWN.load(Ordering::Relaxed) < ROOM_BELOW && IS_LEFT_OUT.swap(false, Ordering::Relaxed) {
        TABLES.iter().for_each(|table| lock(table).meet_left_out());
    }
    delete_ended(jni);
    long
}

/// Forgets those of the next table that the collector has taken: one that waits for nobody who could ever wake it does not end.
fn sweep(jni: Jni) {
    let table = &TABLES[SWEPT.fetch_add(1, Ordering::Relaxed) % TABLES_COUNT];
    let threads = lock(table).references();
    let is_dead = |thread: &WeakReference| jni.is_same(thread.0, ptr::null_mut());
    let dead = threads.iter().filter(|(_, thread)| is_dead(thread));
    dead.for_each(|(id, _)| forget(*id));
}

/// Where it is, with a local reference to it, if it lives. It counts as told.
pub fn take(jni: Jni, id: u64) -> Option<(Place, jthread)> {
    let (place, thread) = lock(table(id)).tell(id)?;
    let local = jni.new_local(thread.0);
    if local.is_none() {
        forget(id);
    }
    Some((place, local?))
}

/// Whether it is still where it was, and has not run since.
pub fn is_still(id: u64, place: Place) -> bool {
    let has_run = match place {
        Place::Unmounted(_) => false,
        Place::Mounted(tid, seen) => used_ns(tid) != seen.map(|(used, _)| used),
    };
    !has_run && lock(table(id)).place(id) == Some(place)
}

fn delete_ended(jni: Jni) {
    let ended = std::mem::take(&mut *lock(&ENDED));
    ended.into_iter().for_each(|thread| jni.delete_weak(thread.0));
}
