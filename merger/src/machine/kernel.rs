//! The kernel's records: each arm says why that case happens.
//!
//! `ready` begins at the queueing, as run_delay of schedstat does: between sched_waking and there the thread waits for an interrupt on its CPU and is not yet in
//! its queue. When it was queued is told by the switch by which it comes to a CPU ([`super::waits`]), or, on kernels without these books, by a wakeup record. Where neither is to be had, and of
//! whoever has not come to a CPU yet, `ready` begins at the waking.

use super::cause::{Leaving, leaving};
use super::charge::Charge;
use super::cpu::Occupant;
use super::thread::{Doing, Seen, Thread, Waker};
use super::waits::{self, Waits};
use super::{Machine, pauses};
use plumb_trace::State;
use plumb_trace::record::{KernelKind, KernelRecord, NOT_TOLD, flags};
use plumb_trace::timeline::{Cause, TimelineError, TrackId};

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// A thread may be woken in the moment between its decision to sleep and the record of its leaving, ns: the choice of who comes lies between.
const FALLING_ASLEEP_NS: u64 = 100_000;

/// Who had the CPU when a record other than a switch was made, where it tells.
fn current_of(kind: Option<KernelKind>, record: &KernelRecord) -> Option<u32> {
    match kind? {
        KernelKind::Waking | KernelKind::Fork | KernelKind::Rename => Some(record.other_tid),
        KernelKind::Exec
        | KernelKind::Exit
        | KernelKind::CallEnter
        | KernelKind::CallExit
        | KernelKind::Toll
        | KernelKind::Counted
        | KernelKind::Probe
        | KernelKind::Stack => Some(record.tid),
        KernelKind::Switch | KernelKind::Wakeup | KernelKind::Request => None,
    }
}

impl Machine {
    pub(super) fn kernel_record(&mut self, host: usize, cpu: u16, at: u64, record: &KernelRecord) -> Result {
        let kind = KernelKind::from_u8(record.kind);
        if kind != Some(KernelKind::Switch) {
            self.ends_hole(host, cpu, at, current_of(kind, record));
        }
        match kind {
            Some(KernelKind::Switch) => self.switch(host, cpu, at, record),
            Some(KernelKind::Waking) => self.waking(host, at, record),
            Some(KernelKind::Wakeup) => self.wakeup(host, at, record),
            Some(KernelKind::Fork) => self.fork(host, at, record),
            Some(KernelKind::Exec) => self.exec(host, at, record),
            Some(KernelKind::Exit) => Ok(()), // The life ends at the last switch-out: up to there the thread uses the CPU.
            Some(KernelKind::Rename) => {
                self.rename(host, at, record);
                Ok(())
            }
            Some(KernelKind::CallEnter) => self.call_enters(host, at, record),
            Some(KernelKind::CallExit) => self.call_exits(host, at, record),
            Some(KernelKind::Toll) => self.toll(host, cpu, at, record),
            Some(KernelKind::Counted) => self.counted(host, at, record),
            Some(KernelKind::Request) => self.request_done(host, at, record),
            Some(KernelKind::Probe) => self.probe_hit(host, at, record),
            Some(KernelKind::Stack) => self.stack(host, at, record),
            None => {
                self.oddities.unknown_kinds += 1;
                Ok(())
            }
        }
    }

    /// The thread of a record; `None` for the idle task, and for who is not told.
    pub(super) fn thread_of(&mut self, host: usize, tid: u32, pid: u32, at: u64) -> Result<Option<usize>> {
        if [0, NOT_TOLD].contains(&tid) {
            return Ok(None);
        }
        match self.registry.find(host, tid) {
            // Another process has the id: the end of the one before and the birth of this one were not recorded.
            Some(thread) if pid != 0 && self.registry.threads[thread].pid != pid => self.end_thread(thread, at)?,
            Some(thread) => return Ok(Some(thread)),
            None => {}
        }
        Ok(Some(self.registry.add_old(&mut self.writer, host, tid, pid)))
    }

