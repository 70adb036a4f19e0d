//! A timeline in memory, as plain as can be, for tests.

use plumb_trace::{
    State,
    timeline::{
        Cause, CoarseState, CounterPoint, Info, Loss, Occupancy, Process, ProcessId, Query, Sleep, Slice, StackId,
        StateInterval, StringId, TimelineError, TimelineFile, TimelineWriter, Totals, Track, TrackId, TrackKind, Unit,
        UnitPart,
    },
};

/// A timeline that a test fills.
#[derive(Default)]
pub(crate) struct Fake {
    pub info: Info,
    pub processes: Vec<Process>,
    pub tracks: Vec<Track>,
    pub losses: Vec<Loss>,
    pub strings: Vec<String>,
    pub states: Vec<Vec<StateInterval>>,
    pub slices: Vec<Vec<Slice>>,
    pub units: Vec<Unit>,
    pub unit_parts: Vec<UnitPart>,
    pub sleeps: Vec<(TrackId, Sleep)>,
    /// Frames, outermost first; the first stack has number 1.
    pub stacks: Vec<Vec<StringId>>,
    /// Samples of counters, by track.
    pub counters: Vec<(TrackId, u64, i64)>,
}

impl Fake {
    /// An empty timeline of one host with kernel records.
    pub fn new(from_ns: u64, to_ns: u64) -> Self {
        let host = plumb_trace::timeline::HostInfo {
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
        Self {
            info,
            strings: vec![String::new()],
            ..Self::default()
        }
    }

    /// The process of that name, made where it is not there: pids count from 100.
    pub fn process(&mut self, name: &str) -> ProcessId {
        let found = self.processes.iter().position(|process| process.name == name);
        let index = found.unwrap_or_else(|| {
            let pid = 100 + self.processes.len() as u32;
            self.processes.push(Process {
                pid,
                ns_pid: pid,
                name: name.into(),
                ..Process::default()
            });
            self.processes.len() - 1
        });
        ProcessId(index as u32)
    }

    pub fn track(&mut self, kind: TrackKind, process: &str, name: &str, tid: Option<u32>) -> TrackId {
        let process = self.process(process);
        let (start_ns, end_ns) = (self.info.from_ns, self.info.to_ns);
        let (name, former_names) = (name.to_owned(), Vec::new());
        self.tracks.push(Track {
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
        });
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

    pub fn text(&mut self, text: &str) -> StringId {
        let known = self.strings.iter().position(|known| known == text);
        let place = known.unwrap_or_else(|| {
            self.strings.push(text.into());
            self.strings.len() - 1
        });
        StringId(place as u32)
    }

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
        intervals.last_mut().unwrap()
    }

    pub fn running(&mut self, track: TrackId, start_ns: u64, end_ns: u64, cpu: u16) -> &mut StateInterval {
        let interval = self.state(track, start_ns, end_ns, State::Running);
        interval.cpu = Some(cpu);
        interval
    }

    pub fn ready(&mut self, track: TrackId, start_ns: u64, end_ns: u64, cpu: u16) -> &mut StateInterval {
        let interval = self.state(track, start_ns, end_ns, State::Ready);
        interval.cpu = Some(cpu);
        interval
    }

    pub fn cpu(&mut self, cpu: u16) -> TrackId {
        self.track(TrackKind::Cpu, "swapper", &format!("cpu {cpu}"), Some(u32::from(cpu)))
    }

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
}

impl Fake {
    /// The same as a file, for what a reader of files must answer alike.
    pub fn written(&self) -> TimelineFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fake.plumb");
        let mut writer = TimelineWriter::create(&path).unwrap();
        *writer.info_mut() = self.info.clone();
        // Numbers of strings are handed out in the same order.
        for text in &self.strings {
            writer.string(text);
        }
        for process in &self.processes {
            writer.add_process(process.clone());
        }
        for track in &self.tracks {
            writer.add_track(track.clone());
        }
        for (number, states) in (0..).zip(&self.states) {
            states
                .iter()
                .for_each(|interval| writer.state(TrackId(number), interval).unwrap());
        }
        for (number, slices) in (0..).zip(&self.slices) {
            slices
                .iter()
                .for_each(|slice| writer.slice(TrackId(number), slice).unwrap());
        }
        let cpus = self
            .tracks
            .iter()
            .zip(0..)
            .filter(|(track, _)| track.kind == TrackKind::Cpu);
        for (_, number) in cpus {
            let stretches = self
                .occupancy(TrackId(number), self.info.from_ns, self.info.to_ns)
                .unwrap();
            stretches
                .iter()
                .for_each(|stretch| writer.occupancy(TrackId(number), stretch).unwrap());
        }
        self.units.iter().for_each(|unit| writer.unit(unit).unwrap());
        self.unit_parts.iter().for_each(|part| writer.unit_part(part).unwrap());
        for frames in &self.stacks {
            let stack = writer.add_stack().unwrap();
            writer.define_stack(stack, frames);
        }
        self.sleeps
            .iter()
            .for_each(|(track, sleep)| writer.sleep(*track, sleep).unwrap());
        for &(track, at_ns, value) in &self.counters {
            writer.counter(track, at_ns, value).unwrap();
        }
        self.losses.iter().for_each(|loss| writer.loss(loss.clone()));
        writer.finish().unwrap();
        TimelineFile::open(&path).unwrap()
    }
}

