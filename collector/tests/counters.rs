//! Samples of counters against what the kernel says itself.

mod common;

use common::{Quota, definitions, segments};
use plumb_collector::{Interface, Options, Recorder, Scope};
use plumb_trace::definition::Definition;
use plumb_trace::recording::segment::LOST_UNKNOWN;
use plumb_trace::recording::{CounterSample, FileKind, Payload};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Held by tests in which CPUs are counted, and the one in which a CPU goes.
static CPUS: Mutex<()> = Mutex::new(());

/// Starts to record without the kernel's events: counters need no rights.
fn start(dir: &Path) -> Recorder {
    let options = Options {
        dir: dir.to_owned(),
        ..Options::default()
    };
    Recorder::start(options).unwrap_or_else(|error| panic!("{error}"))
}

fn samples(dir: &Path) -> Vec<CounterSample> {
    let mut samples = Vec::new();
    for segment in segments(dir, |kind| kind == FileKind::Counters) {
        if let Payload::Counters(more) = segment.payload {
            samples.extend(more);
        }
    }
    samples
}

/// Values of the counters of this name about this cgroup, by CPU (plus 1).
fn values(dir: &Path, wanted: &str, about: &str) -> Vec<(u32, Vec<u64>)> {
    let samples = samples(dir);
    let found = definitions(dir).into_iter().filter_map(|dated| match dated.definition {
        Definition::Counter {
            id,
            name,
            cpu_plus_1,
            cgroup,
            ..
        } if name == wanted && cgroup == about => {
            let of_it = samples.iter().filter(|sample| sample.counter == id);
            Some((cpu_plus_1, of_it.map(|sample| sample.value).collect()))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn a_quota_s_throttling_is_counted() {
    let quota = match Quota::new("counters") {
        Ok(quota) => quota,
        Err(error) => return println!("left out: a_quota_s_throttling_is_counted: no cpu cgroup can be made: {error}"),
    };
    let (_base, dir) = common::place();
    let recorder = start(&dir);
    let script = format!(
        "echo $$ > {}/cgroup.procs; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done",
        quota.path.display()
    );
    assert!(Command::new("sh").args(["-c", &script]).status().expect("sh").success());
    recorder.stop().expect("a recording");
    let throttled = quota.throttled() as u64;
    let found = values(&dir, "cgroup.throttled", &quota.name);
    let [(0, values)] = &found[..] else { panic!("{found:?}") };
    assert!(throttled > 0 && values.is_sorted());
    assert_eq!((values.first(), values.last()), (Some(&0), Some(&throttled)));
}

#[test]
fn each_cpu_s_stolen_time_and_presence_are_sampled_from_the_first_moment_to_the_last() {
    let _all_there = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let (_base, dir) = common::place();
    start(&dir).stop().expect("a recording");
    let cpus = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let cpus = cpus.lines().filter(|line| line.starts_with("cpu")).count() - 1;
    let steal = values(&dir, "cpu.steal", "");
    assert_eq!(steal.len(), cpus);
    assert!(
        steal
            .iter()
            .all(|(cpu, values)| *cpu > 0 && values.len() >= 2 && values.is_sorted())
    );
    let online = values(&dir, "cpu.online", "");
    assert!(
        online.len() == cpus && online.iter().all(|(_, values)| values == &[1]),
        "{online:?}"
    );
}

#[test]
fn pressure_is_sampled_where_the_kernel_tells_it() {
    if std::fs::read("/proc/pressure/cpu").is_err() {
        return println!("left out: pressure_is_sampled_where_the_kernel_tells_it: pressure is switched off");
    }
    let (_base, dir) = common::place();
    start(&dir).stop().expect("a recording");
    for resource in ["cpu", "io", "memory"] {
        let some = values(&dir, &format!("psi.{resource}.some"), "");
        assert!(some.len() == 1 && some[0].1.len() >= 2, "{resource}: {some:?}");
    }
}

/// A CPU that is taken away, and given back at the end.
struct Offline(&'static str);

impl Offline {
    fn take(path: &'static str) -> std::io::Result<Offline> {
        std::fs::write(path, "0").map(|()| Offline(path))
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0, "1");
    }
}

/// Takes CPU 1 away and gives it back, both seen by the recorder. `None`, said why, where that cannot be done.
fn go_and_come(recorder: &Recorder, test: &str) -> Option<()> {
    let has_note = |text: &str| recorder.notes().iter().any(|note| note.contains(text));
    let wait_for = |text: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !has_note(text) && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    match Offline::take("/sys/devices/system/cpu/cpu1/online") {
        Ok(offline) => {
            wait_for("CPU 1 went offline");
            drop(offline);
        }
        Err(error) => {
            println!("left out: {test}: {error}");
            return None;
        }
    }
    wait_for("CPU 1 came online");
    Some(())
}

#[test]
fn a_cpu_that_comes_again_is_a_loss_where_perf_events_record() {
    const NAME: &str = "a_cpu_that_comes_again_is_a_loss_where_perf_events_record";
    if !common::works("perf-events", NAME) {
        return;
    }
    let _mine = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let (_base, dir) = common::place();
    let mut options = common::kernel_options(&dir, Scope::System, None);
    if let Some(kernel) = &mut options.kernel {
        kernel.interface = Interface::PerfSwitches;
    }
    let recorder = Recorder::start(options).unwrap_or_else(|error| panic!("{error}"));
    if go_and_come(&recorder, NAME).is_none() {
        return;
    }
    recorder.stop().expect("a recording");
    let has_loss = |cpu: u32| {
        let last = segments(&dir, |kind| kind == FileKind::Cpu(cpu)).pop();
        last.is_some_and(|segment| segment.header.lost_before == LOST_UNKNOWN)
    };
    // The kernel takes its events away with the CPU, and nobody has a right any more to open others.
    assert_eq!([0, 1].map(has_loss), [false, true]);
}

#[test]
fn a_cpu_that_goes_and_comes_again_is_told() {
    const NAME: &str = "a_cpu_that_goes_and_comes_again_is_told";
    if !common::kernel_works(NAME) {
        return;
    }
    let _mine = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let (_base, dir) = common::place();
    let recorder = common::start(&dir, None);
    if go_and_come(&recorder, NAME).is_none() {
        return;
    }
    let summary = recorder.stop().expect("a recording");
    assert!(
        summary.notes.iter().any(|note| note.contains("CPU 1 came online")),
        "{summary:?}"
    );
    let online = values(&dir, "cpu.online", "");
    assert!(online.contains(&(2, vec![1, 0, 1])), "{online:?}");
    assert_eq!(summary.counts.kernel_lost, 0);
    let records = common::kernel_records(&dir);
    assert!(records.iter().any(|record| record.cpu == 1));
}
