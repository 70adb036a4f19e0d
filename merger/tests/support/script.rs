//! A recording written by hand: one line an event. The format is described in `tests/golden/README.md`.

use super::{Recorder, header, manifest};
use plumb_trace::arena::Clock;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JvmKind, JvmRecord, KernelKind, KernelRecord, flags, stack_flags};
use plumb_trace::recording::segment::{LOST_UNKNOWN, SegmentHeader};
use plumb_trace::recording::{CounterSample, FileKind, Group, Jvm, Manifest, Payload};
use std::collections::HashMap;
use std::path::Path;

/// A recording as text, parsed.
pub struct Script {
    pub manifest: Manifest,
    lines: Vec<Line>,
}

/// `@TIME STREAM VERB ARGUMENTS… KEY=VALUE… FLAG…`
struct Line {
    at: u64,
    stream: String,
    verb: String,
    words: Vec<String>,
}

impl Line {
    fn word(&self, index: usize) -> &str {
        self.words
            .get(index)
            .unwrap_or_else(|| panic!("{} at {}: word {index} is missing", self.verb, self.at))
    }

    fn number(&self, index: usize) -> u32 {
        self.word(index).parse().unwrap()
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.words
            .iter()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }
}

/// `tid/pid`, or `0` for the idle task.
fn ids(word: &str) -> (u32, u32) {
    let (tid, pid) = word.split_once('/').unwrap_or((word, word));
    (tid.parse().unwrap(), pid.parse().unwrap())
}

/// What the kernel would keep by itself: run time and switches of each thread.
#[derive(Default)]
struct Books {
    came: HashMap<u32, u64>,
    charged: HashMap<u32, u64>,
    waited: HashMap<u32, u64>,
    switches: HashMap<u32, (u16, u16)>,
}

impl Books {
    /// A thread goes on under another id.
    fn rename(&mut self, was: u32, is: u32) {
        if was != is {
            self.came.remove(&was).map(|came| self.came.insert(is, came));
            self.charged
                .remove(&was)
                .map(|charged| self.charged.insert(is, charged));
            self.switches
                .remove(&was)
                .map(|switches| self.switches.insert(is, switches));
        }
    }
}

impl Script {
    pub fn parse(text: &str) -> Script {
        let mut script = Script {
            manifest: manifest(),
            lines: Vec::new(),
        };
        for line in text.lines().map(|line| line.split('#').next().unwrap().trim()) {
            let words: Vec<String> = line.split_whitespace().map(|word| word.replace('~', " ")).collect();
            match words.first().map(String::as_str) {
                None => {}
                Some(word) if word.starts_with('@') => script.lines.push(Line {
                    at: word[1..].parse().unwrap(),
                    stream: words[1].clone(),
                    verb: words[2].clone(),
                    words: words[3..].to_vec(),
                }),
                Some(_) => script.manifest_line(&words),
            }
        }
        script
    }

    fn manifest_line(&mut self, words: &[String]) {
        let number = || words[1].parse().unwrap();
        match words[0].as_str() {
            "started" => self.manifest.started_ns = number(),
            "ended" => self.manifest.ended_ns = Some(number()),
            "boot" => self.manifest.host.boot_id.clone_from(&words[1]),
            "host" => self.manifest.host.name.clone_from(&words[1]),
            "realtime" => self.manifest.started_realtime_ns = number(),
            "target" => self.manifest.targets.push(number() as u32),
            "group" => self.manifest.groups.push(Group {
                name: words[1].clone(),
                threads: words[2..].to_vec(),
            }),
            "no-kernel" => self.manifest.kernel = false,
            "online" => self.manifest.host.online = words[1..].iter().map(|cpu| cpu.parse().unwrap()).collect(),
            "jvm" => self.manifest.jvms.push(Jvm {
                pid: number() as u32,
                ns_pid: words[2].parse().unwrap(),
                start_ticks: 7,
            }),
            other => panic!("no such line: {other}"),
        }
    }

