//! Rules with a minimum duration: calls are kept on a stack of the thread's own, and only those that were long enough leave records, when they end.
//!
//! A call's end takes its frame, and those above it, off the stack: a frame whose end was never told (it lasted longer than the session's begin allowed to see, or its
//! thread was stopped) does not stay. An end without a frame began before the session, and leaves no record. Where a virtual thread leaves its carrier, its frames go with
//! it, to whichever carrier it comes next.
//!
//! A timed method's probe id is negative: bit 31, five bits for which minimum it is, 26 bits for the method's own number.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use plumb_filters::matcher::MINIMUMS_MAX;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::arena::{DISARMED, GATE};
use super::clock;
use super::names::lock;
use super::probe::record;

/// Ids above this are no timed methods' ([`super::sites`] has a few small ones).
pub const TIMED_MAX: i32 = -1024;
const METHOD_BITS: u32 = 26;
/// Deepest stack that is kept: calls below leave no record.
const DEPTH_MAX: usize = 1024;

/// Ticks below which calls leave no record, by a rule's minimum.
static MIN_TICKS: [AtomicU64; MINIMUMS_MAX + 1] = [const { AtomicU64::new(0) }; MINIMUMS_MAX + 1];

/// The probe id of a method with the minimum of this index; none if there are too many methods.
pub fn timed_id(method: u32, minimum: usize) -> Option<u32> {
    (method < (1 << METHOD_BITS) - 1024 && minimum < MINIMUMS_MAX)
        .then_some(1 << 31 | (minimum as u32) << METHOD_BITS | method)
}

/// Sets the minimums of a session, in its ticks.
pub fn set_minimums(ticks: impl IntoIterator<Item = u64>) {
    for (place, ticks) in MIN_TICKS.iter().zip(ticks) {
        place.store(ticks, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
struct Frame {
    id: i32,
    ticks: u64,
}

struct Stack {
    epoch: u64,
    frames: Vec<Frame>,
    /// Calls below the deepest frame.
    too_deep: u64,
    /// Frames of the carrier itself, below those of the virtual thread that it carries.
    base: usize,
}

thread_local! {
    static STACK: RefCell<Stack> = const {
        RefCell::new(Stack { epoch: DISARMED, frames: Vec::new(), too_deep: 0, base: 0 })
    };
}

/// Frames of virtual threads that are not mounted.
static AWAY: Mutex<Option<Away>> = Mutex::new(None);
static AWAY_COUNT: AtomicUsize = AtomicUsize::new(0);

struct Away {
    epoch: u64,
    frames: HashMap<u64, Vec<Frame>>,
}

/// Runs `body` on the thread's stack, if the session is on.
fn with_stack<T>(body: impl FnOnce(&mut Stack) -> T) -> Option<T> {
    let epoch = GATE.epoch.load(Ordering::Relaxed);
    if epoch == DISARMED {
        return None;
    }
    STACK
        .try_with(|stack| {
            let mut stack = stack.borrow_mut();
            if stack.epoch != epoch {
                stack.frames.clear();
                (stack.epoch, stack.too_deep, stack.base) = (epoch, 0, 0);
            }
            body(&mut stack)
        })
        .ok()
}

/// A timed method begins.
pub fn begin(id: i32) {
    with_stack(|stack| {
        if stack.frames.len() < DEPTH_MAX {
            let ticks = clock::now(GATE.tsc.load(Ordering::Relaxed));
            stack.frames.push(Frame { id, ticks });
        } else {
            stack.too_deep += 1;
        }
    });
}

/// A timed method ends.
pub fn end(id: i32, thrown: bool) {
    let ended = with_stack(|stack| {
        if stack.too_deep > 0 {
            stack.too_deep -= 1;
            return None;
        }
        let own = stack.frames.get(stack.base..)?;
        let depth = stack.base + own.iter().rposition(|frame| frame.id == id)?;
        let begun = stack.frames[depth].ticks;
        stack.frames.truncate(depth);
        Some((begun, (depth - stack.base) as u32))
    });
    let Some((begun, depth)) = ended.flatten() else { return };
    let length = clock::now(GATE.tsc.load(Ordering::Relaxed)).saturating_sub(begun);
    let minimum = (id as u32 >> METHOD_BITS) as usize & MINIMUMS_MAX;
    if length >= MIN_TICKS[minimum].load(Ordering::Relaxed) {
        tell(id, begun, depth, thrown);
    }
}

#[cold]
fn tell(id: i32, begun: u64, depth: u32, thrown: bool) {
    let method = id as u32 & ((1 << METHOD_BITS) - 1);
    let length = clock::now(GATE.tsc.load(Ordering::Relaxed)).saturating_sub(begun);
    record(JvmRecord::pack_id(JvmKind::Past, length));
    record(JvmRecord::pack(JvmKind::Called, depth << 1 | u32::from(thrown), method));
}

/// A virtual thread comes to this carrier.
pub fn mounted(java_id: u64) {
    with_stack(|stack| {
        stack.base = stack.frames.len();
        if AWAY_COUNT.load(Ordering::Acquire) == 0 {
            return;
        }
        stack.frames.extend(take_away(java_id, stack.epoch).unwrap_or_default());
    });
}

/// It leaves.
pub fn unmounted(java_id: u64) {
    with_stack(|stack| {
        let frames = stack.frames.split_off(stack.base.min(stack.frames.len()));
        stack.base = 0;
        if frames.is_empty() {
            return;
        }
        let mut away = lock(&AWAY);
        let epoch = stack.epoch;
        // What is left of an earlier session is of no use any more.
        let away = match away.as_mut() {
            Some(away) if away.epoch == epoch => away,
            _ => away.insert(Away {
                epoch,
                frames: HashMap::new(),
            }),
        };
        away.frames.insert(java_id, frames);
        AWAY_COUNT.store(away.frames.len(), Ordering::Release);
    });
}

fn take_away(java_id: u64, epoch: u64) -> Option<Vec<Frame>> {
    let mut away = lock(&AWAY);
    let away = away.as_mut().filter(|away| away.epoch == epoch)?;
    let taken = away.frames.remove(&java_id);
    AWAY_COUNT.store(away.frames.len(), Ordering::Release);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_timed_and_give_back_what_they_hold() {
        let id = timed_id(77, 30).expect("room");
        assert!(id.cast_signed() < TIMED_MAX);
        assert_eq!((id >> METHOD_BITS) as usize & MINIMUMS_MAX, 30);
        assert_eq!(id & ((1 << METHOD_BITS) - 1), 77);
        assert_eq!((timed_id(1 << 26, 0), timed_id(1, MINIMUMS_MAX)), (None, None));
    }
}
