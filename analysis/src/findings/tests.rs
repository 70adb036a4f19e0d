//! Servers that are ill, and one that is not.

mod waits;

use plumb_trace::{
    State,
    timeline::{Cause, Sleep, StackId, TrackKind},
};

use super::*;
use crate::{
    report::report,
    testing::{Fake, written},
};

const S: u64 = 1_000_000_000;

/// Two CPUs, a target JVM with two request threads and a compiler thread that no finding is about.
fn server() -> (Fake, TrackId, TrackId) {
    let mut fake = Fake::new(0, S);
    fake.cpu(0);
    fake.cpu(1);
    let (a, b) = (fake.thread("java", "http-1"), fake.thread("java", "http-2"));
    let compiler = fake.thread("java", "C2 CompilerThre");
    fake.group(a, "request");
    fake.group(b, "request");
    fake.group(compiler, "jit");
    fake.ready(compiler, 0, S, 0);
    for track in [a, b] {
        fake.tracks[track.0 as usize].java = true;
    }
    let java = fake.process("java");
    let process = &mut fake.processes[java.0 as usize];
    (process.target, process.jvm) = (true, true);
    (fake, a, b)
}

/// As read from a file.
fn told(fake: &Fake) -> Diagnosis {
    diagnosis(&written(fake), Window::of(fake, None, None)).unwrap()
}

fn found(fake: &Fake) -> Vec<Finding> {
    told(fake).findings
}

#[test]
fn a_healthy_server_has_no_finding() {
    let (mut fake, a, b) = server();
    for (track, cpu) in [(a, 0), (b, 1)] {
        // A tenth of a second of work with what always is: short waits for a CPU and for a lock.
        fake.ready(track, 0, S / 100, cpu);
        fake.running(track, S / 100, S / 10, cpu);
        fake.state(track, S / 10, S / 10 + S / 500, State::Monitor);
        fake.state(track, S / 10 + S / 500, S, State::Park);
    }
    let jvm = fake.track(TrackKind::Jvm, "java", "java", None);
    fake.pause(jvm, 0, S / 100);
    assert_eq!(found(&fake), []);
    let text = report(&fake, Window::of(&fake, None, None)).unwrap().to_string();
    assert_eq!(text, "Nothing found wrong in 1.00 s.\n");
}

/// Request threads in /shop/web, which are throttled because the quota of /shop is spent, by a backup in /shop/night too. Another host has a cgroup of that name.
fn throttled_server(has_counters: bool) -> Fake {
    let (mut fake, a, b) = server();
    let host = fake.info.hosts[0].clone();
    fake.info.hosts.push(host);
    let threads = ["backup", "hog"].map(|name| fake.thread(name, name));
    for (name, cgroup, host) in [
        ("java", "/shop/web", 0),
        ("backup", "/shop/night", 0),
        ("hog", "/shop/web", 1),
    ] {
        let process = fake.process(name);
        let process = &mut fake.processes[process.0 as usize];
        (process.cgroup, process.host) = (cgroup.to_owned(), host);
    }
    for from_ns in (0..10).map(|number| number * S / 10) {
        for (thread, cpu, ran_ns) in [(a, 0, S / 50), (threads[0], 1, 3 * S / 50)] {
            fake.running(thread, from_ns, from_ns + ran_ns, cpu);
            fake.state(thread, from_ns + ran_ns, from_ns + S / 10, State::Throttled);
        }
    }
    fake.state(b, 0, S, State::Park);
    fake.running(threads[1], 0, S, 1);
    let unit = fake.text("ns");
    for (path, by) in [("/", 0), ("/shop", 9), ("/shop/web", 0), ("/shop/w", 9)] {
        let name = format!("cgroup.throttled_time {path}");
        let counter = fake.track(TrackKind::Counter { unit }, "java", &name, None);
        if has_counters {
            fake.counters.extend([(counter, 0, 5), (counter, S / 2, 5 + by)]);
        }
    }
    fake
}

#[test]
fn where_the_kernel_does_not_say_who_is_throttled_the_quota_is_told_all_the_same() {
    let mut fake = throttled_server(true);
    for interval in fake.states.iter_mut().flatten() {
        if interval.state == State::Throttled {
            (interval.state, interval.cpu) = (State::Ready, Some(0));
        }
    }
    let all = found(&fake);
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(finding.kind, "cpu-starved");
    let last = finding.evidence.last().map(String::as_str);
    assert_eq!(
        last,
        Some("the CPU quota of cgroup /shop was spent meanwhile: a part of this may be that")
    );
}

