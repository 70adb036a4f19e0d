//! On which CPUs threads may run. No event tells it, so all threads are asked one after the other, again and again; the answer costs the kernel about a microsecond.

use crate::watch::{cpu_list, online_cpus};
use crate::{clock, proc};
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Threads that are asked in one look: where there are more, each is asked less often.
const PER_LOOK: usize = 1000;
/// Threads that are known at most; of those beyond it is told only what is found when their process begins.
const THREADS_MAX: usize = 1 << 16;

/// A thread, and what was last found.
#[derive(Debug, Default)]
struct Known {
    pid: u32,
    /// `None`: not asked yet. Nothing in the list: all that are online.
    cpus: Option<Vec<u32>>,
}

/// The living threads but for the kernel's own.
#[derive(Debug, Default)]
pub(super) struct Affinities {
    threads: BTreeMap<u32, Known>,
    /// Who was asked last.
    last: u32,
    looked: Option<Instant>,
}

impl Affinities {
    /// Takes in a definition of the recorder, this one's own included.
    pub fn define(&mut self, definition: &Definition) {
        match *definition {
            Definition::Thread {
                tid,
                pid,
                kthread: false,
                ..
            } => self.add(tid, pid),
            Definition::Affinity { tid, pid, ref list, .. } => {
                self.add(tid, pid);
                if let Some(known) = self.threads.get_mut(&tid) {
                    known
                        .cpus
                        .get_or_insert_with(|| cpu_list(list, u32::MAX).into_iter().collect());
                }
            }
            _ => {}
        }
    }

    /// Takes in a record that changes who is there.
    pub fn see(&mut self, record: &KernelRecord) {
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Fork) if record.flags & flags::KTHREAD == 0 => {
                // Whose number it was before, if its end was lost.
                self.threads.remove(&record.tid);
                self.add(record.tid, record.pid);
            }
            Some(KernelKind::Exec) if record.other_tid != record.tid => drop(self.threads.remove(&record.other_tid)),
            Some(KernelKind::Exit) => drop(self.threads.remove(&record.tid)),
            _ => {}
        }
    }

    fn add(&mut self, tid: u32, pid: u32) {
        if self.threads.len() < THREADS_MAX {
            self.threads.entry(tid).or_default().pid = pid;
        }
    }

    /// Asks those whose turn it is, if it is time to. Gives what is other than it was.
    pub fn look(&mut self, now: Instant) -> Vec<Dated> {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return Vec::new();
        }
        self.looked = Some(now);
        let online = online_cpus(u32::MAX);
        let turns = PER_LOOK.min(self.threads.len());
        (0..turns).filter_map(|_| self.ask_next(&online)).collect()
    }

    fn ask_next(&mut self, online: &[u32]) -> Option<Dated> {
        let after = (Bound::Excluded(self.last), Bound::Unbounded);
        let next = self.threads.range(after).next().or_else(|| self.threads.iter().next());
        self.last = *next?.0;
        let at = clock::monotonic_ns();
        let Some(cpus) = proc::allowed_cpus(self.last) else {
            self.threads.remove(&self.last);
            return None;
        };
        let known = self.threads.get_mut(&self.last)?;
        let found = if all_of(online, &cpus) { &[][..] } else { &cpus };
        let before = known.cpus.replace(found.to_vec());
        if before.as_ref().map_or(found.is_empty(), |before| before == found) {
            return None;
        }
        // A number that became another thread's unseen: its new owner is not told for the old one.
        if !Path::new(&format!("/proc/{}/task/{}", known.pid, self.last)).exists() {
            self.threads.remove(&self.last);
            return None;
        }
        let before = before.map_or(0, |before| if before.is_empty() { online.len() } else { before.len() });
        Some(affinity(at, (known.pid, self.last), &cpus, before))
    }
}

fn all_of(online: &[u32], cpus: &[u32]) -> bool {
    online.iter().all(|cpu| cpus.binary_search(cpu).is_ok())
}

fn affinity(at: u64, (pid, tid): (u32, u32), cpus: &[u32], before: usize) -> Dated {
    let definition = Definition::Affinity {
        tid,
        pid,
        cpus: cpus.len() as u32,
        list: proc::cpu_list(cpus),
        before: before as u32,
    };
    Dated { at, definition }
}

/// On which CPUs a thread may run that is seen for the first time, if not on all that are online.
pub(crate) fn restricted(pid: u32, tid: u32, online: &[u32]) -> Option<Dated> {
    let at = clock::monotonic_ns();
    let cpus = proc::allowed_cpus(tid)?;
    (!all_of(online, &cpus)).then(|| affinity(at, (pid, tid), &cpus, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork(tid: u32) -> KernelRecord {
        KernelRecord {
            kind: KernelKind::Fork as u8,
            tid,
            pid: tid,
            ..KernelRecord::default()
        }
    }

    fn own_tid() -> u32 {
        let link = std::fs::read_link("/proc/thread-self").expect("/proc/thread-self");
        let name = link.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).expect("a thread id")
    }

    fn may_run_on(cpus: &[u32]) {
        let mut mask = [0_u64; 128];
        cpus.iter().for_each(|&cpu| mask[cpu as usize / 64] |= 1 << (cpu % 64));
        #[expect(unsafe_code, reason = "sched_setaffinity of the calling thread")]
        // SAFETY: the mask has as many bytes as is said.
        let done = unsafe { libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast()) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    #[test]
    fn all_threads_have_their_turn_and_the_ended_are_forgotten() {
        let mut all = Affinities::default();
        // No such threads: pid_max is 4,194,304 at most.
        (0..1500).for_each(|n| all.see(&fork(5_000_000 + n)));
        let now = Instant::now();
        assert!(all.look(now).is_empty());
        assert_eq!(all.threads.len(), 500);
        all.look(now + LOOK / 2);
        assert_eq!(all.threads.len(), 500, "it is not time yet");
        all.look(now + LOOK);
        assert!(all.threads.is_empty());
    }

    #[test]
    fn kernel_threads_are_left_alone_and_tables_are_bounded() {
        let mut all = Affinities::default();
        let kthread = KernelRecord {
            flags: flags::KTHREAD,
            ..fork(7)
        };
        all.see(&kthread);
        assert!(all.threads.is_empty());
        (1..=THREADS_MAX as u32 + 5).for_each(|tid| all.see(&fork(tid)));
        assert_eq!(all.threads.len(), THREADS_MAX);
    }

    #[test]
    fn who_moves_from_all_to_one_and_back_is_told_twice() {
        let online = online_cpus(u32::MAX);
        let pid = std::process::id();
        let body = move || {
            let tid = own_tid();
            let mut all = Affinities::default();
            all.add(tid, pid);
            assert!(all.ask_next(&online).is_none(), "on all CPUs from the start");
            may_run_on(&online[..1]);
            let told = all.ask_next(&online).map(|dated| dated.definition);
            let expected = Definition::Affinity {
                tid,
                pid,
                cpus: 1,
                list: online[0].to_string(),
                before: online.len() as u32,
            };
            assert_eq!(told, Some(expected));
            assert!(all.ask_next(&online).is_none(), "told once");
            may_run_on(&online);
            let back = all.ask_next(&online).map(|dated| dated.definition);
            assert!(
                matches!(back, Some(Definition::Affinity { before: 1, cpus, .. }) if cpus as usize == online.len())
            );
        };
        // Where there is one CPU there is nothing to move.
        if online_cpus(u32::MAX).len() > 1 {
            std::thread::spawn(body).join().expect("no panic");
        }
    }
}
