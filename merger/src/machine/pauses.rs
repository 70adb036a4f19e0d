//! Who was held by a pause of its JVM.
//!
//! A Java thread that comes to a safepoint sleeps in a futex until the VM thread ends the safepoint and wakes all such threads itself
//! (HotSpot's wait barrier, JDK 17 to 25). So: off its CPU in a futex across a pause, and woken by the thread that announced the pause → held. What was
//! asleep for another reason is woken by somebody else and was not held, whatever the JVM did meanwhile. Where the waker was not recorded, a
//! sleep that began at most [`SLACK_NS`] before the pause and ended at most so long after it counts as held.

use super::jvm::Jvm;
use super::thread::{Doing, Thread};
use plumb_trace::State;
use plumb_trace::timeline::{Cause, TimelineError, TimelineWriter};

/// How far from a pause's edges a thread that it held may fall asleep and wake, ns.
const SLACK_NS: u64 = 1_000_000;

/// A thread ends being off its CPU at `at` (its peer is set to its waker): the part since a pause that held it began becomes `pause`.
/// `waker_recorded`: where it was not, the peer says nothing.
pub(super) fn split(
    thread: &mut Thread,
    jvm: Option<&Jvm>,
    writer: &mut TimelineWriter,
    at: u64,
    waker_recorded: bool,
) -> Result<(), TimelineError> {
    let may_be_held = thread.java
        && matches!(
            thread.doing.state,
            State::Futex | State::Monitor | State::Wait | State::Blocked
        );
    let Some((jvm, (start, end))) = jvm.and_then(|jvm| Some((jvm, jvm.last_pause?))) else {
        return Ok(());
    };
    let across = start < at && thread.since <= end.saturating_add(SLACK_NS);
    let held = if waker_recorded {
        across && thread.doing.peer.is_some() && thread.doing.peer == jvm.vm_thread
    } else {
        across && thread.since.saturating_add(SLACK_NS) >= start && at <= end.saturating_add(SLACK_NS)
    };
    if !may_be_held || !held {
        return Ok(());
    }
    // Up to the pause it slept for the reason that is known; that the VM thread woke it is about the pause.
    thread.doing.peer = None;
    let pause = Doing {
        peer: jvm.vm_thread,
        cause: Cause::None,
        ..Doing::just(State::Pause)
    };
    thread.change(writer, start.max(thread.since), pause)
}
