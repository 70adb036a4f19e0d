//! Stacks of waits: what was taken while a thread was off its CPU belongs to that whole stretch.
//!
//! A stretch may be several intervals (a pause of the JVM parts one), of which the first may be written before the stack comes and the last long after: so a stack waits here until its thread
//! is seen to go on. One that was taken while the thread was not off its CPU, but waited for one or had one, tells nothing about a wait and is left out.

use super::Machine;
use plumb_trace::record::JvmRecord;
use plumb_trace::timeline::{Sleep, StackId, TimelineError, TimelineWriter, TrackId};

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// What is known of the stretch in which a thread is off its CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Begin of the stretch, where some of it has been written.
    since: Option<u64>,
    /// When a stack was taken, and which.
    taken: Option<(u64, StackId)>,
}

impl Waiting {
    /// A stack was taken at `at`, of what the thread does now. The first of a stretch counts.
    fn take(&mut self, at: u64, stack: StackId) {
        self.taken = self.taken.or(Some((at, stack)));
    }

    /// The thread's next interval is written; `is_off`: in which it was off its CPU.
    pub(crate) fn see(
        &mut self,
        writer: &mut TimelineWriter,
        track: TrackId,
        (start_ns, end_ns): (u64, u64),
        is_off: bool,
    ) -> Result {
        if is_off {
            self.since.get_or_insert(start_ns);
            return Ok(());
        }
        self.end(writer, track, start_ns)?;
        // Of this interval: it was not off its CPU then.
        self.taken = self.taken.filter(|(at, _)| *at >= end_ns);
        Ok(())
    }

    /// The stretch is over at `at`.
    pub(crate) fn end(&mut self, writer: &mut TimelineWriter, track: TrackId, at: u64) -> Result {
        let (Some(start_ns), Some((taken, stack))) = (self.since.take(), self.taken) else {
            return Ok(());
        };
        if !(start_ns..at).contains(&taken) {
            return Ok(());
        }
        self.taken = None;
        let sleep = Sleep {
            start_ns,
            end_ns: at,
            stack: StackId::default(),
            waker_stack: StackId::default(),
            waker: None,
            java_stack: stack,
        };
        writer.sleep(track, &sleep)
    }
}

impl Machine {
    /// The agent has taken the stack of another thread, which waits.
    pub(super) fn java_stack(&mut self, jvm: usize, at: u64, record: &JvmRecord) -> Result {
        let Some(stack) = self.jvms[jvm].stacks.get(&record.detail()).copied() else {
            // Its definition found no room, which is counted as a loss.
            return Ok(());
        };
        let Some(thread) = self.java_thread(jvm, record.value(), at) else {
            self.oddities.nameless += 1;
            return Ok(());
        };
        let entry = &mut self.registry.threads[thread];
        // A carrier's own stack says nothing of the virtual thread that it carries.
        if !entry.ended && entry.mounted.is_none() {
            entry.waiting.take(at, stack);
        }
        Ok(())
    }
}