    /// Writes the recording. `flush`: records of a stream between two segments.
    pub fn record(&self, dir: &Path, flush: usize) -> Recorder {
        let mut recorder = Recorder::create(dir, &self.manifest);
        let mut books = Books::default();
        let mut pending: Vec<(FileKind, SegmentHeader, Payload)> = Vec::new();
        for line in &self.lines {
            let (file, mut head, record) = self.encode(line, &mut books);
            if line.verb == "begins" {
                (head.first_time, head.last_time) = (line.at, line.at);
                recorder.append(file, head, &record);
                continue;
            }
            if line.verb == "lost" {
                // The loss lies before whatever the stream's next segment begins with.
                flush_stream(&mut recorder, &mut pending, file, head.stream);
                head.lost_before = line.word(0).parse().unwrap_or(LOST_UNKNOWN);
                (head.first_time, head.last_time) = (line.at, line.at);
                pending.push((file, head, record));
                continue;
            }
            match pending
                .iter_mut()
                .find(|(of, with, _)| (*of, with.stream) == (file, head.stream))
            {
                Some((_, _, payload)) => extend(payload, record),
                None => pending.push((file, head, record)),
            }
            if pending.iter().any(|(_, _, payload)| payload.len() >= flush) {
                flush_stream(&mut recorder, &mut pending, file, head.stream);
            }
        }
        for (file, head, payload) in pending {
            recorder.append(file, head, &payload);
        }
        recorder
    }

    fn encode(&self, line: &Line, books: &mut Books) -> (FileKind, SegmentHeader, Payload) {
        if let Some(cpu) = line.stream.strip_prefix("cpu") {
            let cpu: u32 = cpu.parse().unwrap();
            let records = if ["lost", "begins"].contains(&line.verb.as_str()) {
                vec![]
            } else {
                vec![kernel(line, cpu as u16, books)]
            };
            return (FileKind::Cpu(cpu), header(cpu, 0), Payload::Kernel(records));
        }
        if line.stream == "counters" {
            let sample = CounterSample {
                at_ns: line.at,
                counter: line.number(0),
                value: line.word(1).parse().unwrap(),
            };
            return (FileKind::Counters, header(0, 0), Payload::Counters(vec![sample]));
        }
        if line.stream == "host" {
            let dated = Dated {
                at: line.at,
                definition: definition(line),
            };
            return (FileKind::Host, header(0, 0), Payload::Definitions(vec![dated]));
        }
        let (pid, tid) = line.stream.strip_prefix("jvm").unwrap().split_once('.').unwrap();
        let (pid, tid) = (pid.parse().unwrap(), tid.parse().unwrap());
        let file = FileKind::Jvm { pid, start_ticks: 7 };
        let payload = match line.verb.as_str() {
            "lost" => Payload::Jvm(Vec::new()),
            _ => match jvm_kind(&line.verb) {
                Some(kind) => {
                    let at = |index: usize| line.words.get(index).map_or(0, |word| word.parse().unwrap());
                    let (detail, value) = match kind {
                        JvmKind::Enter => (at(1), at(0)),
                        JvmKind::Exit | JvmKind::Thrown | JvmKind::HandOver | JvmKind::TakenBack => (0, at(0)),
                        JvmKind::Mount
                        | JvmKind::Unmount
                        | JvmKind::VthreadStart
                        | JvmKind::VthreadEnd
                        | JvmKind::VthreadReady
                        | JvmKind::Starts
                        | JvmKind::Past => (0, at(0)),
                        _ => (at(0), at(1)),
                    };
                    Payload::Jvm(vec![JvmRecord::new(line.at, kind, detail, value)])
                }
                None => Payload::Definitions(vec![Dated {
                    at: line.at,
                    definition: definition(line),
                }]),
            },
        };
        (file, header(tid, tid), payload)
    }
}

fn flush_stream(
    recorder: &mut Recorder,
    pending: &mut Vec<(FileKind, SegmentHeader, Payload)>,
    file: FileKind,
    stream: u32,
) {
    let (now, later) = pending
        .drain(..)
        .partition(|(of, with, _)| (*of, with.stream) == (file, stream));
    *pending = later;
    let now: Vec<_> = now;
    for (file, head, payload) in now {
        recorder.append(
            file,
            SegmentHeader {
                clock: Clock::Monotonic,
                ..head
            },
            &payload,
        );
    }
}

