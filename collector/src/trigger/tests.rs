//! Conditions against records made by hand.

use super::*;
use plumb_trace::record::{JvmKind, flags};

const MS: u64 = 1_000_000;

fn watcher(conditions: Vec<Condition>) -> Watcher {
    let trigger = |when: Condition| Trigger {
        text: format!("{when:?}"),
        when,
        keep_ns: 0,
        after_ns: 0,
    };
    Watcher::new(conditions.into_iter().map(trigger).collect())
}

fn ready(glob: &str, over_ns: u64) -> Condition {
    Condition::Ready {
        threads: vec![glob.into()],
        over_ns,
    }
}

fn wakeup(time_ns: u64, tid: u32) -> KernelRecord {
    KernelRecord {
        time_ns,
        kind: KernelKind::Wakeup as u8,
        tid,
        pid: 1,
        ..KernelRecord::default()
    }
}

fn switch(time_ns: u64, tid: u32, state: u32, other_tid: u32) -> KernelRecord {
    KernelRecord {
        time_ns,
        kind: KernelKind::Switch as u8,
        tid,
        other_tid,
        value: state,
        ..KernelRecord::default()
    }
}

/// What the records fire, looked at long after.
fn fired(watcher: &mut Watcher, records: &[KernelRecord]) -> Option<(usize, String)> {
    records.iter().for_each(|record| watcher.see(record));
    watcher.look(1000 * MS, true, |_| true);
    watcher.take_fired().map(|fired| (fired.trigger, fired.seen))
}

#[test]
fn a_long_wait_for_a_cpu_fires_and_a_short_one_does_not() {
    let mut watcher = watcher(vec![ready("http-*", 10 * MS)]);
    watcher.comm(5, "http-nio-1");
    watcher.comm(6, "batch");
    assert_eq!(fired(&mut watcher, &[wakeup(0, 5), switch(9 * MS, 0, 0, 5)]), None);
    assert_eq!(
        fired(
            &mut watcher,
            &[switch(10 * MS, 5, 1, 0), wakeup(20 * MS, 6), switch(90 * MS, 0, 0, 6)]
        ),
        None
    );
    let late = [wakeup(100 * MS, 5), wakeup(105 * MS, 5), switch(111 * MS, 0, 0, 5)];
    assert_eq!(fired(&mut watcher, &late), Some((0, "thread 5: 11.000 ms".into())));
    let preempted = KernelRecord {
        flags: flags::PREEMPT,
        ..switch(120 * MS, 5, 1, 6)
    };
    assert_eq!(
        fired(&mut watcher, &[preempted, switch(140 * MS, 6, 1, 5)]),
        Some((0, "thread 5: 20.000 ms".into()))
    );
}

#[test]
fn the_order_of_cpus_does_not_matter() {
    let mut watcher = watcher(vec![ready("*", 10 * MS)]);
    watcher.comm(5, "any");
    // CPU 1's come first: the thread has run there and slept in between.
    let one = [
        switch(2 * MS, 0, 0, 5),
        switch(3 * MS, 5, 1, 0),
        switch(52 * MS, 0, 0, 5),
    ];
    let other = [wakeup(MS, 5), wakeup(51 * MS, 5)];
    assert_eq!(fired(&mut watcher, &[&one[..], &other].concat()), None);
}

#[test]
fn a_wait_that_lasts_fires_once_it_is_certain() {
    let mut watcher = watcher(vec![ready("*", 10 * MS)]);
    watcher.comm(5, "any");
    watcher.see(&wakeup(MS, 5));
    watcher.look(100 * MS, true, |_| true);
    assert_eq!(
        watcher.take_fired(),
        None,
        "who came to a CPU meanwhile may not have been told yet"
    );
    watcher.look(200 * MS, true, |_| true);
    assert!(watcher.take_fired().is_some());
}