#[test]
fn virtual_threads_without_a_carrier_are_told_from_those_without_a_cpu() {
    let (mut fake, a, b) = server();
    for track in [a, b] {
        let thread = fake.track(TrackKind::VirtualThread, "java", "cart", None);
        fake.group(thread, "request");
        fake.tracks[thread.0 as usize].java = true;
        // Its carrier waits for a CPU for a tenth of the time in which it could run.
        fake.ready(thread, 0, S / 20, 0);
        fake.state(thread, S / 20, S / 2, State::Ready);
        fake.state(thread, S / 2, S, State::Park);
        fake.state(track, 0, S, State::Park);
    }
    let all = found(&fake);
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(finding.kind, "cpu-starved");
    let last = finding.evidence.last().map(String::as_str);
    assert_eq!(last, Some("virtual threads had no carrier for 90 % of that time"));
    assert!(finding.remedy.contains("carriers"), "{}", finding.remedy);
}

#[test]
fn who_spends_the_quota_is_named() {
    let all = found(&throttled_server(true));
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((finding.kind, finding.group.as_str()), ("cpu-throttled", "request"));
    assert_eq!(finding.severity, Severity::Severe);
    assert!((finding.share - 0.8).abs() < 1e-9, "{}", finding.share);
    let culprits = finding.culprits.iter();
    let shares: Vec<_> = culprits.map(|culprit| (culprit.role.text(), culprit.share)).collect();
    assert_eq!(
        shares,
        [("backup".to_owned(), 0.75), ("request of java".to_owned(), 0.25)]
    );
    let said = "2 threads of request could run for 1.00 s, and for 800 ms of it the CPU quota of";
    assert_eq!(finding.evidence[0], format!("{said} cgroup /shop was spent"));

    let all = found(&throttled_server(false));
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(finding.culprits, []);
    assert_eq!(
        finding.evidence,
        [format!("{said} cgroup /shop/web, or of one around it, was spent")]
    );
}

#[test]
fn who_takes_the_cpu_is_named_with_its_share() {
    let (mut fake, a, b) = server();
    let hog = fake.thread("hog", "hog");
    fake.running(hog, 0, 9 * S / 10, 0);
    fake.ready(a, 0, 9 * S / 10, 0);
    fake.running(a, 9 * S / 10, S, 0);
    fake.running(b, 0, S / 10, 1);
    fake.ready(b, S / 10, S / 5, 1);
    fake.state(b, S / 5, S, State::Net);
    fake.idle(S / 10, 3 * S / 20, 1);

    let all = found(&fake);
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (finding.kind, finding.group.as_str(), finding.severity),
        ("cpu-starved", "request", Severity::Severe)
    );
    assert!((finding.share - 1.0 / 1.2).abs() < 1e-9, "{}", finding.share);
    let culprits: Vec<_> = finding
        .culprits
        .iter()
        .map(|culprit| (culprit.role.text(), culprit.share))
        .collect();
    let named = [("hog", 0.9), ("(idle)", 0.05), ("(unknown)", 0.05)];
    assert_eq!(culprits, named.map(|(who, share)| (who.to_owned(), share)));
    assert!(finding.remedy.contains("move hog elsewhere"), "{}", finding.remedy);
}

#[test]
fn a_lock_is_named_with_its_class_and_owners() {
    let (mut fake, a, b) = server();
    let class = fake.text("shop.AuditLog");
    fake.running(b, 0, S / 2, 1);
    fake.state(b, S / 2, S, State::Sleep);
    let interval = fake.state(a, 0, S / 2, State::Monitor);
    (interval.peer, interval.cause) = (Some(b), Cause::Class(class));
    fake.running(a, S / 2, S, 0);

    let all = found(&fake);
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((finding.kind, finding.severity), ("lock-contended", Severity::Warning));
    assert!((finding.share - 1.0 / 3.0).abs() < 1e-9, "{}", finding.share);
    let json = report(&fake, Window::of(&fake, None, None)).unwrap().to_json();
    assert_eq!(
        json["findings"][0]["culprits"],
        serde_json::json!([{ "group": "request", "process": "java", "class": "shop.AuditLog", "share": 1.0 }])
    );
    let text = finding.evidence.join("\n");
    assert!(
        text.contains("100 % of that time for a lock of class shop.AuditLog, held by http-2 100 %"),
        "{text}"
    );
}

