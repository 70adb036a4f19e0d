//! Which row of Paraver's a track is: application (process), task (always 1), thread.

use plumb_trace::timeline::{Process, Query, Track, TrackId, TrackKind};

/// One application.
pub(super) struct Application {
    /// Place among the timeline's processes.
    pub(super) process: usize,
    pub(super) threads: Vec<TrackId>,
}

/// All rows, and how CPUs are numbered.
pub(super) struct Rows {
    pub(super) applications: Vec<Application>,
    /// CPUs of each host.
    pub(super) cpus: Vec<u32>,
}

impl Rows {
    /// Processes in the timeline's order; threads, then the JVM itself.
    pub(super) fn new(query: &dyn Query) -> Rows {
        let mut threads: Vec<Vec<TrackId>> = vec![Vec::new(); query.processes().len()];
        let mut cpus: Vec<u32> = query.info().hosts.iter().map(|host| host.cpus).collect();
        for kind in [TrackKind::Thread, TrackKind::VirtualThread, TrackKind::Jvm] {
            for (id, track) in tracks(query).filter(|(_, track)| track.kind == kind) {
                if let Some(of_process) = threads.get_mut(track.process.0 as usize) {
                    of_process.push(id);
                }
            }
        }
        for (_, track) in tracks(query).filter(|(_, track)| track.kind == TrackKind::Cpu) {
            if let (Some(process), Some(cpu)) = (process_of(query, track), track.tid)
                && let Some(count) = cpus.get_mut(process.host as usize)
            {
                *count = (*count).max(cpu + 1);
            }
        }
        let applications = threads
            .into_iter()
            .enumerate()
            .filter(|(_, threads)| !threads.is_empty());
        let applications = applications
            .map(|(process, threads)| Application { process, threads })
            .collect();
        Rows {
            applications,
            cpus: cpus.into_iter().map(|count| count.max(1)).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.applications.is_empty()
    }

    /// Number of a host's CPU: counted over all hosts from 1; 0 is none.
    pub(super) fn cpu(&self, host: u32, cpu: Option<u16>) -> u32 {
        let Some(cpu) = cpu else { return 0 };
        let before = self.cpus.iter().take(host as usize).sum::<u32>();
        if self
            .cpus
            .get(host as usize)
            .is_some_and(|&count| u32::from(cpu) < count)
        {
            before + u32::from(cpu) + 1
        } else {
            0
        }
    }
}

fn tracks(query: &dyn Query) -> impl Iterator<Item = (TrackId, &Track)> {
    query
        .tracks()
        .iter()
        .enumerate()
        .map(|(index, track)| (TrackId(index as u32), track))
}

pub(super) fn process_of<'a>(query: &'a dyn Query, track: &Track) -> Option<&'a Process> {
    query.processes().get(track.process.0 as usize)
}
