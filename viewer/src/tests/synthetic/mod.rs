//! A timeline in memory, the same at every run: a server with two hot CPUs, request threads that fight for a lock, a hog, pauses, a loss.

use crate::model::source::Source;
use plumb_trace::timeline::*;
use plumb_trace::{State, StateTotals};

/// Begin of the timeline: not 0, so that mixing up absolute and relative times shows.
pub const FROM_NS: u64 = 5_000_000_000;
/// Its length.
pub const TOTAL_NS: u64 = 2_000_000_000;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

/// Answers from vectors.
#[derive(Default)]
pub struct Synthetic {
    pub info: Info,
    pub processes: Vec<Process>,
    pub tracks: Vec<Track>,
    pub losses: Vec<Loss>,
    strings: Vec<String>,
    states: Vec<Vec<StateInterval>>,
    slices: Vec<Vec<Slice>>,
    occupancy: Vec<Vec<Occupancy>>,
    units: Vec<Unit>,
    counters: Vec<(TrackId, Vec<CounterPoint>)>,
    random: u64,
}

/// As one source, named as a file would be.
pub fn source() -> Source {
    Source {
        query: Box::new(Synthetic::server()),
        label: "tomcat.plumb".to_owned(),
    }
}

/// The server with counters of every kind, as one source.
pub fn source_with_counters() -> Source {
    Source {
        query: Box::new(Synthetic::with_counters()),
        label: "tomcat.plumb".to_owned(),
    }
}

impl Synthetic {
    /// The server, with counters.
    pub fn with_counters() -> Synthetic {
        let mut timeline = Synthetic::server();
        timeline.add_counters();
        timeline
    }

    /// The server.
    pub fn server() -> Synthetic {
        let mut timeline = Synthetic {
            random: 42,
            ..Synthetic::default()
        };
        timeline.strings.push(String::new());
        let host = HostInfo {
            name: "web-1".into(),
            kernel: "6.18.0".into(),
            cpus: 2,
            has_kernel: true,
            ..HostInfo::default()
        };
        timeline.info = Info {
            from_ns: FROM_NS,
            to_ns: FROM_NS + TOTAL_NS,
            realtime_offset_ns: 1_763_000_000_000_000_000,
            hosts: vec![host],
            groups: vec!["request".into(), "gc".into()],
            ..Info::default()
        };
        timeline.tracks_of_server();
        timeline.cpus();
        timeline.losses.push(Loss {
            stream: "cpu-1".into(),
            from_ns: FROM_NS + 1400 * MS,
            to_ns: FROM_NS + 1460 * MS,
            events: Some(8123),
        });
        timeline
    }

    fn tracks_of_server(&mut self) {
        let idle = self.process(0, "swapper", |process| process.kernel = true);
        for cpu in 0..2 {
            self.track(idle, TrackKind::Cpu, Some(cpu), &format!("CPU {cpu}"), None);
        }
        let kernel = self.process(15, "ksoftirqd/0", |process| process.kernel = true);
        let jvm = self.process(4711, "java", |process| {
            process.jvm = true;
            process.target = true;
            process.cmdline = "/usr/bin/java -jar tomcat.jar".into();
        });
        let hog = self.process(3011, "stress", |_| {});
        let plumb = self.process(4800, "plumb", |process| process.plumb = true);
        self.pauses(jvm);
        for number in 1..=10 {
            let track = self.track(
                jvm,
                TrackKind::Thread,
                Some(4720 + number),
                &format!("http-nio-8080-exec-{number}"),
                Some(0),
            );
            self.requests(track, number);
        }
        for number in 0..2 {
            let track = self.track(
                jvm,
                TrackKind::Thread,
                Some(4713 + number),
                &format!("GC Thread#{number}"),
                Some(1),
            );
            self.simple(
                track,
                &[(State::Futex, 90 * MS), (State::Running, 9 * MS), (State::Ready, MS)],
            );
        }
        let poller = self.track(jvm, TrackKind::Thread, Some(4740), "http-nio-8080-Poller", None);
        self.simple(
            poller,
            &[
                (State::Poll, 700 * US),
                (State::Running, 60 * US),
                (State::Ready, 150 * US),
            ],
        );
        let timer = self.track(jvm, TrackKind::Thread, Some(4741), "Catalina-utility-1", None);
        self.simple(
            timer,
            &[
                (State::Wait, 300 * MS),
                (State::Running, 2 * MS),
                (State::Disk, 6 * MS),
                (State::Sleep, 200 * MS),
            ],
        );
        for number in 0..2 {
            let track = self.track(hog, TrackKind::Thread, Some(3011 + number), "stress", None);
            self.simple(track, &[(State::Running, 4 * MS), (State::Ready, 3 * MS)]);
        }
        let recorder = self.track(plumb, TrackKind::Thread, Some(4800), "plumb", None);
        self.simple(recorder, &[(State::Sleep, 5 * MS), (State::Running, 40 * US)]);
        let softirq = self.track(kernel, TrackKind::Thread, Some(15), "ksoftirqd/0", None);
        self.simple(softirq, &[(State::Blocked, 40 * MS), (State::Running, 30 * US)]);
    }