fn extend(payload: &mut Payload, more: Payload) {
    match (payload, more) {
        (Payload::Kernel(old), Payload::Kernel(new)) => old.extend(new),
        (Payload::Jvm(old), Payload::Jvm(new)) => old.extend(new),
        (Payload::Definitions(old), Payload::Definitions(new)) => old.extend(new),
        (Payload::Counters(old), Payload::Counters(new)) => old.extend(new),
        _ => panic!("one stream holds one kind of payload"),
    }
}

/// What the accounting clock is behind the recording's, besides delays.
const CLOCKS_APART_NS: u32 = 77_000;

/// How long after the scheduler read its clock the record was written, where that is said.
fn delay(line: &Line) -> Option<u32> {
    line.value("late").map(|ns| ns.parse().unwrap())
}

fn kernel(line: &Line, cpu: u16, books: &mut Books) -> KernelRecord {
    let mut record = KernelRecord {
        time_ns: line.at,
        cpu,
        syscall: -1,
        prio: line.value("prio").and_then(|prio| prio.parse().ok()).unwrap_or(120),
        lag: delay(line).map_or(0, |ns| CLOCKS_APART_NS + ns),
        ..KernelRecord::default()
    };
    (record.tid, record.pid) = ids(line.word(0));
    let by = || ids(line.value("by").unwrap_or("0"));
    let kind = match line.verb.as_str() {
        "switch" => {
            (record.other_tid, record.other_pid) = ids(line.word(2));
            switch(line, &mut record, books);
            KernelKind::Switch
        }
        "waking" | "wakeup" => {
            (record.other_tid, record.other_pid) = by();
            record.value = line.value("on").map_or(0, |cpu| cpu.parse().unwrap());
            record.flags = if line.has("interrupt") { flags::INTERRUPT } else { 0 };
            if line.verb == "waking" {
                KernelKind::Waking
            } else {
                KernelKind::Wakeup
            }
        }
        "fork" => {
            (record.other_tid, record.other_pid) = by();
            KernelKind::Fork
        }
        "exec" => {
            record.other_tid = line.value("was").map_or(record.tid, |tid| tid.parse().unwrap());
            books.rename(record.other_tid, record.tid);
            KernelKind::Exec
        }
        "blocks_in" | "wakes_in" => {
            if line.verb == "wakes_in" {
                record.flags = stack_flags::WAKER;
                (record.other_tid, record.other_pid) = ids(line.value("other").unwrap_or("0"));
            }
            let stack = |key| line.value(key).map_or(0, |number| number.parse().unwrap());
            (record.charged_ns, record.other_charged_ns) = (stack("kernel"), stack("user"));
            KernelKind::Stack
        }
        "exit" => KernelKind::Exit,
        "probe" => {
            record.value = line.number(1);
            record.set_name_part(line.value("name").unwrap_or_default().as_bytes());
            record.flags = if line.has("more") { flags::MORE } else { 0 };
            KernelKind::Probe
        }
        "rename" => KernelKind::Rename,
        "counted" => {
            counted(line, &mut record);
            KernelKind::Counted
        }
        "request" => {
            request(line, &mut record);
            KernelKind::Request
        }
        other => panic!("no such record: {other}"),
    };
    if let Some(comm) = line.value("comm") {
        record.set_comm(comm);
    }
    record.kind = kind as u8;
    record
}

/// What two counters grew by, and the parts of the slice in which they did not count.
fn counted(line: &Line, record: &mut KernelRecord) {
    let uncounted = |key: &str| line.value(key).map_or(0, |part| part.parse().unwrap());
    record.value = line.number(1);
    (record.charged_ns, record.other_charged_ns) = (line.number(2).into(), line.number(3).into());
    (record.syscall, record.fd, record.prio) = (0, 0, 0);
    (record.nvcsw, record.nivcsw) = (uncounted("first"), uncounted("second"));
}

/// A request that is done: its device, its flags, its bytes.
fn request(line: &Line, record: &mut KernelRecord) {
    (record.tid, record.pid) = (0, 0);
    (record.value, record.other_tid) = (line.number(0), line.number(1));
    record.other_charged_ns = line.number(2).into();
    record.charged_ns = line.value("issued").map_or(0, |ns| ns.parse().unwrap());
    record.fd = 0;
}

