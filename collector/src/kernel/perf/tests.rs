//! Records of perf events made by hand.

use super::books::OnCpu;
use super::event::{DEAD, NOBODY};
use super::tracepoints::Told;
use super::*;
use plumb_trace::record::{KernelKind, flags};

fn parse(kind: u32, misc: u16, bytes: &[u8]) -> Option<Dated> {
    event::parse(kind, misc, bytes, &Tracepoints::default(), &[])
}

fn bytes(words: &[u32], tid: u32, time_ns: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend([tid, tid].iter().flat_map(|word| word.to_ne_bytes()));
    bytes.extend(time_ns.to_ne_bytes());
    bytes.extend([0; 16]);
    bytes
}

fn switch(tid: u32, next: u32, misc: u16, time_ns: u64) -> Dated {
    parse(15, 1 << 13 | misc, &bytes(&[next, next], tid, time_ns)).expect("a switch")
}

const PREEMPTED: u16 = 1 << 14;

#[test]
fn what_is_of_no_use_or_too_short_is_left_out() {
    let whole = bytes(&[1, 2], 3, 4);
    assert!(parse(15, 1 << 13, &whole).is_some());
    assert_eq!(parse(15, 0, &whole), None, "a switch is told twice");
    assert_eq!(parse(99, 0, &whole), None);
    for length in 0..whole.len() {
        for kind in [2, 3, 4, 7, 15] {
            let _ = parse(kind, 1 << 13, &whole[..length]);
        }
        assert_eq!(parse(15, 1 << 13, &whole[..length.min(39)]), None);
    }
}

#[test]
fn who_ran_is_charged_what_it_ran() {
    let (mut books, mut here) = (Books::default(), OnCpu::default());
    let mut step = |dated| books.record(3, &mut here, dated).expect("a record");
    let first = step(switch(7, 8, 0, 100));
    assert_eq!(
        (first.tid, first.other_tid, first.value, first.charged_ns, first.nvcsw),
        (7, 8, 1, 0, 1)
    );
    let second = step(switch(8, 0, PREEMPTED, 150));
    assert_eq!(
        (second.value, second.flags, second.charged_ns, second.nivcsw),
        (0, flags::PREEMPT, 50, 1)
    );
    let idle = step(switch(0, 8, 0, 180));
    assert_eq!((idle.value, idle.comer_charged()), (0, 50));
    let dead = step(switch(NOBODY, 7, 0, 200));
    assert_eq!((dead.tid, dead.value, dead.charged_ns, dead.cpu), (8, DEAD, 70, 3));
}

#[test]
fn who_is_preempted_in_its_end_is_known_when_it_comes_again() {
    let (mut books, mut here) = (Books::default(), OnCpu::default());
    let mut step = |dated| books.record(0, &mut here, dated);
    step(switch(7, 8, 0, 100));
    let exit = parse(4, 0, &bytes(&[8, 5, 8, 5, 0, 0], 8, 110)).expect("an end");
    step(exit);
    let leaves = step(switch(NOBODY, 7, PREEMPTED, 120)).expect("a record");
    assert_eq!((leaves.tid, leaves.value), (8, 0));
    let comes = step(switch(7, NOBODY, 0, 150)).expect("a record");
    assert_eq!((comes.other_pid, comes.other_tid), (8, 8));
    let dies = step(switch(NOBODY, 7, 0, 160)).expect("a record");
    assert_eq!((dies.tid, dies.value, dies.charged_ns), (8, DEAD, 30));
}

#[test]
fn who_ends_after_it_came_unseen_is_not_taken_for_who_was_there_before() {
    let (mut books, mut here) = (Books::default(), OnCpu::default());
    let mut step = |dated| books.record(0, &mut here, dated);
    // Process 1 comes and is not seen to leave.
    step(switch(7, 1, 0, 100));
    step(parse(4, 0, &bytes(&[8, 5, 8, 5, 0, 0], 8, 110)).expect("an end"));
    let dies = step(switch(NOBODY, 7, 0, 120)).expect("a record");
    assert_eq!((dies.tid, dies.value), (8, DEAD));
}