    /// Ten samples a second: sums that grow at a share of the time that changes, and a CPU that goes and comes.
    fn add_counters(&mut self) {
        let idle = ProcessId(0);
        let sums = [
            ("psi.cpu.some", None, 34),
            ("psi.io.some", None, 7),
            ("psi.memory.some", None, 0),
            ("psi.memory.full", None, 0),
            ("cpu.steal", Some(0), 3),
            ("cpu.steal", Some(1), 12),
            ("cgroup.throttled_time /shop", None, 60),
        ];
        for (name, cpu, percent) in sums {
            let mut sum = 0;
            self.counter(idle, name, "ns", cpu, |timeline, step| {
                let share = if step % 7 == 3 { percent * 2 } else { percent };
                let before = sum;
                sum += (timeline.about(MS) * share) as i64;
                before
            });
        }
        let mut throttled = 0;
        self.counter(idle, "cgroup.throttled /shop", "count", None, |_, step| {
            throttled += i64::from(step % 3 == 0);
            throttled
        });
        self.counter(idle, "cpu.online", "state", Some(0), |_, _| 1);
        self.counter(idle, "cpu.online", "state", Some(1), |_, step| {
            i64::from(!(8..11).contains(&step))
        });
    }

    fn counter(
        &mut self,
        process: ProcessId,
        name: &str,
        unit: &str,
        cpu: Option<u32>,
        mut value: impl FnMut(&mut Synthetic, u64) -> i64,
    ) {
        const STEP_NS: u64 = 100 * MS;
        let unit = self.name(unit);
        let track = self.track(process, TrackKind::Counter { unit }, cpu, name, None);
        let mut points = Vec::new();
        for step in 0..TOTAL_NS / STEP_NS {
            let value = value(self, step);
            points.push(CounterPoint {
                start_ns: FROM_NS + step * STEP_NS,
                end_ns: FROM_NS + (step + 1) * STEP_NS,
                min: value,
                max: value,
                last: value,
            });
        }
        self.counters.push((track, points));
    }

    fn process(&mut self, pid: u32, name: &str, change: impl FnOnce(&mut Process)) -> ProcessId {
        let mut process = Process {
            pid,
            ns_pid: pid,
            name: name.into(),
            ..Process::default()
        };
        change(&mut process);
        self.processes.push(process);
        ProcessId(self.processes.len() as u32 - 1)
    }

    fn track(
        &mut self,
        process: ProcessId,
        kind: TrackKind,
        tid: Option<u32>,
        name: &str,
        group: Option<u32>,
    ) -> TrackId {
        self.tracks.push(Track {
            kind,
            process,
            tid,
            vthread: None,
            name: name.into(),
            former_names: Vec::new(),
            group,
            start_ns: FROM_NS,
            end_ns: FROM_NS + TOTAL_NS,
            java: self.processes[process.0 as usize].jvm && kind == TrackKind::Thread,
        });
        self.states.push(Vec::new());
        self.slices.push(Vec::new());
        self.occupancy.push(Vec::new());
        TrackId(self.tracks.len() as u32 - 1)
    }

    fn name(&mut self, text: &str) -> StringId {
        if let Some(place) = self.strings.iter().position(|known| known == text) {
            return StringId(place as u32);
        }
        self.strings.push(text.to_owned());
        StringId(self.strings.len() as u32 - 1)
    }

    /// About `mean_ns`, from half of it to one and a half.
    fn about(&mut self, mean_ns: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        mean_ns / 2 + (self.random >> 33) % mean_ns.max(1)
    }