    fn switch(&mut self, host: usize, cpu: u16, at: u64, record: &KernelRecord) -> Result {
        let covered = *self.hosts[host].covered_from.get_or_insert(at);
        let state = self.cpu(host, cpu);
        state.cover(covered);
        self.ensure_cpu_track(host, cpu);
        let at = self.hosts[host].accounting.instant(at, record.lag);
        let from = self.thread_of(host, record.tid, record.pid, at)?;
        let to = self.thread_of(host, record.other_tid, record.other_pid, at)?;
        self.displace(host, cpu, at, from);
        let alone = record.flags & flags::ALONE != 0;
        self.hosts[host].alone |= alone;
        let nobody = if alone { Occupant::Unknown } else { Occupant::Idle };
        let occupant = |thread: Option<usize>, tid| match (thread, tid) {
            (Some(thread), _) => Occupant::Thread(thread),
            (None, NOT_TOLD) => Occupant::Unknown,
            (None, _) => nobody,
        };
        let (leaves, comes) = (occupant(from, record.tid), occupant(to, record.other_tid));
        let leaver = (leaves, self.occupant_track(leaves));
        let successor = self.occupant_track(comes);
        if let Some(thread) = from {
            self.leave(thread, cpu, at, record, successor)?;
        }
        let cpus = &mut self.hosts[host].cpus[usize::from(cpu)];
        cpus.switch(&mut self.writer, at, leaver, comes)?;
        match to {
            Some(thread) => {
                self.has_priority(thread, at, record.prio)?;
                self.come(thread, cpu, at, record)
            }
            None => Ok(()),
        }
    }

    /// A thread leaves its CPU.
    fn leave(&mut self, thread: usize, cpu: u16, at: u64, record: &KernelRecord, successor: Option<TrackId>) -> Result {
        if self.registry.threads[thread].doing != Doing::running(cpu) {
            self.assume_running(thread, cpu, at, record.charged_ns)?;
        }
        let entry = &mut self.registry.threads[thread];
        entry.seen = Seen::Yes;
        let could_go_on = record.value == 0 || record.flags & flags::PREEMPT != 0;
        let involuntary = entry.counts_involuntary(record.nvcsw, record.nivcsw, could_go_on);
        let stolen_ns = entry.charge.leaves((record.time_ns, record.lag), record.charged_ns);
        let stolen_ns = stolen_ns.min(at.saturating_sub(entry.since));
        entry.close(&mut self.writer, at, stolen_ns, involuntary)?;
        let peer = if successor == Some(entry.track) {
            None
        } else {
            successor
        };
        // Woken while it ran, it did not sleep then.
        entry.waker = entry
            .waker
            .filter(|waker| at.saturating_sub(waker.at) < FALLING_ASLEEP_NS);
        let leaving = leaving(record, !involuntary);
        let sleeps = matches!(leaving, Leaving::Off(..));
        entry
            .waiting
            .leaves(&mut self.writer, entry.track, entry.since, sleeps)?;
        match leaving {
            Leaving::Dead => self.end_thread(thread, at)?,
            Leaving::Runnable(yielded) => {
                entry.waker = None;
                let cause = if yielded { Cause::Yielded } else { Cause::Preempted };
                entry.doing = Doing {
                    cpu: Some(cpu),
                    peer,
                    cause,
                    ..Doing::just(State::Ready)
                };
            }
            Leaving::Throttled => entry.doing = Doing::just(State::Throttled),
            Leaving::Off(state, cause) => entry.doing = entry.with_activity(state, cause),
        }
        Ok(())
    }

