//! What no record tells and no loss counts: some kernels run no program on behalf of a protected process 1, so that what happens while one of its threads has a CPU, be
//! it a switch or a wakeup by an interrupt, is in nobody's records.
//!
//! It shows when somebody else leaves that CPU, and a record that is made there tells that it has left. Who ran there meanwhile is told by the charges; who was woken meanwhile is not: a
//! thread that comes to a CPU without a wakeup is `unknown` from the beginning of such a hole to its end.

use super::cpu::Occupant;
use super::thread::{Doing, Thread};
use super::{Host, Machine};
use plumb_trace::timeline::TimelineError;

/// Holes of a host that are remembered.
const HOLES_MAX: usize = 1 << 10;

type Result<T = ()> = std::result::Result<T, TimelineError>;

impl Machine {
    /// `leaver` leaves a CPU that somebody else was thought to have: that this one left was not recorded. How long it ran is not known.
    pub(super) fn displace(&mut self, host: usize, cpu: u16, at: u64, leaver: Option<usize>) {
        let state = &mut self.hosts[host].cpus[usize::from(cpu)];
        let Occupant::Thread(thread) = state.occupant else {
            return;
        };
        if Some(thread) == leaver {
            let process = self.registry.threads[thread].process;
            self.registry.processes[process].is_untold = false;
            return;
        }
        let hole = (state.since(), at);
        state.hole = Some(hole);
        let holes = &mut self.hosts[host].holes;
        if holes.len() == HOLES_MAX {
            holes.pop_front();
        }
        holes.push_back(hole);
        let entry = &mut self.registry.threads[thread];
        self.registry.processes[entry.process].is_untold = true;
        if entry.doing == Doing::running(cpu) {
            self.oddities.unseen_leavings += 1;
            entry.forget_since();
        }
    }

    /// A record was made on this CPU while `current` had it, as far as it tells: had it a thread of whom nothing is recorded, it has no more. If it is that
    /// thread's own record, its process is recorded after all.
    pub(super) fn ends_hole(&mut self, host: usize, cpu: u16, at: u64, current: Option<u32>) {
        let occupant = self.cpu(host, cpu).occupant;
        if let Occupant::Thread(thread) = occupant
            && self.is_untold(occupant)
        {
            let Thread { tid, process, .. } = self.registry.threads[thread];
            if Some(tid) == current {
                self.registry.processes[process].is_untold = false;
                return;
            }
            self.displace(host, cpu, at, None);
            self.hosts[host].cpus[usize::from(cpu)].is_told_from(at);
        }
    }

    fn is_untold(&self, occupant: Occupant) -> bool {
        match occupant {
            Occupant::Thread(thread) => self.registry.processes[self.registry.threads[thread].process].is_untold,
            Occupant::Idle | Occupant::Unknown => false,
        }
    }

    /// A thread that slept was runnable at `at`, and no record told of its waking. If a hole may have hidden it, what it did in the hole is not known, and it waited for a CPU since; tells whether so.
    pub(super) fn wakes_unseen(&mut self, thread: usize, at: u64) -> Result<bool> {
        let Thread { host, since, doing, .. } = self.registry.threads[thread];
        let Some((from, to)) = self.hole(host, since, at).filter(|_| doing.is_off()) else {
            return Ok(false);
        };
        let entry = &mut self.registry.threads[thread];
        entry.change(&mut self.writer, from, Doing::UNKNOWN)?;
        self.queue(thread, to, None)?;
        Ok(true)
    }

    /// From the first hole of a host to the last, within (`from`, `to`).
    fn hole(&self, host: usize, from: u64, to: u64) -> Option<(u64, u64)> {
        let Host { cpus, holes, .. } = &self.hosts[host];
        // That it tells nothing shows only when somebody else leaves.
        let may_be_untold = |occupant| match occupant {
            Occupant::Thread(thread) => self.registry.threads[thread].pid == 1 || self.is_untold(occupant),
            Occupant::Idle | Occupant::Unknown => false,
        };
        let open = cpus.iter().filter(|cpu| may_be_untold(cpu.occupant));
        let open = open.map(|cpu| (cpu.since(), to));
        // They ended in this order, and only the last can matter.
        let closed = holes.iter().rev().copied().take_while(|(_, end)| *end > from);
        closed
            .chain(open)
            .map(|(begin, end)| (begin.max(from), end.min(to)))
            .filter(|(begin, end)| begin < end)
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
    }
}
