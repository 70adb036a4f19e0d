//! The flight recorder: nothing on the disk until somebody asks, then an ordinary recording of the last moments.

mod common;

use common::switches::of_kind;
use common::threads::{gettid, ping_pong};
use common::{definitions, kernel_options, kernel_records, kernel_works, place};
use plumb_collector::flight::{Flight, Keep, Saved};
use plumb_collector::trigger::{Condition, Trigger};
use plumb_collector::{Extras, Options, Recorder, Scope, Stacks};
use plumb_trace::definition::Definition;
use plumb_trace::record::{KernelKind, KernelRecord, stack_flags};
use plumb_trace::recording::{FileKind, Manifest, Recording};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

fn start(dir: &Path, keep: Keep, triggers: Vec<Trigger>) -> Recorder {
    let options = Options {
        flight: Some(Flight { keep, triggers }),
        ..kernel_options(dir, Scope::System, None)
    };
    Recorder::start(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until a window is saved.
fn wait_for_window(recorder: &Recorder) -> Saved {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(saved) = recorder.take_saved().pop() {
            return saved;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing was saved");
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = dir.read_dir().expect("a directory").flatten();
    entries.map(|entry| entry.metadata().map_or(0, |file| file.len())).sum()
}

/// That all streams begin with 0 and go on without a gap.
fn check_sequences(dir: &Path) {
    let recording = Recording::open(dir).unwrap_or_else(|error| panic!("{error}"));
    for file in recording
        .files()
        .iter()
        .filter(|file| !matches!(file.kind, FileKind::Jvm { .. }))
    {
        let sequences: Vec<u32> = file
            .segments()
            .map(|segment| segment.expect("a good segment").header.sequence)
            .collect();
        assert!(
            (0..sequences.len() as u32).eq(sequences.iter().copied()),
            "{:?}: {sequences:?}",
            file.kind
        );
    }
}

#[test]
fn nothing_is_written_until_somebody_asks() {
    if !kernel_works("nothing_is_written_until_somebody_asks") {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, Keep::Time(60_000_000_000), Vec::new());
    let begun = plumb_collector::clock::monotonic_ns();
    ping_pong(20_000);
    assert_eq!(dir.read_dir().expect("the directory").count(), 0);
    recorder.save("the test");
    let first = wait_for_window(&recorder);
    assert_eq!((first.error.as_deref(), first.reason.as_str()), (None, "the test"));
    ping_pong(1000);
    recorder.save("the end");
    let summary = recorder.stop().expect("an end");
    assert_eq!(summary.saved.len(), 1, "{summary:?}");

    let manifest = Manifest::read(&first.dir).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (manifest.started_ns, manifest.ended_ns),
        (first.from_ns, Some(first.to_ns))
    );
    assert!(first.from_ns <= begun && begun < first.to_ns);
    check_sequences(&first.dir);
    let (records, more) = (kernel_records(&first.dir), kernel_records(&summary.saved[0].dir));
    assert!(records.len() > 20_000, "{}", records.len());
    assert!(
        more.len() > records.len() + 1000,
        "recording went on: {} and {}",
        records.len(),
        more.len()
    );
    assert_eq!(more.len() as u64, summary.counts.kernel_stored);
}

#[test]
fn a_full_window_forgets_the_oldest_and_still_knows_everybody() {
    if !kernel_works("a_full_window_forgets_the_oldest_and_still_knows_everybody") {
        return;
    }
    const BYTES: u64 = 300_000;
    let (_base, dir) = place();
    let recorder = start(&dir, Keep::Bytes(BYTES), Vec::new());
    let begun = plumb_collector::clock::monotonic_ns();
    let (tell, told) = mpsc::channel();
    let (finish, wait) = mpsc::channel::<()>();
    let early = thread::Builder::new().name("plumb-early".into()).spawn(move || {
        tell.send(gettid()).expect("the test listens");
        let _ = wait.recv();
    });
    let tid = told.recv().expect("a thread");
    // Until what is there is far more than the window holds.
    while recorder.live().bytes < 8 * BYTES {
        ping_pong(20_000);
    }
    recorder.save("the test");
    let saved = wait_for_window(&recorder);
    finish.send(()).expect("the thread waits");
    early.expect("a thread").join().expect("its end");
    recorder.stop().expect("an end");

    assert!(saved.error.is_none() && saved.from_ns > begun, "{saved:?}");
    // The window, and who was there.
    let (window, host) = (disk_bytes(&saved.dir), saved.dir.join("host.seg"));
    let host = host.metadata().expect("definitions").len();
    assert!(window - host <= BYTES && window > BYTES / 3, "{window} with {host}");
    check_sequences(&saved.dir);
    let records = kernel_records(&saved.dir);
    let switches = records.iter().filter(|record| record.kind == KernelKind::Switch as u8);
    assert!(switches.clone().count() > 1000);
    let found = definitions(&saved.dir)
        .into_iter()
        .find_map(|dated| match dated.definition {
            Definition::Thread {
                tid: found,
                comm,
                state,
                ..
            } if found == tid => Some((dated.at, comm, state)),
            _ => None,
        });
    let (at, comm, state) = found.expect("the thread from before the window is defined");
    assert!(at <= saved.from_ns);
    assert_eq!((comm.as_str(), char::from_u32(state)), ("plumb-early", Some('S')));
}

#[test]
fn a_trigger_saves_by_itself_what_came_before_and_after() {
    if !kernel_works("a_trigger_saves_by_itself_what_came_before_and_after") {
        return;
    }
    let (_base, dir) = place();
    let trigger = |glob: &str| Trigger {
        text: format!("ready({glob}) > 1ns"),
        when: Condition::Ready {
            threads: vec![glob.into()],
            over_ns: 1,
        },
        keep_ns: 60_000_000_000,
        after_ns: 200_000_000,
    };
    let triggers = vec![trigger("plumb-nobody"), trigger("plumb-fly-*")];
    let recorder = start(&dir, Keep::Time(60_000_000_000), triggers);
    ping_pong(1000);
    assert_eq!(dir.read_dir().expect("the directory").count(), 0);
    let nap = || (0..100).for_each(|_| thread::sleep(Duration::from_millis(2)));
    let flyer = thread::Builder::new()
        .name("plumb-fly-1".into())
        .spawn(nap)
        .expect("a thread");
    flyer.join().expect("its end");
    let saved = wait_for_window(&recorder);
    assert!(
        saved.reason.starts_with("ready(plumb-fly-*) > 1ns (thread "),
        "{saved:?}"
    );
    // The same condition again, in the time that its window has covered already.
    thread::Builder::new()
        .name("plumb-fly-2".into())
        .spawn(nap)
        .expect("a thread")
        .join()
        .expect("its end");
    let summary = recorder.stop().expect("an end");
    assert!(summary.saved.is_empty(), "{summary:?}");
    let records = kernel_records(&saved.dir);
    let born = |name: &str| {
        let of_name = |kind: KernelKind| {
            records
                .iter()
                .find(|record| record.kind == kind as u8 && record.comm() == name)
        };
        of_name(KernelKind::Rename).map(|record| record.time_ns)
    };
    let at = born("plumb-fly-1").expect("the thread that set it off");
    assert!(records.iter().any(|record| record.time_ns < at));
    assert!(saved.to_ns >= at + 200_000_000, "{at} {saved:?}");
}

#[test]
fn two_flight_recorders_at_once_both_save_what_happened() {
    if !kernel_works("two_flight_recorders_at_once_both_save_what_happened") {
        return;
    }
    let (_base, first_dir) = place();
    let (_other_base, second_dir) = place();
    let first = start(&first_dir, Keep::Time(60_000_000_000), Vec::new());
    let second = start(&second_dir, Keep::Bytes(64 << 20), Vec::new());
    let thread = thread::Builder::new().name("plumb-twice".into()).spawn(gettid);
    let tid = thread.expect("a thread").join().expect("its id");
    for recorder in [&first, &second] {
        recorder.save("the test");
    }
    let saved = [&first, &second].map(wait_for_window);
    for (saved, recorder) in saved.into_iter().zip([first, second]) {
        assert_eq!((saved.error.as_deref(), saved.reason.as_str()), (None, "the test"));
        check_sequences(&saved.dir);
        let named = |record: &KernelRecord| record.tid == tid && record.comm() == "plumb-twice";
        let records = kernel_records(&saved.dir);
        assert!(of_kind(&records, KernelKind::Rename).any(named), "{saved:?}");
        recorder.stop().expect("an end");
    }
}

/// Waits in a system call, from a function whose name a stack should tell.
#[inline(never)]
fn block_where_it_can_be_seen(times: usize) {
    for _ in 0..times {
        thread::sleep(Duration::from_millis(1));
        // No tail call: this function stays on the stack.
        std::hint::black_box(times);
    }
}

#[test]
fn a_window_has_the_stacks_of_its_sleeps_and_their_names() {
    if !kernel_works("a_window_has_the_stacks_of_its_sleeps_and_their_names") {
        return;
    }
    let (_base, dir) = place();
    let mut options = kernel_options(&dir, Scope::System, None);
    if let Some(kernel) = &mut options.kernel {
        let stacks = Stacks {
            block: true,
            ..Stacks::default()
        };
        kernel.extras = Extras {
            stacks,
            ..Extras::default()
        };
    }
    let recorder = Recorder::start(Options {
        flight: Some(Flight {
            keep: Keep::Bytes(4 << 20),
            triggers: Vec::new(),
        }),
        ..options
    });
    let recorder = recorder.unwrap_or_else(|error| panic!("{error}"));
    // Told once at the beginning, which the window forgets; referred to until its end.
    block_where_it_can_be_seen(50);
    while recorder.live().bytes < 8 << 20 {
        ping_pong(20_000);
    }
    block_where_it_can_be_seen(50);
    recorder.save("the test");
    let saved = wait_for_window(&recorder);
    recorder.stop().expect("an end");
    assert!(saved.error.is_none(), "{saved:?}");
    check_sequences(&saved.dir);

    let (mut frames, mut stacks) = (HashMap::new(), HashMap::new());
    for dated in definitions(&saved.dir) {
        match dated.definition {
            Definition::Frame { id, function, .. } => drop(frames.insert(id, function)),
            Definition::Stack { id, frames } => drop(stacks.insert(id, frames)),
            _ => {}
        }
    }
    let me = gettid();
    let records = kernel_records(&saved.dir);
    let mine = of_kind(&records, KernelKind::Stack).filter(|record| record.tid == me);
    let mine: Vec<_> = mine.filter(|record| record.flags & stack_flags::UNTOLD == 0).collect();
    assert!(!mine.is_empty(), "stacks of this thread's sleeps");
    let numbers: HashSet<u64> = mine
        .iter()
        .flat_map(|record| [record.charged_ns, record.other_charged_ns])
        .collect();
    let names: HashSet<&str> = (numbers.iter().filter(|number| **number != 0))
        .flat_map(|number| stacks.get(number).expect("it is defined"))
        .map(|frame| frames.get(frame).map(String::as_str).expect("so is each frame"))
        .collect();
    assert!(
        names.iter().any(|name| name.contains("block_where_it_can_be_seen")),
        "{names:?}"
    );
    assert!(
        names
            .iter()
            .any(|name| name.contains("hrtimer_nanosleep") || name.contains("do_nanosleep")),
        "{names:?}"
    );
}

#[test]
fn a_flight_that_saves_nothing_leaves_nothing() {
    let (_base, dir) = place();
    let options = Options {
        dir: dir.clone(),
        flight: Some(Flight {
            keep: Keep::Bytes(1),
            triggers: Vec::new(),
        }),
        ..Options::default()
    };
    let recorder = Recorder::start(options).unwrap_or_else(|error| panic!("{error}"));
    recorder.stop().expect("an end");
    assert!(!dir.exists());
}
