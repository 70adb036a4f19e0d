//! Who was there when the recording began. Taken after the programs are attached, so that nobody falls between: who begins meanwhile is seen by both, who ends meanwhile
//! may be missed here and is told by its exit record.

use crate::watch::online_cpus;
use crate::writer::{describe, restricted};
use crate::{clock, proc};
use plumb_trace::definition::{Dated, Definition};
use std::collections::{HashMap, HashSet};

/// All processes and threads. A process stands before its threads.
pub(crate) fn everybody(mut each: impl FnMut(Dated)) {
    let online = online_cpus(u32::MAX);
    for pid in proc::pids() {
        if let Some(process) = describe(pid) {
            let in_namespace = matches!(process.definition, Definition::Process { ns_pid, .. } if ns_pid != pid);
            each(process);
            for tid in proc::tids(pid) {
                let facts = thread(pid, tid, in_namespace).into_iter();
                facts.chain(restricted(pid, tid, &online)).for_each(&mut each);
            }
        }
    }
}

/// What /proc says of a thread now. `in_namespace`: its process has a pid namespace of its own.
pub(crate) fn thread(pid: u32, tid: u32, in_namespace: bool) -> Option<Dated> {
    let at = clock::monotonic_ns();
    let stat = proc::Stat::of_thread(pid, tid)?;
    let ns_tid = if in_namespace {
        proc::Status::of(tid)?.ns_pid
    } else {
        tid
    };
    let (start_ns, kthread) = (stat.start_ns(), stat.kthread());
    let definition = Definition::Thread {
        tid,
        pid,
        ns_tid,
        start_ns,
        comm: stat.comm,
        state: u32::from(stat.state),
        kthread,
    };
    Some(Dated { at, definition })
}

/// The processes and all their descendants.
pub(crate) fn descendants(roots: &[u32]) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in proc::pids() {
        if let Some(stat) = proc::Stat::of_process(pid) {
            children.entry(stat.ppid).or_default().push(pid);
        }
    }
    let mut found: HashSet<u32> = HashSet::new();
    let mut next = roots.to_vec();
    while let Some(pid) = next.pop() {
        if found.insert(pid) {
            next.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}