/// A switch, with the kernel's books kept as it would.
fn switch(line: &Line, record: &mut KernelRecord, books: &mut Books) {
    for (word, flag) in [
        ("preempt", flags::PREEMPT),
        ("kthread", flags::KTHREAD),
        ("throttled", flags::THROTTLED),
        ("iowait", flags::IOWAIT),
        ("alone", flags::ALONE),
    ] {
        record.flags |= if line.has(word) { flag } else { 0 };
    }
    record.value = line
        .value("state")
        .map_or(0, |state| u32::from_str_radix(state, 16).unwrap());
    if let Some(call) = line.value("call") {
        let (number, kind) = call.split_once(':').unwrap_or((call, "0"));
        record.flags |= flags::SYSCALL;
        record.syscall = number.parse().unwrap();
        record.fd_kind = kind.parse().unwrap();
    }
    let stolen: u64 = line.value("stolen").map_or(0, |ns| ns.parse().unwrap());
    let accounted = line.at - u64::from(delay(line).unwrap_or(0));
    if let Some(came) = books.came.remove(&record.tid) {
        *books.charged.entry(record.tid).or_default() += (accounted - came).saturating_sub(stolen);
    }
    // It ran for so long without its coming having been recorded.
    *books.charged.entry(record.tid).or_default() += line.value("unseen").map_or(0, |ns| ns.parse::<u64>().unwrap());
    books.came.insert(record.other_tid, accounted);
    record.charged_ns = books.charged.get(&record.tid).copied().unwrap_or(0);
    let unseen = line.value("unseen_comer").map_or(0, |ns| ns.parse::<u64>().unwrap());
    *books.charged.entry(record.other_tid).or_default() += unseen;
    let waited = line.value("waited").map(|ns| ns.parse::<u64>().unwrap());
    let sum = books.waited.entry(record.other_tid).or_default();
    *sum += waited.unwrap_or(0);
    let charged_ns = books.charged.get(&record.other_tid).copied().unwrap_or(0);
    record.set_comer(charged_ns, waited.map(|_| *sum));
    let (voluntary, involuntary) = books.switches.entry(record.tid).or_default();
    if record.value == 0 || record.flags & flags::PREEMPT != 0 {
        *involuntary += 1;
    } else {
        *voluntary += 1;
    }
    (record.nvcsw, record.nivcsw) = (*voluntary, *involuntary);
}

fn jvm_kind(verb: &str) -> Option<JvmKind> {
    Some(match verb {
        "enter" => JvmKind::Enter,
        "exit" => JvmKind::Exit,
        "thrown" => JvmKind::Thrown,
        "monitor_enter" => JvmKind::MonitorEnter,
        "monitor_entered" => JvmKind::MonitorEntered,
        "wait" => JvmKind::Wait,
        "waited" => JvmKind::Waited,
        "gc_start" => JvmKind::GcStart,
        "gc_finish" => JvmKind::GcFinish,
        "armed" => JvmKind::Armed,
        "past" => JvmKind::Past,
        "called" => JvmKind::Called,
        "mount" => JvmKind::Mount,
        "unmount" => JvmKind::Unmount,
        "vthread_start" => JvmKind::VthreadStart,
        "vthread_end" => JvmKind::VthreadEnd,
        "vthread_ready" => JvmKind::VthreadReady,
        "park" => JvmKind::Park,
        "unparked" => JvmKind::Unparked,
        "sleep" => JvmKind::Sleep,
        "slept" => JvmKind::Slept,
        "idle" => JvmKind::Idle,
        "busy" => JvmKind::Busy,
        "counted" => JvmKind::Counted,
        "hand_over" => JvmKind::HandOver,
        "run" => JvmKind::Run,
        "ran" => JvmKind::Ran,
        "taken_back" => JvmKind::TakenBack,
        "starts" => JvmKind::Starts,
        "stack" => JvmKind::Stack,
        "vthread_stack" => JvmKind::VthreadStack,
        _ => return None,
    })
}

