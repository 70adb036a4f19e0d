//! Whether a CPU's switches make a chain: who leaves is who came last.
//!
//! A link may be missing though nothing was lost: there are kernels that run no BPF program on behalf of a protected process (seen: process 1 of a sandbox), whose threads are then
//! seen to come and never to leave. Perf events are kept from it as BPF programs are, and it hides the interrupts in the midst of these threads, too: who sleeps until a time that comes meanwhile wakes
//! unseen. Such events were never produced, so they are no loss of a ring; but the user should know.

use plumb_trace::record::{KernelKind, KernelRecord};

/// The chain of one CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    /// Thread and process that came last, where nothing was lost since.
    running: Option<(u32, u32)>,
}

/// Missing links of all CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    count: u64,
    /// Some of the processes whose threads were not seen to leave.
    pids: Vec<u32>,
}

/// Processes that are named.
const PIDS_MAX: usize = 4;

impl Chain {
    /// Something was lost here.
    pub fn tear(&mut self) {
        self.running = None;
    }

    /// The next record of the CPU.
    pub fn see(&mut self, record: &KernelRecord, missing: &mut Missing) {
        if record.kind == KernelKind::Exec as u8 && self.running.is_some_and(|(tid, _)| tid == record.other_tid) {
            // A thread that calls exec takes its leader's id.
            self.running = Some((record.tid, record.pid));
        }
        if record.kind != KernelKind::Switch as u8 {
            return;
        }
        if let Some((tid, pid)) = self.running
            && tid != record.tid
        {
            missing.add(pid);
        }
        self.running = Some((record.other_tid, record.other_pid));
    }
}

impl Missing {
    fn add(&mut self, pid: u32) {
        self.count += 1;
        if self.pids.len() < PIDS_MAX && !self.pids.contains(&pid) {
            self.pids.push(pid);
        }
    }

    /// What the user should know, if there is something.
    pub fn note(&self) -> Option<String> {
        let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
        (self.count > 0).then(|| {
            format!(
                "the kernel did not tell {} switches, after threads of process {} had come to a CPU, nor whom interrupts woke meanwhile",
                self.count,
                pids.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(tid: u32, other_tid: u32) -> KernelRecord {
        KernelRecord {
            kind: KernelKind::Switch as u8,
            tid,
            pid: tid,
            other_tid,
            other_pid: other_tid,
            ..KernelRecord::default()
        }
    }

    fn note_of(records: &[KernelRecord]) -> Option<String> {
        let (mut chain, mut missing) = (Chain::default(), Missing::default());
        records.iter().for_each(|record| chain.see(record, &mut missing));
        missing.note()
    }

    #[test]
    fn a_missing_link_is_noted_and_an_exec_is_none() {
        assert_eq!(note_of(&[switch(1, 2), switch(2, 3), switch(3, 1)]), None);
        let exec = KernelRecord {
            kind: KernelKind::Exec as u8,
            tid: 2,
            pid: 2,
            other_tid: 5,
            ..KernelRecord::default()
        };
        assert_eq!(note_of(&[switch(1, 5), exec, switch(2, 1)]), None);
        let note = note_of(&[switch(9, 1), switch(7, 9), switch(9, 1), switch(4, 3)]);
        assert_eq!(
            note.as_deref(),
            Some(
                "the kernel did not tell 2 switches, after threads of process 1 had come to a CPU, nor whom interrupts woke meanwhile"
            )
        );
    }

    #[test]
    fn a_loss_tears_the_chain() {
        let (mut chain, mut missing) = (Chain::default(), Missing::default());
        chain.see(&switch(1, 2), &mut missing);
        chain.tear();
        chain.see(&switch(3, 4), &mut missing);
        assert_eq!(missing, Missing::default());
    }
}