impl Query for Fake {
    fn info(&self) -> &Info {
        &self.info
    }

    fn processes(&self) -> &[Process] {
        &self.processes
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn losses(&self) -> &[Loss] {
        &self.losses
    }

    fn string(&self, id: StringId) -> &str {
        self.strings.get(id.0 as usize).map_or("", String::as_str)
    }

    fn states(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<StateInterval>, TimelineError> {
        let overlaps = |interval: &&StateInterval| interval.start_ns < to_ns && interval.end_ns > from_ns;
        Ok(self.states[track.0 as usize].iter().filter(overlaps).copied().collect())
    }

    fn coarse_states(&self, _: TrackId, _: u64, _: u64, _: u64) -> Result<Vec<CoarseState>, TimelineError> {
        Ok(Vec::new())
    }

    /// Stolen time of a cut interval lies at its start here: sums must not depend on it.
    fn totals(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Totals, TimelineError> {
        let mut totals = Totals::default();
        for interval in self.states(track, from_ns, to_ns)? {
            let length_ns = interval.end_ns.min(to_ns) - interval.start_ns.max(from_ns);
            let stolen_ns = interval.stolen_ns.min(length_ns);
            totals.states.add(State::Stolen, stolen_ns);
            totals.states.add(interval.state, length_ns - stolen_ns);
            totals.voluntary += u64::from(interval.state == State::Running && !interval.involuntary);
            totals.involuntary += u64::from(interval.involuntary);
        }
        Ok(totals)
    }

    fn slices(&self, track: TrackId, from_ns: u64, to_ns: u64, min_ns: u64) -> Result<Vec<Slice>, TimelineError> {
        let is_wanted = |slice: &&Slice| {
            slice.start_ns < to_ns && slice.end_ns > from_ns && slice.end_ns - slice.start_ns >= min_ns
        };
        Ok(self.slices[track.0 as usize]
            .iter()
            .filter(is_wanted)
            .copied()
            .collect())
    }

    /// Made of the threads' states.
    fn occupancy(&self, cpu_track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<Occupancy>, TimelineError> {
        let cpu = self.tracks[cpu_track.0 as usize].tid.map(|cpu| cpu as u16);
        let mut stretches = Vec::new();
        for (states, track) in self.states.iter().zip(0..) {
            let on_cpu = states
                .iter()
                .filter(|interval| interval.state == State::Running && interval.cpu == cpu);
            stretches.extend(
                on_cpu
                    .filter(|interval| interval.start_ns < to_ns && interval.end_ns > from_ns)
                    .map(|interval| Occupancy {
                        start_ns: interval.start_ns,
                        end_ns: interval.end_ns,
                        track: Some(TrackId(track)),
                    }),
            );
        }
        stretches.sort_by_key(|occupancy| occupancy.start_ns);
        Ok(stretches)
    }

    fn counters(&self, track: TrackId, from_ns: u64, to_ns: u64, _: u64) -> Result<Vec<CounterPoint>, TimelineError> {
        let own: Vec<(u64, i64)> = (self.counters.iter().filter(|(of, ..)| *of == track))
            .map(|&(_, at_ns, value)| (at_ns, value))
            .collect();
        let ends = own
            .iter()
            .skip(1)
            .map(|(at_ns, _)| *at_ns)
            .chain([self.tracks[track.0 as usize].end_ns]);
        let points = own.iter().zip(ends).map(|(&(start_ns, value), end_ns)| CounterPoint {
            start_ns,
            end_ns,
            min: value,
            max: value,
            last: value,
        });
        Ok(points
            .filter(|point| point.start_ns < to_ns && point.end_ns > from_ns)
            .collect())
    }

    fn units(&self, from_ns: u64, to_ns: u64) -> Result<Vec<Unit>, TimelineError> {
        Ok(self
            .units
            .iter()
            .filter(|unit| unit.start_ns < to_ns && unit.end_ns > from_ns)
            .copied()
            .collect())
    }

    fn sleeps(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<Sleep>, TimelineError> {
        let overlaps = |sleep: &&Sleep| sleep.start_ns < to_ns && sleep.end_ns > from_ns;
        let of_track = self.sleeps.iter().filter(|(of, _)| *of == track);
        Ok(of_track.map(|(_, sleep)| sleep).filter(overlaps).copied().collect())
    }

    fn stack(&self, stack: StackId) -> Vec<StringId> {
        let number = (stack.0 as usize).checked_sub(1);
        number
            .and_then(|number| self.stacks.get(number))
            .cloned()
            .unwrap_or_default()
    }

    fn unit_parts(&self, from_ns: u64, to_ns: u64) -> Result<Vec<UnitPart>, TimelineError> {
        let overlaps = |part: &&UnitPart| part.start_ns < to_ns && part.end_ns > from_ns;
        Ok(self.unit_parts.iter().filter(overlaps).copied().collect())
    }
}