#[test]
fn a_child_has_its_parent_s_name_until_it_has_its_own() {
    let (mut books, mut here) = (Books::default(), OnCpu::default());
    let mut comm = vec![5u32, 5];
    comm.extend([u32::from_ne_bytes(*b"java"), 0]);
    let named = parse(3, 1 << 13, &bytes(&comm, 5, 1)).expect("a name");
    let named = books.record(0, &mut here, named).expect("a record");
    assert_eq!((named.kind, named.comm().as_str()), (KernelKind::Exec as u8, "java"));
    let fork = parse(7, 0, &bytes(&[9, 5, 9, 5, 0, 0], 5, 2)).expect("a fork");
    let fork = books.record(0, &mut here, fork).expect("a record");
    assert_eq!((fork.tid, fork.other_tid, fork.comm().as_str()), (9, 5, "java"));
    let exit = parse(4, 0, &bytes(&[9, 5, 9, 5, 0, 0], 9, 3)).expect("an end");
    let exit = books.record(0, &mut here, exit).expect("a record");
    assert_eq!(
        (exit.kind, exit.tid, exit.comm().as_str()),
        (KernelKind::Exit as u8, 9, "java")
    );
}

#[test]
fn of_own_threads_nobody_else_is_told_and_nothing_twice() {
    let (mut books, mut here) = (Books::default(), OnCpu::default());
    let mut step = |misc: u16, time_ns| {
        let dated = parse(14, misc, &bytes(&[], 7, time_ns)).expect("a switch");
        books.record(0, &mut here, dated)
    };
    let out = 1 << 13;
    let first = step(out, 100).expect("it was there");
    assert_eq!(
        (first.tid, first.other_tid, first.value, first.flags),
        (7, 0, 1, flags::ALONE)
    );
    assert_eq!(step(out, 101), None, "told twice");
    let comes = step(0, 200).expect("it comes");
    assert_eq!((comes.tid, comes.other_tid, comes.flags), (0, 7, flags::ALONE));
    assert_eq!(step(0, 201), None, "told twice");
    let leaves = step(out | PREEMPTED, 250).expect("it leaves");
    assert_eq!(
        (leaves.value, leaves.charged_ns, leaves.flags),
        (0, 50, flags::ALONE | flags::PREEMPT)
    );
}

#[test]
fn tracepoints_say_how_a_thread_sleeps_and_who_wakes_it() {
    let (mut books, mut here) = (Books::default(), OnCpu::default());
    let mut step = |tid, event, time_ns| {
        let dated = Dated {
            time_ns,
            pid: tid,
            tid,
            event,
        };
        books.record(1, &mut here, dated)
    };
    let leaves = |state| Event::Told(Told::Leaves { state });
    let switch = |state, next| Event::Switch {
        state,
        is_preempted: false,
        next: (next, next),
    };
    assert_eq!(step(7, leaves(2), 10), None);
    assert_eq!(
        step(7, switch(1, 8), 11).map(|record| record.value),
        Some(2),
        "uninterruptible"
    );
    let waking = Told::Waking {
        tid: 7,
        cpu: 1,
        by_interrupt: false,
    };
    let waking = step(8, Event::Told(waking), 12).expect("it is known");
    assert_eq!(
        (waking.tid, waking.pid, waking.other_tid, waking.value, waking.flags),
        (7, 7, 8, 1, 0)
    );
    let queued = step(8, Event::Told(Told::Queued { tid: 7, cpu: 1 }), 13).expect("it is known");
    assert_eq!(
        (queued.kind, queued.tid, queued.other_tid),
        (KernelKind::Wakeup as u8, 7, 0)
    );
    // What was told of another switch does not count for this one.
    assert_eq!(step(8, switch(1, 7), 14).map(|record| record.value), Some(1));
}
