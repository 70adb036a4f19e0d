//! Who was held by a pause of its JVM.
//!
//! A Java thread that comes to a safepoint sleeps in a futex until the VM thread ends the safepoint and wakes all such threads itself
//! (HotSpot's wait barrier, seen on JDK 17 and 25); so does one that asked for the operation. What was asleep for another reason is woken by somebody
//! else and was not held, whatever the JVM did meanwhile. So a sleep in a futex is *held* if the VM thread ended it, and
//! - began after the VM thread itself had last been woken for an operation, by a Java thread or a timer: all of it, from the thread's coming to the safepoint
//!   (while others are still on their way there) to its wakeup;
//! - or lies across an announced pause: the part since the pause began.
//!
//! Where the waker was not recorded, a sleep that began at most [`SLACK_NS`] before a pause and ended at most so long after it counts as held by it.

use super::jvm::Jvm;
use super::thread::{Doing, Thread};
use plumb_trace::State;
use plumb_trace::timeline::{Cause, TimelineError, TimelineWriter};

/// How far from a pause's edges a thread that it held may fall asleep and wake, ns.
const SLACK_NS: u64 = 1_000_000;

/// A thread ends being off its CPU at `at` (its peer is set to its waker): the part in which its JVM held it becomes `pause`.
/// `waker_recorded`: where it was not, the peer says nothing.
pub(super) fn split(
    thread: &mut Thread,
    jvm: &Jvm,
    writer: &mut TimelineWriter,
    at: u64,
    waker_recorded: bool,
) -> Result<(), TimelineError> {
    let may_be_held = matches!(
        thread.doing.state,
        State::Futex | State::Monitor | State::Wait | State::Park | State::Sleep | State::Idle | State::Blocked
    );
    if !thread.java || !may_be_held {
        return Ok(());
    }
    let held_from = if waker_recorded {
        let by_vm_thread = thread.doing.peer.is_some() && thread.doing.peer == jvm.vm_thread;
        by_vm_thread.then(|| held_from(jvm, thread.since, at)).flatten()
    } else {
        jvm.pauses.latest(at).and_then(|(start, end)| {
            let near = thread.since.saturating_add(SLACK_NS) >= start && at <= end.saturating_add(SLACK_NS);
            (near && start < at).then_some(start)
        })
    };
    let Some(from) = held_from else { return Ok(()) };
    // Up to there it slept for the reason that is known; that the VM thread woke it is about the pause.
    thread.doing.peer = None;
    let pause = Doing {
        peer: jvm.vm_thread,
        cause: Cause::None,
        ..Doing::just(State::Pause)
    };
    thread.change(writer, from.max(thread.since), pause)
}

/// From when on a sleep since `since` that the VM thread ended at `at` was a hold.
fn held_from(jvm: &Jvm, since: u64, at: u64) -> Option<u64> {
    if jvm.vm_thread_woken.is_some_and(|woken| woken <= since) {
        return Some(since);
    }
    let (start, end) = jvm.pauses.latest(at)?;
    (start < at && since <= end.saturating_add(SLACK_NS)).then_some(start)
}
