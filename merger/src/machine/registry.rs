//! Who is who: thread and process ids to instances and their tracks.
//!
//! An id names one thread at a time: fork begins a life, the last switch-out ends it, and a record of an id that
//! nobody has begins a life that was there before. Ids are reused, instances never: a thread is its place in [`Registry::threads`].

use super::thread::{Doing, Identity, Seen, Thread};
use plumb_trace::timeline::{Process, ProcessId, TimelineWriter, Track, TrackId, TrackKind};
use rustc_hash::FxHashMap;

/// A process of the recording.
#[derive(Debug)]
pub(crate) struct ProcessEntry {
    pub(crate) id: ProcessId,
    /// Clock ticks since boot at its start, where known: with the pid, the instance.
    pub(crate) start_ticks: Option<u64>,
    /// Place among the JVMs.
    pub(crate) jvm: Option<usize>,
    /// What its threads do is not all recorded, see [`super::unseen`].
    pub(crate) is_untold: bool,
}

/// The ids of one host.
#[derive(Debug)]
struct Ids {
    /// First instant of the host's recordings, ns.
    from_ns: u64,
    threads: FxHashMap<u32, usize>,
    processes: FxHashMap<u32, usize>,
    /// Who had an id last, and until when.
    dead: FxHashMap<u32, (usize, u64)>,
}

/// All threads and processes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) threads: Vec<Thread>,
    pub(crate) processes: Vec<ProcessEntry>,
    ids: Vec<Ids>,
}

impl Registry {
    /// A further host, whose threads were there since `from_ns` if nothing else is known of them.
    pub(crate) fn add_host(&mut self, from_ns: u64) -> usize {
        self.ids.push(Ids {
            from_ns,
            threads: FxHashMap::default(),
            processes: FxHashMap::default(),
            dead: FxHashMap::default(),
        });
        self.ids.len() - 1
    }

    /// The thread that has this id now.
    pub(crate) fn find(&self, host: usize, tid: u32) -> Option<usize> {
        self.ids[host].threads.get(&tid).copied()
    }

    /// Who had this id last, and until when, where nobody has it now.
    pub(crate) fn find_dead(&self, host: usize, tid: u32) -> Option<(usize, u64)> {
        self.ids[host].dead.get(&tid).copied()
    }

    /// The process that has this id now.
    pub(crate) fn find_process(&self, host: usize, pid: u32) -> Option<usize> {
        self.ids[host].processes.get(&pid).copied()
    }

    /// The process that has this id, which is made known if it was not.
    pub(crate) fn process(&mut self, writer: &mut TimelineWriter, host: usize, pid: u32) -> usize {
        match self.find_process(host, pid) {
            Some(process) => process,
            None => self.new_process(writer, host, pid),
        }
    }

    /// A new process takes this id.
    pub(crate) fn new_process(&mut self, writer: &mut TimelineWriter, host: usize, pid: u32) -> usize {
        let id = writer.add_process(Process {
            host: host as u32,
            pid,
            ns_pid: pid,
            ..Process::default()
        });
        self.processes.push(ProcessEntry {
            id,
            start_ticks: None,
            jvm: None,
            is_untold: false,
        });
        let process = self.processes.len() - 1;
        self.ids[host].processes.insert(pid, process);
        process
    }

    /// A thread that nobody saw begin: it was there since the host's first instant, or since the one before it that had its id ended.
    pub(crate) fn add_old(&mut self, writer: &mut TimelineWriter, host: usize, tid: u32, pid: u32) -> usize {
        let ids = &self.ids[host];
        let start = ids.dead.get(&tid).map_or(ids.from_ns, |&(_, end)| end.max(ids.from_ns));
        self.add(writer, host, (tid, pid), start, Doing::UNKNOWN, Seen::Never(None))
    }

    /// A thread whose life begins at `start`.
    pub(crate) fn add(
        &mut self,
        writer: &mut TimelineWriter,
        host: usize,
        (tid, pid): (u32, u32),
        start: u64,
        doing: Doing,
        seen: Seen,
    ) -> usize {
        let process = self.process(writer, host, pid);
        let track = writer.add_track(thread_track(self.processes[process].id, tid, start));
        let identity = Identity {
            track,
            process,
            host,
            tid,
            pid,
        };
        self.threads.push(Thread::new(identity, start, doing, seen));
        let thread = self.threads.len() - 1;
        self.ids[host].threads.insert(tid, thread);
        thread
    }

    /// The thread is dead; its id is free.
    pub(crate) fn remove(&mut self, thread: usize, at: u64) {
        let Thread { host, tid, ended, .. } = &mut self.threads[thread];
        *ended = true;
        let ids = &mut self.ids[*host];
        if ids.threads.get(tid) == Some(&thread) {
            ids.threads.remove(tid);
            ids.dead.insert(*tid, (thread, at));
        }
    }

    /// The thread goes on under another id (exec by a thread that does not lead its process).
    pub(crate) fn rename_id(&mut self, thread: usize, tid: u32) {
        let ids = &mut self.ids[self.threads[thread].host];
        ids.threads.remove(&self.threads[thread].tid);
        ids.threads.insert(tid, thread);
        self.threads[thread].tid = tid;
    }

    /// Every thread that is alive, oldest first.
    pub(crate) fn living(&self) -> impl Iterator<Item = usize> + use<'_> {
        (0..self.threads.len()).filter(|&thread| !self.threads[thread].ended)
    }

    /// Gives a track another name from `at` on.
    pub(crate) fn set_name(&self, writer: &mut TimelineWriter, thread: usize, at: u64, name: &str) {
        rename_track(writer, self.threads[thread].track, at, name);
    }
}

/// Names that are kept of one track beside its last: a thread may give itself another for each task.
const FORMER_NAMES_MAX: usize = 256;
/// Stands for those before.
const EARLIER_NAMES: &str = "(earlier names)";

/// Gives a track another name from `at` on; the one it had is kept with its end.
pub(super) fn rename_track(writer: &mut TimelineWriter, track: TrackId, at: u64, name: &str) {
    rename(writer.track_mut(track), at, name);
}

fn rename(track: &mut Track, at: u64, name: &str) {
    if track.name == name {
        return;
    }
    let old = std::mem::replace(&mut track.name, name.to_owned());
    if !old.is_empty() && at > track.start_ns {
        track.former_names.push((at, old));
    }
    if track.former_names.len() > FORMER_NAMES_MAX {
        track.former_names.remove(0);
        // Of the time of those that are not kept it is not said that it was the next one's.
        EARLIER_NAMES.clone_into(&mut track.former_names[0].1);
    }
}

fn thread_track(process: ProcessId, tid: u32, start_ns: u64) -> Track {
    Track {
        kind: TrackKind::Thread,
        process,
        tid: Some(tid),
        vthread: None,
        name: String::new(),
        former_names: Vec::new(),
        group: None,
        start_ns,
        end_ns: start_ns,
        java: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_names_are_kept_and_the_time_of_those_before_is_told_as_such() {
        let mut track = thread_track(ProcessId(0), 1, 0);
        (1..=FORMER_NAMES_MAX as u64 + 3).for_each(|at| rename(&mut track, at, &at.to_string()));
        // The first had no name before it; the last is the name of now.
        let former = &track.former_names;
        let last = FORMER_NAMES_MAX as u64 + 3;
        assert_eq!(former.len(), FORMER_NAMES_MAX);
        assert_eq!(former[0], (4, EARLIER_NAMES.to_owned()));
        assert_eq!(former[1], (5, "4".to_owned()));
        assert_eq!(former.last(), Some(&(last, (last - 1).to_string())));
    }
}