    fn push(&mut self, track: TrackId, state: State, length_ns: u64, cause: Cause, peer: Option<TrackId>) -> bool {
        let start_ns = self.states[track.0 as usize].last().map_or(FROM_NS, |last| last.end_ns);
        let end_ns = (start_ns + length_ns).min(FROM_NS + TOTAL_NS);
        if start_ns < end_ns {
            let on_cpu = matches!(state, State::Running | State::Ready);
            let stolen_ns = if state == State::Running && length_ns > 3 * MS {
                length_ns / 50
            } else {
                0
            };
            let cpu = on_cpu.then_some((track.0 % 2) as u16);
            let involuntary = state == State::Running && stolen_ns > 0;
            self.states[track.0 as usize].push(StateInterval {
                start_ns,
                end_ns,
                state,
                cpu,
                stolen_ns,
                peer,
                cause,
                involuntary,
            });
        }
        end_ns < FROM_NS + TOTAL_NS
    }

    fn simple(&mut self, track: TrackId, cycle: &[(State, u64)]) {
        loop {
            for &(state, mean_ns) in cycle {
                let length_ns = self.about(mean_ns);
                let cause = if state == State::Ready {
                    Cause::Preempted
                } else {
                    Cause::None
                };
                if !self.push(track, state, length_ns, cause, None) {
                    return;
                }
            }
        }
    }

    /// Requests one after the other, with idle time between them: read, work, lock, work, write.
    fn requests(&mut self, track: TrackId, number: u32) {
        let class = Cause::Class(self.name("com.shop.Stock"));
        let hog = TrackId(track.0 % 2);
        let first = self.about(u64::from(number) * 9 * MS);
        self.push(track, State::Idle, first, Cause::None, None);
        loop {
            let begin = self.end(track);
            let work = self.about(3 * MS);
            self.push(track, State::Ready, work / 2, Cause::Woken, Some(hog));
            self.push(track, State::Running, work, Cause::None, None);
            let lock_from = self.end(track);
            let lock = self.about(2 * MS * u64::from(1 + number % 4));
            self.push(track, State::Monitor, lock, class, Some(TrackId(track.0 ^ 1)));
            self.push(track, State::Ready, work / 3, Cause::Preempted, Some(hog));
            self.push(track, State::Running, work / 2, Cause::None, None);
            let lock_to = self.end(track);
            let socket = Cause::Syscall {
                number: 45,
                fd_kind: plumb_trace::record::fd_kind::SOCKET,
            };
            self.push(track, State::Net, work / 2, socket, None);
            self.push(track, State::Running, work / 4, Cause::None, None);
            let end = self.end(track);
            self.request(track, (begin, end), (lock_from, lock_to));
            let pause = self.about(12 * MS);
            if !self.push(track, State::Idle, pause, Cause::None, None) {
                return;
            }
        }
    }

    fn end(&self, track: TrackId) -> u64 {
        self.states[track.0 as usize].last().map_or(FROM_NS, |last| last.end_ns)
    }

    fn request(&mut self, track: TrackId, (begin, end): (u64, u64), (lock_from, lock_to): (u64, u64)) {
        let valve = self.name("org.apache.catalina.core.StandardHostValve.invoke");
        let servlet = self.name("com.shop.CartServlet.doGet");
        let lock = self.name("com.shop.Stock.reserve");
        let read = self.name("com.shop.PriceClient.fetch");
        let inner = |part: u64| begin + (end - begin) * part / 100;
        let calls = [
            (valve, begin, end, 0),
            (servlet, inner(3), inner(98), 1),
            (lock, lock_from, lock_to, 2),
            (read, lock_to + 1, inner(96), 2),
        ];
        for (name, start_ns, end_ns, depth) in calls {
            let end_ns = end_ns.max(start_ns + 1);
            let thrown = depth == 2 && start_ns % 13 == 0;
            self.slices[track.0 as usize].push(Slice {
                start_ns,
                end_ns,
                name,
                depth,
                thrown,
                open_start: false,
                open_end: false,
            });
        }
        let complete = end < FROM_NS + TOTAL_NS;
        self.units.push(Unit {
            name: valve,
            key: StringId(0),
            track,
            number: 0,
            start_ns: begin,
            end_ns: end,
            thrown: false,
            complete,
        });
    }

