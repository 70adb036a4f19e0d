//! Java stacks of long waits, which the agent takes of other threads.

use super::Machine;
use plumb_trace::record::JvmRecord;
use plumb_trace::timeline::TimelineError;

type Result<T = ()> = std::result::Result<T, TimelineError>;

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

    /// The agent has taken the stack of a virtual thread, which waits. Of one that the recording does not know there is nobody to give it to.
    pub(super) fn virtual_stack(&mut self, jvm: usize, at: u64, record: &JvmRecord) {
        if let Some(stack) = self.jvms[jvm].stacks.get(&record.detail()).copied()
            && let Some(waiting) = self.waiting_of((jvm, u64::from(record.value())))
        {
            waiting.take(at, stack);
        }
    }
}
