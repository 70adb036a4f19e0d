//! Books of who is where, by which the events of perf become records as the BPF programs write them.

use super::event::{DEAD, Dated, Event, NOBODY, SLEEPS};
use super::tracepoints::Told;
use crate::proc;
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::collections::{HashMap, HashSet};

/// Threads that are known at a time.
pub(super) const THREADS_MAX: usize = 1 << 17;

/// What a thread has had so far, counted from when it was first seen.
#[derive(Clone, Debug, Default)]
struct Account {
    charged_ns: u64,
    nvcsw: u16,
    nivcsw: u16,
    /// It was last seen to leave a CPU.
    is_off: bool,
}

/// Who is on a CPU.
#[derive(Clone, Copy, Debug)]
struct Running {
    pid: u32,
    tid: u32,
    since_ns: u64,
    charged_ns: u64,
}

/// What is known of a CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnCpu {
    running: Option<Running>,
    /// What the tracepoint has said of who is about to leave.
    state: Option<u32>,
    /// Who told its end here last.
    ending: Option<(u32, u32)>,
}

impl OnCpu {
    /// Process and thread that came last, where that is known.
    pub fn running(&self) -> Option<(u32, u32)> {
        self.running.map(|running| (running.pid, running.tid))
    }

    /// Something is missing.
    pub fn forget(&mut self) {
        *self = OnCpu::default();
    }
}

/// Makes plumb's records of events.
#[derive(Debug, Default)]
pub struct Books {
    accounts: HashMap<u32, Account>,
    names: HashMap<u32, String>,
    /// Processes of threads.
    pids: HashMap<u32, u32>,
    /// Who has told its end and is about to leave its CPU for the last time.
    ended: HashSet<u32>,
}

/// A record of which only time and place are known.
pub(super) fn blank(cpu: u32, time_ns: u64) -> Option<KernelRecord> {
    Some(KernelRecord {
        time_ns,
        cpu: u16::try_from(cpu).ok()?,
        syscall: -1,
        fd: -1,
        // Not told.
        prio: u8::MAX,
        ..KernelRecord::default()
    })
}

impl Books {
    /// The record of an event, if there is one.
    pub fn record(&mut self, cpu: u32, here: &mut OnCpu, dated: Dated) -> Option<KernelRecord> {
        let mut record = blank(cpu, dated.time_ns)?;
        let who = (dated.pid, dated.tid);
        match dated.event {
            Event::Switch {
                state,
                is_preempted,
                next,
            } => {
                // The tracepoint knows better how it sleeps; not every kernel's says that it goes on.
                let told = here.state.take().filter(|_| state == SLEEPS);
                record.value = told.unwrap_or(state);
                record.flags = if is_preempted { flags::PREEMPT } else { 0 };
                self.switch(&mut record, here, who, next);
            }
            Event::AfterIdle => {
                let is_told = here.running.is_none_or(|running| running.tid != 0);
                if is_told || dated.tid == 0 {
                    return None;
                }
                self.switch(&mut record, here, (0, 0), who);
            }
            Event::Left { is_preempted } => self.left(&mut record, here, who, is_preempted)?,
            Event::Came => self.came(&mut record, here, who)?,
            Event::Told(told) => self.told(&mut record, here, who, told)?,
            Event::Fork { pid, tid, parent } => self.fork(&mut record, (pid, tid), parent),
            Event::Exit { pid, tid } => {
                here.ending = Some((pid, tid));
                self.exit(&mut record, pid, tid);
            }
            Event::Comm {
                pid,
                tid,
                comm,
                is_exec,
            } => {
                let kind = if is_exec { KernelKind::Exec } else { KernelKind::Rename };
                record.kind = kind as u8;
                (record.pid, record.tid, record.other_tid) = (pid, tid, tid);
                record.set_comm(&comm);
                self.names.insert(tid, comm);
            }
            Event::Counted(_) | Event::Lost(_) => return None,
        }
        Some(record)
    }

    fn fork(&mut self, record: &mut KernelRecord, (pid, tid): (u32, u32), parent: (u32, u32)) {
        record.kind = KernelKind::Fork as u8;
        (record.pid, record.tid, record.value) = (pid, tid, tid);
        (record.other_pid, record.other_tid) = parent;
        let comm = self.name_of(parent.1);
        record.set_comm(&comm);
        self.names.insert(tid, comm);
        self.pids.insert(tid, pid);
        self.ended.remove(&tid);
        self.accounts.remove(&tid);
    }

    fn exit(&mut self, record: &mut KernelRecord, pid: u32, tid: u32) {
        record.kind = KernelKind::Exit as u8;
        (record.pid, record.tid) = (pid, tid);
        record.set_comm(&self.name_of(tid));
        self.names.remove(&tid);
        self.pids.remove(&tid);
        self.ended.insert(tid);
    }

    /// What the tracepoints say. That of a switch stands before the switch itself, which knows more of who comes.
    fn told(&mut self, record: &mut KernelRecord, here: &mut OnCpu, who: (u32, u32), told: Told) -> Option<()> {
        let (tid, cpu) = match told {
            Told::Leaves { state } => {
                here.state = Some(state);
                return None;
            }
            Told::Waking { tid, cpu, by_interrupt } => {
                record.kind = KernelKind::Waking as u8;
                (record.other_pid, record.other_tid) = who;
                record.flags = if by_interrupt || who.1 == 0 {
                    flags::INTERRUPT
                } else {
                    0
                };
                (tid, cpu)
            }
            Told::Queued { tid, cpu } => {
                record.kind = KernelKind::Wakeup as u8;
                (tid, cpu)
            }
        };
        (record.pid, record.tid, record.value) = (self.pid_of(tid)?, tid, cpu);
        Some(())
    }