#[test]
fn a_lock_that_threads_park_for_is_one_too() {
    let (mut fake, a, b) = server();
    let lock = fake.text("java.util.concurrent.locks.ReentrantLock$NonfairSync");
    let queue = fake.text("java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject");
    fake.running(b, 0, S / 4, 1);
    let interval = fake.state(b, S / 4, S, State::Park);
    interval.cause = Cause::Class(queue);
    let interval = fake.state(a, 0, S / 4, State::Park);
    (interval.peer, interval.cause) = (Some(b), Cause::Class(lock));
    fake.running(a, S / 4, S / 2, 0);
    let interval = fake.state(a, S / 2, S, State::Park);
    interval.cause = Cause::Class(queue);

    let all = found(&fake);
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(finding.kind, "lock-contended");
    assert!(
        (finding.share - 1.0 / 3.0).abs() < 1e-9,
        "parks for work are no part of it: {}",
        finding.share
    );
    let culprits: Vec<_> = finding
        .culprits
        .iter()
        .map(|culprit| (culprit.role.text(), culprit.share))
        .collect();
    assert_eq!(culprits, [("request of java".to_owned(), 1.0)]);
    assert!(finding.remedy.contains("[[stack]]"), "{}", finding.remedy);
}

#[test]
fn a_jvm_that_stands_still_is_told() {
    let (mut fake, ..) = server();
    let jvm = fake.track(TrackKind::Jvm, "java", "java", None);
    fake.pause(jvm, S / 10, S / 5);
    let all = found(&fake);
    assert_eq!(
        all.iter()
            .map(|finding| (finding.kind, finding.share))
            .collect::<Vec<_>>(),
        [("gc-pauses", 0.1)]
    );
}

#[test]
fn pauses_are_told_with_their_causes() {
    let (mut fake, ..) = server();
    let jvm = fake.track(TrackKind::Jvm, "java", "java", None);
    let pauses = [
        ("pause: ThreadDump", S / 10),
        ("GC pause: G1CollectForAllocation", S / 20),
        ("pause: ThreadDump", S / 20),
    ];
    for (number, (name, ns)) in (1..).zip(pauses) {
        fake.pause(jvm, number * S / 5, number * S / 5 + ns);
        fake.name_pause(jvm, name);
    }
    let all = found(&fake);
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(finding.kind, "safepoint-pauses");
    assert_eq!(
        finding.evidence[1],
        "by what the VM thread did: ThreadDump 75 % (2), G1CollectForAllocation 25 % (1)"
    );
}

#[test]
fn the_safepoint_with_which_a_jvm_ends_is_no_illness() {
    let (mut fake, ..) = server();
    let jvm = fake.track(TrackKind::Jvm, "java", "java", None);
    fake.pause(jvm, S / 2, S);
    fake.name_pause(jvm, "pause: Halt");
    assert_eq!(found(&fake), []);
}

#[test]
fn threads_of_others_are_never_ill() {
    let (mut fake, ..) = server();
    let other = fake.thread("postgres", "worker");
    fake.group(other, "request");
    fake.ready(other, 0, S, 0);
    assert_eq!(found(&fake), []);
}

#[test]
fn findings_are_told_in_words() {
    let (mut fake, a, _) = server();
    let hog = fake.thread("hog", "hog");
    fake.running(hog, 0, S / 2, 0);
    fake.ready(a, 0, S / 2, 0);
    fake.running(a, S / 2, S, 0);
    let unit = fake.text("request");
    fake.unit(unit, a, S / 4, S);
    let text = report(&fake, Window::of(&fake, None, None)).unwrap().to_string();
    assert_eq!(
        text,
        "1. cpu-starved: request 33 % (warning)
   - 1 units of request took (waiting for locks apart) 750 ms, and had no CPU for 250 ms of it
   - threads of request waited for a CPU 1 times within them, 250 ms on average, 250 ms the longest
   - hog had the CPU that they waited for 100 % of that time
   who: hog 100 %
   remedy: move hog elsewhere or limit it (nice, a cpuset, a CPU quota of its cgroup), or give the server CPUs of its own

request: 1 units
   latency  p50 750 ms   p90 750 ms   p99 750 ms   p99.9 750 ms   max 750 ms
   typical  running 500 ms (67 %), ready 250 ms (33 %)
   slow     running 500 ms (67 %), ready 250 ms (33 %)
"
    );
}

#[test]
fn where_units_are_recorded_they_are_the_base_and_only_who_does_them_is_judged() {
    let (mut fake, a, b) = server();
    fake.group(b, "poller");
    // Between units nothing counts: the thread waits for a CPU all the time before the first.
    fake.ready(a, 0, S / 2, 0);
    fake.running(a, S / 2, 6 * S / 10, 0);
    fake.ready(a, 6 * S / 10, 7 * S / 10, 0);
    fake.state(a, 7 * S / 10, S, State::Net);
    fake.ready(b, 0, S, 1);
    let (request, part) = (fake.text("request"), fake.text("part"));
    fake.unit(request, a, S / 2, S);
    fake.unit(part, a, 6 * S / 10, 7 * S / 10);
    assert_eq!(found(&fake), []);

    let subject = subjects(&fake, Window::of(&fake, None, None)).unwrap().remove(0);
    let loss = subject.loss(State::Ready, &[State::Monitor]);
    assert_eq!(
        (subject.group, subject.units, loss.lost_ns, loss.base_ns),
        ("request", 1, S / 10, S / 2)
    );
}

