//! Who wakes a thread is known by every object's programs: those with options need more stack, which newer kernels give them elsewhere than on the thread's own.

mod common;

use common::threads::gettid;
use common::{kernel_records, kernel_works, place};
use plumb_collector::{Extras, KernelOptions, Options, Recorder, Scope, Selectors};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::sync::mpsc;
use std::thread;

const ROUNDS: usize = 500;

/// A thread that this one wakes again and again.
fn wake_somebody() -> u32 {
    let (ping, pings) = mpsc::channel();
    let (pong, pongs) = mpsc::channel();
    let other = thread::spawn(move || {
        pings
            .iter()
            .take(ROUNDS)
            .for_each(|()| pong.send(()).expect("it waits"));
        gettid()
    });
    for _ in 0..ROUNDS {
        ping.send(()).expect("it waits");
        pongs.recv().expect("it answers");
    }
    other.join().expect("no panic")
}

#[test]
fn a_waker_in_a_system_call_is_the_cause() {
    if !kernel_works("a_waker_in_a_system_call_is_the_cause") {
        return;
    }
    let extras = Extras {
        faults: true,
        ..Extras::default()
    };
    let selectors = Selectors {
        cgroups: vec!["*".into()],
        ..Selectors::default()
    };
    let all = [
        (Scope::System, Selectors::default(), Extras::default()),
        (Scope::System, Selectors::default(), extras),
        (Scope::Selected, selectors, Extras::default()),
    ];
    for (scope, selectors, extras) in all {
        let (_base, dir) = place();
        let kernel = KernelOptions {
            scope,
            selectors,
            extras: extras.clone(),
            ..KernelOptions::default()
        };
        let options = Options {
            dir: dir.clone(),
            kernel: Some(kernel),
            ..Options::default()
        };
        let recorder = match Recorder::start(options) {
            Ok(recorder) => recorder,
            Err(error) => {
                println!("left out: {scope:?}: {error}");
                continue;
            }
        };
        let woken = wake_somebody();
        recorder.stop().expect("a recording");
        let records = kernel_records(&dir);
        let wakings = records.iter().filter(|record| {
            record.kind == KernelKind::Waking as u8 && (record.tid, record.other_tid) == (woken, gettid())
        });
        let (by_interrupt, by_waker): (Vec<&KernelRecord>, Vec<&KernelRecord>) =
            wakings.partition(|record| record.flags & flags::INTERRUPT != 0);
        println!(
            "{scope:?} {extras:?}: {} by the waker, {} by an interrupt",
            by_waker.len(),
            by_interrupt.len()
        );
        assert!(by_waker.len() > 10 * by_interrupt.len(), "{scope:?} {extras:?}");
    }
}
