//! Scopes: whose wakeups and blocking calls are recorded. Switches are recorded of everybody.

mod common;

use common::threads::gettid;
use common::{Quota, kernel_records, kernel_works, place};
use plumb_collector::{KernelOptions, Options, Recorder, Scope, Selectors};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A user that owns nothing here.
const NOBODY: u32 = 65_534;

fn record(dir: &Path, selectors: Selectors) -> Recorder {
    let kernel = Some(KernelOptions {
        scope: Scope::Selected,
        selectors,
        ..KernelOptions::default()
    });
    let dir = dir.to_owned();
    let options = Options {
        dir,
        kernel,
        ..Options::default()
    };
    Recorder::start(options).unwrap_or_else(|error| panic!("{error}"))
}

fn wakeups<'a>(records: &'a [KernelRecord], wanted: impl Fn(&KernelRecord) -> bool + 'a) -> Vec<&'a KernelRecord> {
    let wakeup = |record: &&KernelRecord| record.kind == KernelKind::Waking as u8 && wanted(record);
    records.iter().filter(wakeup).collect()
}

fn naps(count: usize) {
    (0..count).for_each(|_| thread::sleep(Duration::from_millis(1)));
}

fn rename(name: &str) {
    std::fs::write("/proc/thread-self/comm", name).expect("a name");
}

#[test]
fn threads_by_name_also_when_they_are_renamed() {
    if !kernel_works("threads_by_name_also_when_they_are_renamed") {
        return;
    }
    let (_base, dir) = place();
    let start = |name: &str, body: fn()| {
        let body = move || {
            body();
            gettid()
        };
        thread::Builder::new().name(name.into()).spawn(body).expect("a thread")
    };
    let recorder = record(
        &dir,
        Selectors {
            threads: vec!["plumb-scope-*-wanted".into()],
            ..Selectors::default()
        },
    );
    // The kernel knows it as `plumb-scope-1-w`.
    let always = start("plumb-scope-1-wanted", || naps(100));
    let never = start("plumb-other", || naps(100));
    let later = start("plumb-later", || {
        naps(20);
        rename("plumb-scope-2-w");
        naps(400);
    });
    let earlier = start("plumb-scope-3-w", || {
        naps(100);
        rename("plumb-no-more");
        naps(400);
    });
    let [always, never, later, earlier] = [always, never, later, earlier].map(|it| it.join().expect("a thread"));
    recorder.stop().expect("a recording");
    let records = kernel_records(&dir);
    let of = |tid| wakeups(&records, move |record| record.tid == tid);
    assert!(of(always).len() > 10, "{}", of(always).len());
    assert!(of(later).len() > 10, "{}", of(later).len());
    assert!(
        of(earlier).len() > 10 && of(earlier).len() < 400,
        "{}",
        of(earlier).len()
    );
    assert_eq!(wakeups(&records, move |record| record.tid == never).len(), 0);

    let out = |wanted: u32| {
        records
            .iter()
            .filter(move |record| record.kind == KernelKind::Switch as u8 && record.tid == wanted)
    };
    let told = |record: &&KernelRecord| record.flags & flags::SYSCALL != 0;
    assert!(out(never).count() >= 100, "that it held a CPU is recorded");
    assert_eq!(out(never).filter(told).count(), 0, "and not what it waited for");
    assert!(out(always).filter(told).count() > 10);
}

#[test]
fn threads_of_a_user() {
    if !kernel_works("threads_of_a_user") {
        return;
    }
    let (_base, dir) = place();
    let recorder = record(
        &dir,
        Selectors {
            users: vec![NOBODY],
            ..Selectors::default()
        },
    );
    let mut child = match Command::new("sleep").arg("0.1").uid(NOBODY).current_dir("/").spawn() {
        Ok(child) => child,
        Err(error) => return println!("left out: threads_of_a_user: {error}"),
    };
    naps(50);
    let pid = child.id();
    child.wait().expect("its end");
    recorder.stop().expect("a recording");
    let records = kernel_records(&dir);
    assert!(!wakeups(&records, |record| record.pid == pid).is_empty());
    assert!(wakeups(&records, |record| record.pid == std::process::id()).is_empty());
}

#[test]
fn threads_in_a_cgroup_also_one_that_is_made_later() {
    const NAME: &str = "threads_in_a_cgroup_also_one_that_is_made_later";
    if !kernel_works(NAME) {
        return;
    }
    let (_base, dir) = place();
    let recorder = record(
        &dir,
        Selectors {
            cgroups: vec!["/plumb-test-scope*".into()],
            ..Selectors::default()
        },
    );
    let quota = match Quota::new("scope") {
        Ok(quota) => quota,
        Err(error) => return println!("left out: {NAME}: no cpu cgroup can be made: {error}"),
    };
    // Long enough that the cgroup is looked for meanwhile.
    let script = format!(
        "echo $$ > {}/cgroup.procs; i=0; while [ $i -lt 30 ]; do sleep 0.1; i=$((i+1)); done",
        quota.path.display()
    );
    let mut child = Command::new("sh").args(["-c", &script]).spawn().expect("sh");
    let pid = child.id();
    child.wait().expect("its end");
    recorder.stop().expect("a recording");
    let records = kernel_records(&dir);
    // The shell waits for each sleep.
    assert!(!wakeups(&records, |record| record.pid == pid).is_empty());
    assert!(wakeups(&records, |record| record.pid == std::process::id()).is_empty());
}