#[test]
fn virtual_threads_that_keep_their_carriers_are_told_with_what_they_wait_for() {
    let (mut fake, ..) = server();
    let carriers = [
        fake.thread("java", "ForkJoinPool-1-worker-1"),
        fake.thread("java", "ForkJoinPool-1-worker-2"),
    ];
    let stock = fake.text("shop.Stock");
    let (pinned, good) = ("pinned", "good");
    for (cpu, (name, carrier)) in (0..).zip([(pinned, carriers[0]), (good, carriers[1])]) {
        let thread = fake.track(TrackKind::VirtualThread, "java", name, None);
        fake.running(thread, 0, S / 2, cpu).peer = Some(carrier);
        let blocked = fake.state(thread, S / 2, S, State::Monitor);
        blocked.cause = Cause::Class(stock);
        // The other one has given its carrier away.
        blocked.involuntary = name == pinned;
    }
    let found = found(&fake);
    let finding = found
        .iter()
        .find(|finding| finding.kind == "carriers-pinned")
        .expect("told");
    assert_eq!(
        (finding.lost_ns, finding.share, finding.group.as_str()),
        (S / 2, 0.25, "java")
    );
    assert_eq!(
        finding.evidence,
        [
            "1 virtual threads kept their carriers 1 times while they were blocked, for 500 ms in all, 500 ms the longest; there are 2 carriers",
            "they did so in monitor of shop.Stock 100 %",
            "most of all pinned 100 %",
        ]
    );
}

#[test]
fn where_threads_waited_longest_for_a_lock_is_evidence() {
    let (mut fake, a, b) = server();
    let class = fake.text("shop.AuditLog");
    fake.running(b, 0, S / 2, 1);
    fake.state(b, S / 2, S, State::Sleep);
    for (from_ns, to_ns) in [(0, S / 10), (S / 10, S / 2)] {
        let interval = fake.state(a, from_ns, to_ns, State::Monitor);
        (interval.peer, interval.cause) = (Some(b), Cause::Class(class));
    }
    fake.running(a, S / 2, S, 0);
    let frames = ["main", "serve", "log", "futex_wait_[k]"].map(|frame| fake.text(frame));
    fake.stacks = vec![frames[..2].to_vec(), frames.to_vec()];
    for (number, (start_ns, end_ns)) in [(1, (0, S / 10)), (2, (S / 10, S / 2))] {
        let sleep = Sleep {
            start_ns,
            end_ns,
            stack: StackId(number),
            waker_stack: StackId(0),
            waker: None,
            java_stack: StackId(0),
        };
        fake.sleeps.push((a, sleep));
    }

    let all = found(&fake);
    let [finding] = all.as_slice() else { panic!("{all:?}") };
    let said = "80 % of that time in log < serve < main";
    assert_eq!(
        finding.evidence.last().map(String::as_str),
        Some(said),
        "{:?}",
        finding.evidence
    );
}

#[test]
fn instructions_per_cycle_are_told_by_group() {
    let (mut fake, a, b) = server();
    fake.group(b, "pool");
    let unit = fake.text("count");
    for (thread, counts) in [(a, [2_000_000, 3_000_000]), (b, [4_000_000_000, 1_000_000_000])] {
        fake.running(thread, 0, S, 0);
        let tid = fake.tracks[thread.0 as usize].tid;
        for (name, value) in ["cycles a", "instructions a"].into_iter().zip(counts) {
            let counter = fake.track(TrackKind::Counter { unit }, "java", name, tid);
            fake.counters.extend([(counter, 0, 0), (counter, S / 2, value)]);
        }
    }
    let report = report(&written(&fake), Window::of(&fake, None, None)).unwrap();
    let text = report.to_string();
    assert!(
        text.ends_with(
            "pool: 0.25 instructions per cycle (1.00 G instructions in 4.00 G cycles)
request: 1.50 instructions per cycle (3.00 M instructions in 2.00 M cycles)
"
        ),
        "{text}"
    );
    let told = &report.to_json()["efficiency"][1];
    assert_eq!(
        (&told["group"], &told["instructions_per_cycle"]),
        (&"request".into(), &1.5.into())
    );
    assert_eq!(told["counters"]["cycles"], 2_000_000);
}
