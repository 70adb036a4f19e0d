//! Definitions, in order of time: who the ids in records are, and what they are called.

use super::Machine;
use super::thread::{Doing, Seen};
use crate::input::LaneKind;
use plumb_trace::definition::Definition;
use plumb_trace::timeline::{JavaThread, TimelineError};

type Result<T = ()> = std::result::Result<T, TimelineError>;

impl Machine {
    pub(super) fn define(&mut self, source: LaneKind, at: u64, definition: &Definition) -> Result {
        match source {
            LaneKind::Host { host } => self.define_on_host(host, at, definition),
            LaneKind::JvmDefinitions { jvm } => self.define_in_jvm(jvm, at, definition),
            LaneKind::Cpu { .. } | LaneKind::Jvm { .. } | LaneKind::Counters { .. } => Ok(()),
        }
    }

    fn define_on_host(&mut self, host: usize, at: u64, definition: &Definition) -> Result {
        match definition {
            Definition::Process {
                pid,
                ns_pid,
                start_ticks,
                ppid,
                comm,
                cmdline,
                cgroup,
                ..
            } => {
                let process = self.process_instance(host, *pid, *start_ticks);
                let process = self.writer.process_mut(self.registry.processes[process].id);
                process.ns_pid = *ns_pid;
                process.name.clone_from(comm);
                process.cmdline.clone_from(cmdline);
                process.cgroup.clone_from(cgroup);
                process.kernel |= *pid == 2 || *ppid == 2;
            }
            // Without the kernel's records nothing will ever be known of threads outside JVMs.
            Definition::Thread { tid, pid, .. } if *tid == 0 || !self.is_of_interest(host, *pid) => {}
            Definition::Thread {
                tid,
                pid,
                start_ns,
                comm,
                state,
                kthread,
                ..
            } => {
                let born = self.born_at(host, *start_ns);
                let thread = self.snapshot_thread(host, (*tid, *pid), born, at);
                let entry = &mut self.registry.threads[thread];
                if let (Seen::Never(letter), Some(state)) = (&mut entry.seen, char::from_u32(*state)) {
                    *letter = Some(state);
                }
                if !entry.java_name && !comm.is_empty() {
                    self.registry.set_name(&mut self.writer, thread, at, comm);
                }
                if *kthread {
                    let process = self.registry.threads[thread].process;
                    self.writer.process_mut(self.registry.processes[process].id).kernel = true;
                }
            }
            Definition::Traced { pid, start_ticks } => {
                let process = self.process_instance(host, *pid, *start_ticks);
                self.writer.process_mut(self.registry.processes[process].id).target = true;
            }
            Definition::Counter { .. } => self.define_counter(host, definition),
            Definition::JvmCounter { .. } => self.define_jvm_counter(host, definition),
            Definition::Affinity {
                tid, pid, cpus, before, ..
            } if self.is_of_interest(host, *pid) => {
                return self.has_affinity(host, (*tid, *pid), at, (*before, *cpus));
            }
            Definition::SliceCounter { number, name, unit } => self.slice_counters.define((host, *number), name, unit),
            Definition::Device { number, name } => self.define_device(host, *number, name),
            Definition::Frame { .. } | Definition::Stack { .. } => self.define_stack(host, definition),
            _ => {}
        }
        Ok(())
    }

    fn is_of_interest(&self, host: usize, pid: u32) -> bool {
        self.hosts[host].has_kernel || self.jvms.iter().any(|jvm| jvm.host == host && jvm.pid == pid)
    }

    /// The process with this pid and start time; a pid whose start time is another one has been reused.
    pub(super) fn process_instance(&mut self, host: usize, pid: u32, start_ticks: u64) -> usize {
        let known = self.registry.find_process(host, pid);
        let same = known.filter(|&process| {
            self.registry.processes[process]
                .start_ticks
                .is_none_or(|ticks| ticks == start_ticks)
        });
        let process = match same {
            Some(process) => process,
            None => self.registry.new_process(&mut self.writer, host, pid),
        };
        self.registry.processes[process].start_ticks = Some(start_ticks);
        process
    }

    /// Birth of a thread of the snapshot on the timeline's clock, ns.
    fn born_at(&self, host: usize, since_boot_ns: u64) -> u64 {
        let host = &self.hosts[host];
        since_boot_ns
            .saturating_add_signed(host.boottime_offset_ns.saturating_neg())
            .saturating_add_signed(host.shift_ns)
    }

    /// The thread that a snapshot speaks of. The snapshot is read while records are already taken: it may be known, or dead again.
    fn snapshot_thread(&mut self, host: usize, (tid, pid): (u32, u32), born: u64, at: u64) -> usize {
        if let Some(thread) = self
            .registry
            .find(host, tid)
            .filter(|&thread| self.registry.threads[thread].pid == pid)
        {
            return thread;
        }
        let mut start = born.clamp(self.hosts[host].from_ns.min(at), at);
        if let Some((thread, end)) = self.registry.find_dead(host, tid) {
            if self.registry.threads[thread].pid == pid && born <= end {
                return thread;
            }
            start = start.max(end);
        }
        self.registry.add(
            &mut self.writer,
            host,
            (tid, pid),
            start,
            Doing::UNKNOWN,
            Seen::Never(None),
        )
    }

    fn define_in_jvm(&mut self, jvm: usize, at: u64, definition: &Definition) -> Result {
        match definition {
            Definition::JavaThread {
                tid,
                name,
                group,
                daemon,
                priority,
                ..
            } => {
                let Some(thread) = self.java_thread(jvm, *tid, at) else {
                    self.oddities.nameless += 1;
                    return Ok(());
                };
                self.registry.threads[thread].java = true;
                let track = self.registry.threads[thread].track;
                self.writer.track_mut(track).java = true;
                let (group, daemon, priority) = (group.clone(), *daemon, *priority);
                let known = JavaThread {
                    group,
                    daemon,
                    priority,
                };
                self.writer.java_thread(track, known);
                self.name_java_thread(thread, at, name);
            }
            Definition::JavaThreadName { tid, name } => {
                if let Some(thread) = self.java_thread(jvm, *tid, at) {
                    self.name_java_thread(thread, at, name);
                }
            }
            Definition::VirtualThread { java_id, name } => self.name_virtual_thread((jvm, *java_id), at, name),
            Definition::JavaThreadEnd { tid } => return self.end_java_thread(jvm, *tid, at),
            Definition::Jvm {
                vm_name, vm_version, ..
            } => {
                let (_, track) = self.bind(jvm, at);
                self.writer.track_mut(track).name = format!("{vm_name} {vm_version}");
            }
            _ => {}
        }
        Ok(())
    }

    /// The JVM's name of a thread; what the kernel called it before was the same name, cut.
    fn name_java_thread(&mut self, thread: usize, at: u64, name: &str) {
        let entry = &mut self.registry.threads[thread];
        if name.is_empty() {
            return;
        }
        if !entry.java_name {
            entry.java_name = true;
            let track = self.writer.track_mut(entry.track);
            track.name.clear();
            track.former_names.clear();
        }
        self.registry.set_name(&mut self.writer, thread, at, name);
    }

    /// With kernel records, the kernel says when a thread's life ends: a little later.
    fn end_java_thread(&mut self, jvm: usize, tid: u32, at: u64) -> Result {
        let host = self.jvms[jvm].host;
        match self.java_thread(jvm, tid, at) {
            Some(thread) if !self.hosts[host].has_kernel && !self.registry.threads[thread].ended => {
                self.end_thread(thread, at)
            }
            _ => Ok(()),
        }
    }
}