    /// A thread leaves a CPU on which it was not thought to be. If this is the CPU's first switch since nothing is missing of it, it
    /// has been there since then; otherwise its coming was not recorded, and its charge tells how long it was there.
    fn assume_running(&mut self, thread: usize, cpu: u16, at: u64, charged_ns: u64) -> Result {
        let host = self.registry.threads[thread].host;
        let last_loss = self.hosts[host].last_loss;
        let state = &mut self.hosts[host].cpus[usize::from(cpu)];
        let entry = &mut self.registry.threads[thread];
        let ran = entry.charge.since_switch_out(charged_ns);
        let from = match ran {
            Some(ran) if !state.is_unseen() => at.saturating_sub(ran).max(state.since()),
            Some(ran) if state.hole.is_some() => at.saturating_sub(ran).max(state.unseen_from().unwrap_or(at)),
            _ if state.is_unseen() => state.known_from.unwrap_or(at),
            _ => at,
        };
        // It was seen doing something else, and came here in a loss since then.
        if let Some(lost_at) = last_loss.filter(|&lost| lost > entry.since) {
            entry.lose_sight(&mut self.writer, lost_at.min(at))?;
        }
        entry.charge.forget();
        entry.waits.forget();
        let from = from.max(entry.since).min(at);
        state.assume(thread, from);
        // If its waking was told, it has waited since then; if not, it may lie where nothing was told.
        self.settle_waking(thread, from)?;
        self.wakes_unseen(thread, from)?;
        let entry = &mut self.registry.threads[thread];
        entry.change(&mut self.writer, from, Doing::running(cpu))
    }

    /// A thread comes to a CPU.
    fn come(&mut self, thread: usize, cpu: u16, at: u64, record: &KernelRecord) -> Result {
        let waited = self.waited(thread, at, record);
        let entry = &self.registry.threads[thread];
        let (state, is_told) = (entry.doing.state, entry.waker.is_some() || entry.seen != Seen::Yes);
        match (state, waited) {
            (State::Ready | State::Throttled, _) => {}
            (State::Unknown, _) if entry.waker.is_none() => {}
            // Thought to run elsewhere: that it left was not recorded.
            (State::Running, _) => {
                self.oddities.unseen_leavings += 1;
                self.registry.threads[thread].forget_since();
            }
            (_, Some(waited)) if entry.doing.is_off() => {
                let since = at.saturating_sub(waited).max(entry.since);
                self.queue(thread, since, Some(cpu))?;
            }
            _ if !is_told && self.wakes_unseen(thread, at)? => {}
            // Runnable since its birth or the waking, or, without these, since now.
            _ => {
                let entry = &self.registry.threads[thread];
                let since = match entry.seen {
                    Seen::Newborn(_) => entry.since,
                    _ => entry.waker.map_or(at, |waker| waker.at.max(entry.since)),
                };
                self.queue(thread, since, Some(cpu))?;
            }
        }
        let entry = &mut self.registry.threads[thread];
        entry.seen = Seen::Yes;
        entry.waker = None;
        entry.change(&mut self.writer, at, Doing::running(cpu))
    }

    /// How long a thread that comes to a CPU waited for it, by the kernel's books, ns; `None` where they do not tell: it may have come to one unseen before.
    fn waited(&mut self, thread: usize, at: u64, record: &KernelRecord) -> Option<u64> {
        let entry = &mut self.registry.threads[thread];
        let came = (record.time_ns, record.lag);
        let is_first = entry.charge.comes(came, record.comer_charged());
        let low = entry.waits.comes(record.comer_waited()).filter(|_| is_first)?;
        let since_waking = entry.waker.map(|waker| at.saturating_sub(waker.at));
        Some(waits::whole(low, since_waking))
    }

    /// A thread is about to be woken: who does it is known only here. It shows as ready when it comes to its CPU, for then is known since when it was in the queue.
    fn waking(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        let interrupt = record.flags & flags::INTERRUPT != 0;
        let waker = if interrupt {
            None
        } else {
            self.thread_of(host, record.other_tid, record.other_pid, at)?
        };
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        self.see_off_cpu(thread, at)?;
        self.comes_unseen(thread)?;
        let track = waker
            .filter(|&waker| waker != thread)
            .map(|waker| self.registry.threads[waker].track);
        let entry = &mut self.registry.threads[thread];
        let is_off = entry.doing.is_off();
        let waker = Waker {
            at,
            track,
            interrupt,
            cpu: u16::try_from(record.value).ok(),
            // Of whom nothing is known, it is known now.
            was_asleep: is_off || entry.doing.state == State::Unknown,
        };
        entry.waker = Some(waker);
        match is_off {
            true => self.ends_sleep(thread, at, Some(waker)),
            false => Ok(()),
        }
    }