#[test]
fn who_is_woken_while_it_runs_does_not_wait() {
    let mut watcher = watcher(vec![ready("*", 10 * MS)]);
    watcher.comm(5, "http-nio-1");
    let comes = |at: u64, waited: u64| {
        let mut record = switch(at, 0, 0, 5);
        record.set_comer(0, Some(waited));
        record
    };
    let records = [comes(0, 0), wakeup(MS, 5), switch(90 * MS, 5, 1, 0)];
    assert_eq!(fired(&mut watcher, &records), None);
    // Woken between its decision to sleep and its leaving: its book tells how long it waited.
    let records = [wakeup(90 * MS, 5), comes(130 * MS, 30 * MS)];
    assert_eq!(
        fired(&mut watcher, &records[1..]),
        Some((0, "thread 5: 30.000 ms".into()))
    );
}

#[test]
fn who_is_renamed_or_ends_is_no_concern_any_more() {
    let mut watcher = watcher(vec![ready("http-nio-8080-exec-*", MS)]);
    watcher.comm(5, "http-nio-8080-e");
    watcher.comm(6, "http-nio-8080-e");
    let exit = KernelRecord {
        kind: KernelKind::Exit as u8,
        tid: 5,
        ..KernelRecord::default()
    };
    watcher.see(&exit);
    let name = Definition::JavaThreadName {
        tid: 6,
        name: "http-nio-8080-else".into(),
    };
    watcher.define_in_jvm(0, &name, Some(6));
    let records = [5, 6]
        .map(|tid| [wakeup(10 * MS, tid), switch(90 * MS, 0, 0, tid)])
        .concat();
    assert_eq!(fired(&mut watcher, &records), None);
}

#[test]
fn who_has_ended_meanwhile_has_waited_all_the_same() {
    let mut watcher = watcher(vec![ready("*", MS)]);
    watcher.comm(5, "short");
    let exit = KernelRecord {
        time_ns: 91 * MS,
        kind: KernelKind::Exit as u8,
        tid: 5,
        ..KernelRecord::default()
    };
    let life = [
        wakeup(10 * MS, 5),
        switch(90 * MS, 0, 0, 5),
        exit,
        switch(92 * MS, 5, 0x80, 0),
    ];
    assert_eq!(fired(&mut watcher, &life), Some((0, "thread 5: 80.000 ms".into())));
}

/// Watches for long orders, whose method is 3, and for long waits of thread 9 for a monitor.
fn watcher_of_jvm(order_ns: u64, monitor_ns: u64) -> Watcher {
    let unit = Condition::Unit {
        unit: "order".into(),
        over_ns: order_ns,
    };
    let monitor = Condition::Monitor {
        threads: vec!["http-*".into()],
        over_ns: monitor_ns,
    };
    let mut watcher = watcher(vec![unit, monitor]);
    let method = Definition::Method {
        id: 3,
        class: "A".into(),
        name: "b".into(),
        descriptor: "()V".into(),
        unit: "order".into(),
    };
    watcher.define_in_jvm(0, &method, None);
    let name = Definition::JavaThreadName {
        tid: 9,
        name: "http-1".into(),
    };
    watcher.define_in_jvm(0, &name, None);
    watcher
}

#[test]
fn units_and_monitors_are_measured_by_the_clock_of_their_stream() {
    let mut watcher = watcher_of_jvm(10 * MS, MS);
    let pair = |ns: u64| ClockPair {
        tsc: 2 * ns,
        monotonic_ns: ns,
        ..ClockPair::default()
    };
    watcher.clock(&pair(1000));
    watcher.clock(&pair(1_001_000));
    let call = |kind, ms: u64, id| JvmRecord::new(2 * ms * MS, kind, 0, id);
    let mut check = |records: &[JvmRecord], expected: Option<(usize, &str)>| {
        watcher.see_jvm(0, 1, 9, Clock::Tsc, records);
        let fired = watcher.take_fired();
        assert_eq!(
            fired.as_ref().map(|fired| (fired.trigger, fired.seen.as_str())),
            expected
        );
    };
    check(
        &[
            call(JvmKind::Enter, 0, 3),
            call(JvmKind::Enter, 1, 4),
            call(JvmKind::Exit, 90, 4),
        ],
        None,
    );
    check(
        &[call(JvmKind::Exit, 91, 3)],
        Some((0, "thread 9 of the JVM: 91.000 ms")),
    );
    check(&[call(JvmKind::Exit, 99, 3)], None);
    check(&[call(JvmKind::Enter, 100, 3), call(JvmKind::Thrown, 109, 3)], None);
    check(
        &[
            call(JvmKind::MonitorEnter, 110, 3),
            call(JvmKind::MonitorEntered, 112, 3),
        ],
        Some((1, "thread 9 of the JVM: 2.000 ms")),
    );
}

