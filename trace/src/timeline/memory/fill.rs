//! Filling a timeline in memory by hand.

use super::Memory;
use crate::State;
use crate::timeline::{
    Cause, HostInfo, Info, Process, ProcessId, Slice, StackId, StateInterval, StringId, Track, TrackId, TrackKind, Unit,
};

impl Memory {
    /// An empty timeline of one host with kernel records.
    pub fn new(from_ns: u64, to_ns: u64) -> Memory {
        let host = HostInfo {
            name: "here".into(),
            has_kernel: true,
            ..Default::default()
        };
        let info = Info {
            from_ns,
            to_ns,
            hosts: vec![host],
            ..Info::default()
        };
        Memory {
            info,
            strings: vec![String::new()],
            ..Memory::default()
        }
    }

    /// The process of that name, made where it is not there: pids count from 100.
    pub fn process(&mut self, name: &str) -> ProcessId {
        let found = self.processes.iter().position(|process| process.name == name);
        let index = found.unwrap_or_else(|| {
            let pid = 100 + self.processes.len() as u32;
            let process = Process {
                pid,
                ns_pid: pid,
                name: name.into(),
                ..Process::default()
            };
            self.add_process(process).0 as usize
        });
        ProcessId(index as u32)
    }

    /// One more process.
    pub fn add_process(&mut self, process: Process) -> ProcessId {
        self.processes.push(process);
        ProcessId(self.processes.len() as u32 - 1)
    }

    /// A track that lives as long as the timeline.
    pub fn track(&mut self, kind: TrackKind, process: &str, name: &str, tid: Option<u32>) -> TrackId {
        let process = self.process(process);
        let (start_ns, end_ns) = (self.info.from_ns, self.info.to_ns);
        let (name, former_names) = (name.to_owned(), Vec::new());
        self.add_track(Track {
            kind,
            process,
            tid,
            vthread: None,
            name,
            former_names,
            group: None,
            start_ns,
            end_ns,
            java: false,
        })
    }

    /// One more track, with nothing on it.
    pub fn add_track(&mut self, track: Track) -> TrackId {
        self.tracks.push(track);
        self.states.push(Vec::new());
        self.slices.push(Vec::new());
        TrackId(self.tracks.len() as u32 - 1)
    }

    /// A thread that lives as long as the timeline; tids count from 1000.
    pub fn thread(&mut self, process: &str, name: &str) -> TrackId {
        let tid = 1000 + self.tracks.len() as u32;
        self.track(TrackKind::Thread, process, name, Some(tid))
    }

    /// Puts a thread into a group.
    pub fn group(&mut self, track: TrackId, group: &str) {
        let found = self.info.groups.iter().position(|name| name == group);
        let index = found.unwrap_or_else(|| {
            self.info.groups.push(group.into());
            self.info.groups.len() - 1
        });
        self.tracks[track.0 as usize].group = Some(index as u32);
    }

    /// A string, which has one number however often it is asked for.
    pub fn text(&mut self, text: &str) -> StringId {
        let known = self.strings.iter().position(|known| known == text);
        let place = known.unwrap_or_else(|| {
            self.strings.push(text.into());
            self.strings.len() - 1
        });
        StringId(place as u32)
    }

    /// One more interval of a thread.
    ///
    /// # Panics
    /// There is no such track; as all that fills one.
    pub fn state(&mut self, track: TrackId, start_ns: u64, end_ns: u64, state: State) -> &mut StateInterval {
        let intervals = &mut self.states[track.0 as usize];
        intervals.push(StateInterval {
            start_ns,
            end_ns,
            state,
            cpu: None,
            stolen_ns: 0,
            peer: None,
            cause: Cause::None,
            involuntary: false,
        });
        let last = intervals.len() - 1;
        &mut intervals[last]
    }

    /// One more interval on a CPU.
    pub fn running(&mut self, track: TrackId, start_ns: u64, end_ns: u64, cpu: u16) -> &mut StateInterval {
        let interval = self.state(track, start_ns, end_ns, State::Running);
        interval.cpu = Some(cpu);
        interval
    }

    /// One more interval in the queue of a CPU.
    pub fn ready(&mut self, track: TrackId, start_ns: u64, end_ns: u64, cpu: u16) -> &mut StateInterval {
        let interval = self.state(track, start_ns, end_ns, State::Ready);
        interval.cpu = Some(cpu);
        interval
    }

    /// The track of a CPU.
    pub fn cpu(&mut self, cpu: u16) -> TrackId {
        self.track(TrackKind::Cpu, "swapper", &format!("cpu {cpu}"), Some(u32::from(cpu)))
    }

    /// One more unit of work, seen whole.
    pub fn unit(&mut self, name: StringId, track: TrackId, start_ns: u64, end_ns: u64) {
        self.units.push(Unit {
            name,
            key: StringId(0),
            track,
            number: 0,
            start_ns,
            end_ns,
            thrown: false,
            complete: true,
        });
        self.units.sort_by_key(|unit| unit.end_ns);
    }

    /// One more pause of a JVM.
    pub fn pause(&mut self, jvm: TrackId, start_ns: u64, end_ns: u64) {
        let slice = Slice {
            start_ns,
            end_ns,
            name: self.text("GC pause"),
            depth: 0,
            thrown: false,
            open_start: false,
            open_end: false,
        };
        self.slices[jvm.0 as usize].push(slice);
    }

    /// The last pause has a name.
    pub fn name_pause(&mut self, jvm: TrackId, name: &str) {
        let name = self.text(name);
        if let Some(pause) = self.slices[jvm.0 as usize].last_mut() {
            pause.name = name;
        }
    }

    /// A stack, its frames outermost first.
    pub fn stack_of(&mut self, frames: &[&str]) -> StackId {
        let frames = frames.iter().map(|frame| self.text(frame)).collect();
        self.stacks.push(frames);
        StackId(self.stacks.len() as u32)
    }
}
