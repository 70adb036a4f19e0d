//! Processes that appear while a recording runs: what /proc says of them, if they live long enough to be asked.

use super::affinity::restricted;
use crate::watch::online_cpus;
use crate::{clock, proc};
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::time::{Duration, Instant};

/// Processes that are described in a second at most: a storm of forks must not become a storm of reading /proc.
const PER_SECOND: u32 = 500;
/// Processes that wait to be described.
const WAITING_MAX: usize = 1024;

/// Those that were seen to begin and are not described yet.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    waiting: Vec<u32>,
    second: Option<Instant>,
    described: u32,
}

impl Newcomers {
    /// A new process, or one with a new program in it, is to be described.
    pub fn see(&mut self, record: &KernelRecord) {
        let new = match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Fork) => record.tid == record.pid && record.flags & flags::KTHREAD == 0,
            Some(KernelKind::Exec) => true,
            _ => false,
        };
        if new && self.waiting.len() < WAITING_MAX {
            self.waiting.push(record.pid);
        }
    }

    /// Describes those that wait, as far as there are not too many.
    pub fn describe(&mut self, now: Instant) -> Vec<Dated> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        if self
            .second
            .is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1))
        {
            self.second = Some(now);
            self.described = 0;
        }
        let mut pids = std::mem::take(&mut self.waiting);
        pids.sort_unstable();
        pids.dedup();
        pids.truncate((PER_SECOND - self.described) as usize);
        self.described += pids.len() as u32;
        let online = online_cpus(u32::MAX);
        let facts = |pid| describe(pid).into_iter().chain(restricted(pid, pid, &online));
        pids.into_iter().flat_map(facts).collect()
    }
}

/// What /proc says of a process now; `None` when it has ended.
pub(crate) fn describe(pid: u32) -> Option<Dated> {
    let at = clock::monotonic_ns();
    let stat = proc::Stat::of_process(pid)?;
    let status = proc::Status::of(pid)?;
    let cmdline = proc::cmdline(pid)?;
    let cgroup = proc::cgroup(pid);
    // The pid may have become another's meanwhile.
    if proc::start_ticks(pid) != Some(stat.start_ticks) {
        return None;
    }
    let definition = Definition::Process {
        pid,
        ns_pid: status.ns_pid,
        start_ticks: stat.start_ticks,
        ppid: stat.ppid,
        uid: status.uid,
        comm: stat.comm,
        cmdline,
        cgroup,
    };
    Some(Dated { at, definition })
}