#[test]
fn a_monitor_that_nobody_gives_back_and_a_unit_that_hangs_fire_once_while_they_last() {
    let mut watcher = watcher_of_jvm(10 * MS, 100 * MS);
    let pair = |ns: u64| ClockPair {
        tsc: 5_000 + 2 * ns,
        monotonic_ns: ns,
        ..ClockPair::default()
    };
    watcher.clock(&pair(1_000));
    watcher.clock(&pair(1_001_000));
    let at = |kind, ms: u64| JvmRecord::new(5_000 + 2 * ms * MS, kind, 0, 3);
    watcher.see_jvm(0, 1, 9, Clock::Tsc, &[at(JvmKind::Enter, 5)]);
    watcher.see_jvm(0, 2, 9, Clock::Tsc, &[at(JvmKind::MonitorEnter, 500)]);
    let looked = |watcher: &mut Watcher, ms: u64| {
        watcher.look(ms * MS, true, |_| true);
        watcher.take_fired().map(|fired| (fired.trigger, fired.seen))
    };
    // What ended by then may not have been read yet.
    assert_eq!(looked(&mut watcher, 500), None);
    let (trigger, seen) = looked(&mut watcher, 600).expect("the unit lasts");
    assert!(trigger == 0 && seen.contains("still under way"), "{seen}");
    assert_eq!(looked(&mut watcher, 1000), None, "told once, and the wait is short yet");
    assert_eq!(looked(&mut watcher, 1200).expect("the wait lasts").0, 1);
    // Their ends are no news.
    watcher.see_jvm(0, 1, 9, Clock::Tsc, &[at(JvmKind::Exit, 1300)]);
    watcher.see_jvm(0, 2, 9, Clock::Tsc, &[at(JvmKind::MonitorEntered, 1300)]);
    assert_eq!(looked(&mut watcher, 9000), None);
    // A thread that ended with its JVM waits no more.
    watcher.see_jvm(0, 1, 9, Clock::Tsc, &[at(JvmKind::Enter, 9000)]);
    watcher.end_stream(0, 1);
    assert_eq!(looked(&mut watcher, 99_000), None);
}

#[test]
fn the_last_wait_of_a_thread_counts_although_its_end_is_heard_of_first() {
    let mut watcher = watcher_of_jvm(10 * MS, 100 * MS);
    let wait = |ms: u64| {
        let at = |kind, ms: u64| JvmRecord::new(ms * MS, kind, 0, 3);
        [at(JvmKind::MonitorEnter, ms), at(JvmKind::MonitorEntered, ms + 150)]
    };
    watcher.define_in_jvm(0, &Definition::JavaThreadEnd { tid: 9 }, None);
    watcher.look(1000 * MS, true, |_| true);
    watcher.see_jvm(0, 1, 9, Clock::Monotonic, &wait(800));
    let fired = watcher.take_fired().expect("its last wait was long");
    assert_eq!(
        (fired.trigger, fired.seen.as_str()),
        (1, "thread 9 of the JVM: 150.000 ms")
    );
    // Its number may be another thread's by then.
    watcher.look(1500 * MS, true, |_| true);
    watcher.see_jvm(0, 2, 9, Clock::Monotonic, &wait(2000));
    assert!(watcher.take_fired().is_none());
}

#[test]
fn the_run_queue_is_looked_at() {
    let mut never = watcher(vec![Condition::RunQueue { over: u32::MAX }]);
    assert_eq!(fired(&mut never, &[]), None);
}