fn definition(line: &Line) -> Definition {
    let text = |key: &str| line.value(key).unwrap_or("").to_owned();
    let number = |key: &str| line.value(key).map_or(0, |value| value.parse().unwrap());
    match line.verb.as_str() {
        "process" => Definition::Process {
            pid: line.number(0),
            ns_pid: line.number(0),
            start_ticks: line.value("ticks").map_or(7, |ticks| ticks.parse().unwrap()),
            ppid: number("parent"),
            uid: 0,
            comm: text("comm"),
            cmdline: text("cmdline"),
            cgroup: String::new(),
        },
        "thread" => {
            let (tid, pid) = ids(line.word(0));
            Definition::Thread {
                tid,
                pid,
                ns_tid: line.value("ns_tid").map_or(tid, |tid| tid.parse().unwrap()),
                start_ns: u64::from(number("born")),
                comm: text("comm"),
                state: line.word(1).chars().next().map_or(0, u32::from),
                kthread: line.has("kthread"),
            }
        }
        "affinity" => {
            let (tid, pid) = ids(line.word(0));
            let cpus = line.number(1);
            Definition::Affinity {
                tid,
                pid,
                cpus,
                list: String::new(),
                before: line.value("before").map_or(0, |cpus| cpus.parse().unwrap()),
            }
        }
        "device" => Definition::Device {
            number: line.number(0),
            name: line.word(1).into(),
        },
        "slice_counter" => Definition::SliceCounter {
            number: line.number(0),
            name: line.word(1).into(),
            unit: text("unit"),
        },
        "counter" => Definition::Counter {
            id: line.number(0),
            name: line.word(1).into(),
            unit: text("unit"),
            cumulative: line.has("cumulative"),
            cpu_plus_1: line.value("cpu").map_or(0, |cpu| cpu.parse::<u32>().unwrap() + 1),
            cgroup: text("cgroup"),
        },
        "jvm_counter" => Definition::JvmCounter {
            id: line.number(0),
            name: line.word(1).into(),
            unit: text("unit"),
            cumulative: line.has("cumulative"),
            pid: number("pid"),
            start_ticks: line.value("ticks").map_or(7, |ticks| ticks.parse().unwrap()),
        },
        "method" => Definition::Method {
            id: line.number(0),
            class: "com.shop.Cart".into(),
            name: line.word(1).into(),
            descriptor: "()V".into(),
            unit: text("unit"),
        },
        "key" => Definition::UnitKey {
            id: line.number(0),
            key: line.word(1).into(),
        },
        "code" => Definition::Frame {
            id: line.number(0),
            kernel: line.has("kernel"),
            function: text("function"),
            module: text("module"),
            build_id: String::new(),
            offset: u64::from(number("offset")),
        },
        "told" => Definition::Stack {
            id: u64::from(line.number(0)),
            frames: line.words[1..].iter().map(|frame| frame.parse().unwrap()).collect(),
        },
        "left_alone" => Definition::LeftAlone {
            class: line.word(0).into(),
            method: String::new(),
            reason: line.word(1).into(),
        },
        "frame" => Definition::JavaFrame {
            id: line.number(0),
            name: line.word(1).into(),
        },
        "frames" => Definition::JavaStack {
            id: line.number(0),
            frames: line.words[1..].iter().map(|frame| frame.parse().unwrap()).collect(),
        },
        "hands_over" => Definition::HandsOver { id: line.number(0) },
        "class" => Definition::Class {
            id: line.number(0),
            name: line.word(1).into(),
        },
        "place" => Definition::Place {
            id: line.number(0),
            what: line.word(1).into(),
            class: text("class"),
            method: text("method"),
            unit: text("unit"),
            scale: u64::from(number("scale").max(1)),
        },
        "vthread_name" => Definition::VirtualThread {
            java_id: u64::from(line.number(0)),
            name: line.word(1).into(),
        },
        "java_thread" => Definition::JavaThread {
            tid: line.number(0),
            java_id: 1,
            name: line.word(1).into(),
            group: line.value("group").unwrap_or("main").into(),
            daemon: line.has("daemon"),
            priority: line.value("priority").map_or(5, |priority| priority.parse().unwrap()),
            started: line.has("started"),
        },
        "java_name" => Definition::JavaThreadName {
            tid: line.number(0),
            name: line.word(1).into(),
        },
        "java_end" => Definition::JavaThreadEnd { tid: line.number(0) },
        other => panic!("no such definition: {other}"),
    }
}