    /// What a thread that sleeps until `at` slept for: a part of it may be its JVM's pause. Its peer becomes who woke it.
    fn ends_sleep(&mut self, thread: usize, at: u64, waker: Option<Waker>) -> Result {
        let entry = &mut self.registry.threads[thread];
        let peer = waker.and_then(|waker| waker.track);
        entry.doing.peer = peer;
        let Some(jvm) = self.registry.processes[entry.process].jvm else {
            return Ok(());
        };
        let jvm = &mut self.jvms[jvm];
        pauses::split(entry, jvm, &mut self.writer, at, waker.is_some())?;
        let by_worker = peer.is_some_and(|peer| !self.writer.track_mut(peer).java);
        jvm.thread_woken(entry, at, by_worker);
        Ok(())
    }

    /// A thread that was woken out of its sleep is woken again: it came to a CPU unseen meanwhile, and what it did since that waking is not known.
    fn comes_unseen(&mut self, thread: usize) -> Result {
        let entry = &mut self.registry.threads[thread];
        match entry.waker {
            Some(waker) if waker.was_asleep && entry.doing.is_off() => entry.lose_sight(&mut self.writer, waker.at),
            _ => Ok(()),
        }
    }

    /// A thread that was woken out of its sleep has been ready since then, as far as is known at `at`: it was not seen to come to a CPU.
    pub(super) fn settle_waking(&mut self, thread: usize, at: u64) -> Result {
        let entry = &self.registry.threads[thread];
        match entry.waker {
            Some(waker) if waker.was_asleep && (entry.doing.is_off() || entry.doing.state == State::Unknown) => {
                // What was lost since then may have held its coming to a CPU, and its sleeping again.
                let lost = self.hosts[entry.host]
                    .last_loss
                    .filter(|&lost| lost > waker.at && lost < at);
                self.queue(thread, waker.at.clamp(entry.since.min(at), at), waker.cpu)?;
                match lost {
                    Some(lost) => self.registry.threads[thread].lose_sight(&mut self.writer, lost),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// A thread is in a queue from here on.
    fn wakeup(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        self.see_off_cpu(thread, at)?;
        let at = self.hosts[host].accounting.instant(at, record.lag);
        let entry = &mut self.registry.threads[thread];
        if entry.doing.is_off() || entry.doing.state == State::Unknown {
            self.queue(thread, at, u16::try_from(record.value).ok())
        } else {
            // It had not left its CPU, or its queue: nothing happens but that it will not sleep.
            entry.waker = None;
            Ok(())
        }
    }

    /// A thread that is being woken was off its CPU: if this is its first record, since everything is recorded.
    fn see_off_cpu(&mut self, thread: usize, at: u64) -> Result {
        let entry = &mut self.registry.threads[thread];
        let host = &self.hosts[entry.host];
        if let (Seen::Never(_), Some(covered), None) = (entry.seen, host.covered_from, host.first_loss) {
            let from = covered.max(entry.since).min(at);
            entry.change(&mut self.writer, from, Doing::just(State::Blocked))?;
        }
        if let Seen::Never(_) = entry.seen {
            entry.seen = Seen::Yes;
        }
        Ok(())
    }

    /// Ends what kept a thread off its CPU; it waits for one from `at` on.
    pub(super) fn queue(&mut self, thread: usize, at: u64, cpu: Option<u16>) -> Result {
        let entry = &mut self.registry.threads[thread];
        let waker = entry.waker.take();
        let (peer, cause) = match (entry.seen, waker) {
            (Seen::Newborn(parent), _) => (parent, Cause::Born),
            (_, Some(Waker { interrupt: true, .. })) => (None, Cause::WokenByInterrupt),
            (_, waker) => (waker.and_then(|waker| waker.track), Cause::Woken),
        };
        let is_asleep = entry.doing.is_off() && !waker.is_some_and(|waker| waker.was_asleep);
        match entry.seen {
            Seen::Newborn(_) => entry.seen = Seen::Yes,
            _ if is_asleep => self.ends_sleep(thread, at, waker)?,
            _ => {}
        }
        self.registry.threads[thread].change(
            &mut self.writer,
            at,
            Doing {
                cpu,
                peer,
                cause,
                ..Doing::just(State::Ready)
            },
        )
    }

    fn fork(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        if record.tid == 0 {
            return Ok(());
        }
        if let Some(thread) = self.registry.find(host, record.tid) {
            self.end_thread(thread, at)?;
        }
        let parent = self.thread_of(host, record.other_tid, record.other_pid, at)?;
        if record.tid == record.pid || self.registry.find_process(host, record.pid).is_none() {
            let process = self.registry.new_process(&mut self.writer, host, record.pid);
            self.describe_new_process(process, parent, record);
        }
        let parent = parent.map(|parent| self.registry.threads[parent].track);
        let newborn = (Doing::just(State::Blocked), Seen::Newborn(parent));
        let thread = self.registry.add(
            &mut self.writer,
            host,
            (record.tid, record.pid),
            at,
            newborn.0,
            newborn.1,
        );
        let entry = &mut self.registry.threads[thread];
        (entry.charge, entry.waits) = (Charge::born(), Waits::born());
        self.registry.set_name(&mut self.writer, thread, at, &record.comm());
        // Perf events give the same id twice.
        if record.value != 0 && record.value != record.tid {
            self.learn_outside_tid(host, record.pid, record.value, record.tid);
            if record.tid == record.pid {
                // Also of those who are gone before /proc can be asked.
                let process = self.registry.processes[self.registry.threads[thread].process].id;
                self.writer.process_mut(process).ns_pid = record.value;
            }
        }
        Ok(())
    }

    /// A process's name changes; the other threads of the process are dead, and whoever called exec goes on as its leader.
    fn exec(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        if record.tid == 0 {
            return Ok(());
        }
        if record.other_tid != record.tid
            && record.other_tid != 0
            && let Some(thread) = self.registry.find(host, record.other_tid)
        {
            if let Some(leader) = self.registry.find(host, record.tid) {
                self.end_thread(leader, at)?;
            }
            self.registry.rename_id(thread, record.tid);
            self.writer.track_mut(self.registry.threads[thread].track).tid = Some(record.tid);
        }
        self.rename(host, at, record);
        Ok(())
    }

    /// What a process has from its parent until it calls exec.
    fn describe_new_process(&mut self, process: usize, parent: Option<usize>, record: &KernelRecord) {
        let cgroup = parent.map(|parent| self.registry.threads[parent].process);
        let cgroup = cgroup.map(|process| {
            self.writer
                .process_mut(self.registry.processes[process].id)
                .cgroup
                .clone()
        });
        let process = self.writer.process_mut(self.registry.processes[process].id);
        process.name = record.comm();
        process.kernel = record.flags & flags::KTHREAD != 0;
        process.cgroup = cgroup.unwrap_or_default();
    }

    fn rename(&mut self, host: usize, at: u64, record: &KernelRecord) {
        let Some(thread) = self.registry.find(host, record.tid) else {
            return;
        };
        let comm = record.comm();
        let Thread {
            process,
            tid,
            pid,
            java_name,
            ..
        } = self.registry.threads[thread];
        if !java_name {
            self.registry.set_name(&mut self.writer, thread, at, &comm);
        }
        if tid == pid {
            self.writer.process_mut(self.registry.processes[process].id).name = comm;
        }
    }

    /// Ends a thread's life at `at`.
    pub(super) fn end_thread(&mut self, thread: usize, at: u64) -> Result {
        if let Some(mounted) = self.registry.threads[thread].mounted {
            self.unmount(mounted.key, at, Some(Doing::UNKNOWN))?;
        }
        self.end_pause_of(thread, at)?;
        let entry = &mut self.registry.threads[thread];
        entry.close(&mut self.writer, at, 0, false)?;
        let end = at.max(entry.since);
        entry.waiting.end(&mut self.writer, entry.track, end)?;
        self.writer.track_mut(entry.track).end_ns = end;
        self.registry.remove(thread, end);
        Ok(())
    }
}
