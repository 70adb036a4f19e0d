//! The end: what still goes on is written, what has no name gets one, and the timeline is told what it is about.

use super::calls::Output;
use super::thread::{Doing, Seen, Thread};
use super::{Host, Machine};
use crate::groups::Groups;
use crate::input::{Gap, HostInput, LaneKind};
use plumb_trace::State;
use plumb_trace::timeline::{HostInfo, Info, Loss, TimelineError, TimelineWriter, Track};

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// What became of the lot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) threads: u64,
    pub(crate) losses: u64,
    pub(crate) lost_events: Option<u64>,
}

impl Machine {
    /// A lane whose recorder was killed: what it had not written yet is lost. False: there was nobody any more who could have had records.
    pub(crate) fn lose_tail(&mut self, lane: LaneKind, from_ns: u64, to_ns: u64) -> Result<bool> {
        if let LaneKind::Jvm { jvm, stream, .. } = lane {
            let thread = self.streams.get(&(jvm, stream)).and_then(|stream| stream.thread);
            if thread.is_none_or(|thread| self.registry.threads[thread].ended) {
                return Ok(false);
            }
        }
        self.lose(
            lane,
            Gap {
                from_ns,
                to_ns,
                events: None,
            },
        )?;
        Ok(true)
    }

    /// Ends every track at `to_ns` and writes the file.
    pub(crate) fn finish(
        mut self,
        hosts: &[HostInput],
        groups: &Groups,
        to_ns: u64,
        mut notes: Vec<String>,
    ) -> Result<Counts> {
        let to_ns = to_ns.max(self.now);
        self.close_stacks();
        notes.extend(self.note_of_stacks());
        self.close_virtual_threads(to_ns)?;
        self.close_calls(to_ns)?;
        for thread in self.registry.living().collect::<Vec<_>>() {
            self.close_thread(thread, to_ns)?;
        }
        self.close_system_calls(to_ns)?;
        self.close_cpus(to_ns)?;
        self.close_counted(to_ns)?;
        self.close_counters(to_ns);
        self.name_everything();
        self.close_extras(to_ns)?;
        self.mark_processes();
        self.assign_groups(groups);
        let counts = self.write_losses(to_ns);
        *self.writer.info_mut() = info(hosts, groups, self.from_ns, to_ns, notes);
        self.writer.finish()?;
        Ok(counts)
    }

    /// Ends open calls and pauses with their threads.
    fn close_calls(&mut self, to_ns: u64) -> Result {
        let Machine {
            streams,
            registry,
            writer,
            jvms,
            ..
        } = self;
        let mut open: Vec<_> = streams
            .iter_mut()
            .filter_map(|(key, stream)| Some((*key, stream.thread?, stream)))
            .collect();
        open.sort_by_key(|(key, ..)| *key);
        for ((jvm, _), thread, stream) in open {
            let Thread { track, ended, .. } = registry.threads[thread];
            let end = if ended { writer.track_mut(track).end_ns } else { to_ns };
            let units = &mut jvms[jvm].units;
            stream.calls.cut(&mut Output { writer, units, track }, end, end)?;
        }
        for jvm in 0..self.jvms.len() {
            self.pause_ends(jvm, to_ns, true)?;
            self.jvms[jvm].units.close(&mut self.writer)?;
            if let Some((_, track)) = self.jvms[jvm].bound {
                self.writer.track_mut(track).end_ns = to_ns;
            }
        }
        Ok(())
    }

    fn close_thread(&mut self, thread: usize, to_ns: u64) -> Result {
        self.settle_waking(thread, to_ns)?;
        let entry = &mut self.registry.threads[thread];
        let process = self.writer.process_mut(self.registry.processes[entry.process].id);
        let host = &self.hosts[entry.host];
        let is_recorded = !host.alone || process.target || host.targets.contains(&entry.pid);
        if let Seen::Never(Some(letter)) = entry.seen
            && is_recorded
        {
            slept_all_the_time(entry, &self.hosts[entry.host], letter, &mut self.writer)?;
        }
        entry.close(&mut self.writer, to_ns, 0, false)?;
        let end = to_ns.max(entry.since);
        entry.waiting.end(&mut self.writer, entry.track, end)?;
        self.writer.track_mut(entry.track).end_ns = end;
        Ok(())
    }

