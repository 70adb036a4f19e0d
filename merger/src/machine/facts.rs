//! What threads have beside states: their priority, as far as it is not the ordinary one, and on how many CPUs they may run. Counters with values of their own.

use super::Machine;
use super::extras::{What, Whose};
use plumb_trace::timeline::TimelineError;

const PRIORITY: What = What::Known("priority", "prio");
const CPUS_ALLOWED: What = What::Known("cpus_allowed", "cpus");
/// Of who is neither nice nor urgent.
const ORDINARY: u8 = 120;
/// Beyond, a number stands for a priority that was not recorded.
const PRIORITIES: u8 = 140;

type Result<T = ()> = std::result::Result<T, TimelineError>;

impl Machine {
    /// A thread comes to a CPU with this priority.
    pub(super) fn has_priority(&mut self, thread: usize, at: u64, priority: u8) -> Result {
        let known = &mut self.registry.threads[thread].priority;
        if *known == Some(priority) || priority >= PRIORITIES {
            return Ok(());
        }
        let before = known.replace(priority);
        if before.is_none() && priority == ORDINARY {
            return Ok(());
        }
        let first = before.unwrap_or(priority);
        self.set_extra(Whose::Thread(thread), PRIORITY, at, (first.into(), priority.into()))
    }

    /// A thread may run on so many CPUs, and on `before` of them until a moment ago, if that is known.
    pub(super) fn has_affinity(
        &mut self,
        host: usize,
        (tid, pid): (u32, u32),
        at: u64,
        (before, cpus): (u32, u32),
    ) -> Result {
        let first = if before == 0 { cpus } else { before };
        match self.thread_of(host, tid, pid, at)? {
            Some(thread) => self.set_extra(Whose::Thread(thread), CPUS_ALLOWED, at, (first.into(), cpus.into())),
            None => Ok(()),
        }
    }
}