    fn pauses(&mut self, process: ProcessId) {
        let track = self.track(process, TrackKind::Jvm, None, "JVM", None);
        let name = self.name("GC pause (young)");
        for number in 1..8 {
            let start_ns = FROM_NS + number * 260 * MS;
            let end_ns = start_ns + (8 + number) * MS;
            self.slices[track.0 as usize].push(Slice {
                start_ns,
                end_ns,
                name,
                depth: 0,
                thrown: false,
                open_start: false,
                open_end: false,
            });
        }
    }

    /// Occupancy as the running intervals say, cut where two of them overlap.
    fn cpus(&mut self) {
        for cpu in 0..2_u16 {
            let mut runs: Vec<Occupancy> = Vec::new();
            for (id, states) in self.states.iter().enumerate() {
                let on = states
                    .iter()
                    .filter(|state| state.state == State::Running && state.cpu == Some(cpu));
                let track = Some(TrackId(id as u32));
                runs.extend(on.map(|state| Occupancy {
                    start_ns: state.start_ns,
                    end_ns: state.end_ns,
                    track,
                }));
            }
            runs.sort_by_key(|run| run.start_ns);
            let mut free_from = FROM_NS;
            for run in runs {
                let start_ns = run.start_ns.max(free_from);
                if start_ns < run.end_ns {
                    self.occupancy[usize::from(cpu)].push(Occupancy { start_ns, ..run });
                    free_from = run.end_ns;
                }
            }
        }
    }
}

fn overlapping<T: Copy>(all: &[T], span: impl Fn(&T) -> (u64, u64), from_ns: u64, to_ns: u64) -> Vec<T> {
    let inside = |item: &&T| span(item).0 < to_ns && span(item).1 > from_ns;
    all.iter().filter(inside).copied().collect()
}

impl Query for Synthetic {
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
        Ok(overlapping(
            &self.states[track.0 as usize],
            |state| (state.start_ns, state.end_ns),
            from_ns,
            to_ns,
        ))
    }
    fn coarse_states(
        &self,
        track: TrackId,
        from_ns: u64,
        to_ns: u64,
        _resolution_ns: u64,
    ) -> Result<Vec<CoarseState>, TimelineError> {
        let coarse = |state: StateInterval| CoarseState {
            start_ns: state.start_ns,
            end_ns: state.end_ns,
            state: state.state,
            running: if state.state == State::Running { 255 } else { 0 },
        };
        Ok(self.states(track, from_ns, to_ns)?.into_iter().map(coarse).collect())
    }
    fn totals(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Totals, TimelineError> {
        let mut states = StateTotals::default();
        for state in self.states(track, from_ns, to_ns)? {
            states.add(state.state, state.end_ns.min(to_ns) - state.start_ns.max(from_ns));
        }
        Ok(Totals {
            states,
            voluntary: 12,
            involuntary: 3,
            migrations: 1,
            prorated: false,
        })
    }
    fn slices(&self, track: TrackId, from_ns: u64, to_ns: u64, min_ns: u64) -> Result<Vec<Slice>, TimelineError> {
        let found = overlapping(
            &self.slices[track.0 as usize],
            |slice| (slice.start_ns, slice.end_ns),
            from_ns,
            to_ns,
        );
        Ok(found
            .into_iter()
            .filter(|slice| slice.end_ns - slice.start_ns >= min_ns)
            .collect())
    }
    fn occupancy(&self, cpu_track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<Occupancy>, TimelineError> {
        Ok(overlapping(
            &self.occupancy[cpu_track.0 as usize],
            |each| (each.start_ns, each.end_ns),
            from_ns,
            to_ns,
        ))
    }
    fn counters(
        &self,
        track: TrackId,
        from_ns: u64,
        to_ns: u64,
        _resolution_ns: u64,
    ) -> Result<Vec<CounterPoint>, TimelineError> {
        let points = self.counters.iter().find(|counter| counter.0 == track);
        let points = points.map_or(&[][..], |counter| &counter.1);
        Ok(overlapping(
            points,
            |point| (point.start_ns, point.end_ns),
            from_ns,
            to_ns,
        ))
    }
    fn units(&self, from_ns: u64, to_ns: u64) -> Result<Vec<Unit>, TimelineError> {
        Ok(overlapping(
            &self.units,
            |unit| (unit.start_ns, unit.end_ns),
            from_ns,
            to_ns,
        ))
    }
}