    /// A process is called like its leading thread, and the other way round; what has no name at all is called by its number.
    fn name_everything(&mut self) {
        for thread in self.registry.threads.iter().filter(|thread| thread.tid == thread.pid) {
            let process = self.registry.processes[thread.process].id;
            let (of_process, of_thread) = (
                self.writer.process_mut(process).name.clone(),
                self.writer.track_mut(thread.track).name.clone(),
            );
            if of_process.is_empty() {
                self.writer.process_mut(process).name = of_thread;
            } else if of_thread.is_empty() {
                self.writer.track_mut(thread.track).name = of_process;
            }
        }
        for thread in &self.registry.threads {
            let track = self.writer.track_mut(thread.track);
            if track.name.is_empty() {
                track.name = format!("thread {}", thread.tid);
            }
        }
        for process in &self.registry.processes {
            let process = self.writer.process_mut(process.id);
            if process.name.is_empty() {
                process.name = format!("process {}", process.pid);
            }
        }
    }

    /// The first process that had a target's pid is the target: a later one has only its number.
    fn mark_processes(&mut self) {
        let mut seen = rustc_hash::FxHashSet::default();
        for process in &self.registry.processes {
            let process = self.writer.process_mut(process.id);
            if !seen.insert((process.host, process.pid)) {
                continue;
            }
            let host = &self.hosts[process.host as usize];
            process.target |= host.targets.contains(&process.pid);
            process.plumb |= host.recorders.contains(&process.pid);
        }
    }

    /// Groups are about the processes that the recording is about; where it is about none in particular, about all.
    fn assign_groups(&mut self, groups: &Groups) {
        let has_targets =
            self.hosts.iter().any(|host| !host.targets.is_empty()) || self.jvms.iter().any(|jvm| !jvm.is_without_agent);
        for thread in &self.registry.threads {
            let process = self.writer.process_mut(self.registry.processes[thread.process].id);
            if has_targets && !process.target && !process.jvm {
                continue;
            }
            let track = self.writer.track_mut(thread.track);
            track.group = groups.of_names(thread.host, names_of(track));
        }
        for &(track, process) in &self.virtual_threads.tracks {
            let host = self.writer.process_mut(self.registry.processes[process].id).host as usize;
            let track = self.writer.track_mut(track);
            track.group = groups.of_names(host, names_of(track));
        }
    }

    fn write_losses(&mut self, to_ns: u64) -> Counts {
        let mut losses = std::mem::take(&mut self.losses);
        losses.sort_by(|a, b| (a.from_ns, &a.stream).cmp(&(b.from_ns, &b.stream)));
        let counts = Counts {
            threads: self.registry.threads.len() as u64,
            losses: losses.len() as u64,
            lost_events: losses
                .iter()
                .try_fold(0u64, |sum, loss| Some(sum.saturating_add(loss.events?))),
        };
        for loss in losses {
            let from_ns = loss.from_ns.clamp(self.from_ns, to_ns);
            self.writer.loss(Loss {
                from_ns,
                to_ns: loss.to_ns.clamp(from_ns, to_ns),
                ..loss
            });
        }
        counts
    }
}

/// A thread without any record of the scheduler, asleep in the snapshot: it slept from the first recorded switch on, at least until records were lost.
fn slept_all_the_time(thread: &mut Thread, host: &Host, letter: char, writer: &mut TimelineWriter) -> Result {
    let state = match letter {
        'S' | 'D' | 'I' | 'P' => State::Blocked,
        'T' | 't' => State::Stopped,
        _ => return Ok(()),
    };
    let Some(covered) = host.covered_from else {
        return Ok(());
    };
    let until = host.first_loss.unwrap_or(u64::MAX);
    let from = covered.max(thread.since);
    if from >= until {
        return Ok(());
    }
    thread.change(writer, from, Doing::just(state))?;
    match host.first_loss {
        Some(loss) => thread.change(writer, loss, Doing::UNKNOWN),
        None => Ok(()),
    }
}

fn info(hosts: &[HostInput], groups: &Groups, from_ns: u64, to_ns: u64, notes: Vec<String>) -> Info {
    Info {
        from_ns,
        to_ns,
        realtime_offset_ns: hosts.first().map_or(0, |host| host.realtime_offset_ns),
        plumb_version: env!("CARGO_PKG_VERSION").into(),
        hosts: hosts.iter().map(host_info).collect(),
        groups: groups.names().to_vec(),
        clock_uncertainty_ns: hosts.iter().map(|host| host.clock_uncertainty_ns).max().unwrap_or(0),
        notes,
    }
}

fn host_info(input: &HostInput) -> HostInfo {
    let host = &input.manifests[0].host;
    HostInfo {
        name: host.name.clone(),
        boot_id: host.boot_id.clone(),
        kernel: host.kernel.clone(),
        cpus: host.cpus,
        has_kernel: input.has_kernel,
    }
}

/// The last one first.
fn names_of(track: &Track) -> impl Iterator<Item = &str> {
    let former = track.former_names.iter().rev().map(|(_, name)| name.as_str());
    std::iter::once(track.name.as_str()).chain(former)
}
