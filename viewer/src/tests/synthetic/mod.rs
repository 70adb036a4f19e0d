//! A timeline in memory, the same at every run: a server with two hot CPUs, request threads that fight for a lock, a hog, pauses, a loss.

mod causes;
mod counters;

use crate::model::source::Source;
use plumb_trace::State;
use plumb_trace::timeline::*;
use std::ops::{Deref, DerefMut};

/// Begin of the timeline: not 0, so that mixing up absolute and relative times shows.
pub const FROM_NS: u64 = 5_000_000_000;
/// Its length.
pub const TOTAL_NS: u64 = 2_000_000_000;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

/// A timeline that is being made up.
struct Synthetic {
    timeline: Memory,
    random: u64,
}

impl Deref for Synthetic {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.timeline
    }
}

impl DerefMut for Synthetic {
    fn deref_mut(&mut self) -> &mut Memory {
        &mut self.timeline
    }
}

fn as_source(timeline: Memory) -> Source {
    Source {
        query: Box::new(timeline),
        label: "tomcat.plumb".to_owned(),
    }
}

/// The server as one source, named as a file would be.
pub fn source() -> Source {
    as_source(server())
}

/// The server with counters of every kind, as one source.
pub fn source_with_counters() -> Source {
    as_source(with_counters())
}

/// The server with all that is known of sleeps and pauses where it is asked for, as one source.
pub fn source_with_causes() -> Source {
    let mut synthetic = Synthetic::server();
    synthetic.add_causes();
    as_source(synthetic.timeline)
}

/// The server, with counters.
pub fn with_counters() -> Memory {
    let mut synthetic = Synthetic::server();
    synthetic.add_counters();
    synthetic.timeline
}

/// The server.
pub fn server() -> Memory {
    Synthetic::server().timeline
}

impl Synthetic {
    fn server() -> Synthetic {
        let mut timeline = Memory::new(FROM_NS, FROM_NS + TOTAL_NS);
        timeline.info.hosts = vec![HostInfo {
            name: "web-1".into(),
            kernel: "6.18.0".into(),
            cpus: 2,
            has_kernel: true,
            ..HostInfo::default()
        }];
        timeline.info.realtime_offset_ns = 1_763_000_000_000_000_000;
        timeline.info.groups = vec!["request".into(), "gc".into()];
        timeline.losses.push(Loss {
            stream: "cpu-1".into(),
            from_ns: FROM_NS + 1400 * MS,
            to_ns: FROM_NS + 1460 * MS,
            events: Some(8123),
        });
        let mut synthetic = Synthetic { timeline, random: 42 };
        synthetic.tracks_of_server();
        synthetic.keep_occupancy();
        synthetic
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

    fn process(&mut self, pid: u32, name: &str, change: impl FnOnce(&mut Process)) -> ProcessId {
        let mut process = Process {
            pid,
            ns_pid: pid,
            name: name.into(),
            ..Process::default()
        };
        change(&mut process);
        self.add_process(process)
    }

    fn track(
        &mut self,
        process: ProcessId,
        kind: TrackKind,
        tid: Option<u32>,
        name: &str,
        group: Option<u32>,
    ) -> TrackId {
        let java = self.processes[process.0 as usize].jvm && kind == TrackKind::Thread;
        self.add_track(Track {
            kind,
            process,
            tid,
            vthread: None,
            name: name.into(),
            former_names: Vec::new(),
            group,
            start_ns: FROM_NS,
            end_ns: FROM_NS + TOTAL_NS,
            java,
        })
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
        let class = Cause::Class(self.text("com.shop.Stock"));
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
        let valve = self.text("org.apache.catalina.core.StandardHostValve.invoke");
        let servlet = self.text("com.shop.CartServlet.doGet");
        let lock = self.text("com.shop.Stock.reserve");
        let read = self.text("com.shop.PriceClient.fetch");
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
        let name = self.text("GC pause (young)");
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
}