    /// A traced thread leaves. Two events may tell it: the second one tells nothing new.
    fn left(&mut self, record: &mut KernelRecord, here: &mut OnCpu, who: (u32, u32), is_preempted: bool) -> Option<()> {
        let is_known = here.running.is_some_and(|running| running.tid == who.1);
        if !is_known && self.accounts.get(&who.1).is_some_and(|account| account.is_off) {
            return None;
        }
        record.value = if is_preempted { 0 } else { SLEEPS };
        record.flags = flags::ALONE | if is_preempted { flags::PREEMPT } else { 0 };
        self.switch(record, here, who, (0, 0));
        Some(())
    }

    fn came(&mut self, record: &mut KernelRecord, here: &mut OnCpu, who: (u32, u32)) -> Option<()> {
        if here.running.is_some_and(|running| running.tid == who.1) {
            return None;
        }
        record.flags = flags::ALONE;
        self.switch(record, here, (0, 0), who);
        Some(())
    }

    fn switch(
        &mut self,
        record: &mut KernelRecord,
        here: &mut OnCpu,
        (mut pid, mut tid): (u32, u32),
        next: (u32, u32),
    ) {
        record.kind = KernelKind::Switch as u8;
        let before = here.running.take();
        if tid == NOBODY {
            // Its ids are given back already: it is who came last, or, where the kernel hid that it came, who told its end here.
            let came = before.map(|running| (running.pid, running.tid));
            let has_ended = |who: &(u32, u32)| self.ended.contains(&who.1);
            let ending = came.filter(has_ended).or(here.ending.filter(has_ended));
            (pid, tid) = ending.or(came).unwrap_or_default();
        }
        if record.value != 0 && self.ended.remove(&tid) {
            record.value = DEAD;
        }
        self.bound();
        let account = self.accounts.entry(tid).or_default();
        if let Some(running) = before.filter(|running| running.tid == tid) {
            let lasted_ns = record.time_ns.saturating_sub(running.since_ns);
            account.charged_ns = running.charged_ns.saturating_add(lasted_ns);
        }
        if record.value == 0 {
            account.nivcsw = account.nivcsw.wrapping_add(1);
        } else {
            account.nvcsw = account.nvcsw.wrapping_add(1);
        }
        account.is_off = true;
        (record.pid, record.tid) = (pid, tid);
        (record.charged_ns, record.nvcsw, record.nivcsw) = (account.charged_ns, account.nvcsw, account.nivcsw);
        if record.value == DEAD {
            self.accounts.remove(&tid);
        } else {
            self.pids.insert(tid, pid);
        }
        let next = self.dying(next, here.ending);
        self.pids.insert(next.1, next.0);
        (record.other_pid, record.other_tid) = next;
        let comer = self.accounts.entry(next.1).or_default();
        comer.is_off = false;
        record.set_comer(comer.charged_ns, None);
        here.running = Some(Running {
            pid: next.0,
            tid: next.1,
            since_ns: record.time_ns,
            charged_ns: comer.charged_ns,
        });
    }

    /// Who comes with its ids given back already was preempted in its end: who told that end here, or whoever it was, if it can only be one.
    fn dying(&self, next: (u32, u32), ending: Option<(u32, u32)>) -> (u32, u32) {
        if next.1 != NOBODY {
            return next;
        }
        let is_off = |tid: &&u32| self.accounts.get(tid).is_some_and(|account| account.is_off);
        let is_dying = |who: &(u32, u32)| self.ended.contains(&who.1) && is_off(&&who.1);
        if let Some(ending) = ending.filter(is_dying) {
            return ending;
        }
        let mut dying = self.ended.iter().filter(is_off);
        match (dying.next(), dying.next()) {
            (Some(tid), None) => (self.pids.get(tid).copied().unwrap_or(NOBODY), *tid),
            _ => next,
        }
    }

    /// Where ends were lost, accounts of who is gone would pile up: all begin anew then, which costs a thread the sum of its time and nothing else.
    fn bound(&mut self) {
        let sizes = [self.accounts.len(), self.names.len(), self.ended.len(), self.pids.len()];
        if sizes.into_iter().any(|size| size > THREADS_MAX) {
            *self = Books::default();
        }
    }

    /// The name of a thread; empty where it is not known.
    pub fn name_of(&self, tid: u32) -> String {
        let known = self.names.get(&tid).cloned();
        known.unwrap_or_else(|| proc::read_trimmed(format!("/proc/{tid}/comm")).unwrap_or_default())
    }

    /// The process of a thread; `None` where it is gone already, and was not seen before.
    fn pid_of(&mut self, tid: u32) -> Option<u32> {
        if let Some(&pid) = self.pids.get(&tid) {
            return Some(pid);
        }
        self.bound();
        let pid = proc::Status::of(tid)?.tgid;
        self.pids.insert(tid, pid);
        Some(pid)
    }
}
