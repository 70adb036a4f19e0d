//! A recorder that is killed leaves nothing in the kernel: its programs, links and maps live by its descriptors alone.

mod common;

use aya::programs::loaded_programs;
use common::killed::{record_until_killed, start_recorder};
use common::{kernel_works, place};
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

/// Not a test: the recorder of the next one, in a process of its own that can be killed.
#[test]
fn recorder_to_be_killed() {
    record_until_killed(thread::park);
}

/// Numbers of the programs that a process holds.
fn programs_of(pid: u32) -> HashSet<u32> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .into_iter()
        .flatten()
        .flatten();
    let texts = descriptors.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let number = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        line.and_then(|number| number.trim().parse().ok())
    };
    texts.filter_map(number).collect()
}

fn loaded() -> HashSet<u32> {
    loaded_programs().flatten().map(|program| program.id()).collect()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_recorder_leaves_no_program_in_the_kernel() {
    if !kernel_works("a_killed_recorder_leaves_no_program_in_the_kernel") {
        return;
    }
    let (_base, dir) = place();
    let mut child = start_recorder(&dir);
    wait_until("the recording to grow", || {
        std::fs::metadata(dir.join("cpu-0.seg")).is_ok_and(|file| file.len() > 1000)
    });
    let programs = programs_of(child.id());
    let before = loaded();
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    assert!(
        !programs.is_empty() && programs.is_subset(&before),
        "{programs:?} in {before:?}"
    );
    // The kernel frees them a moment after the last descriptor is closed.
    wait_until("the programs to go", || programs.is_disjoint(&loaded()));
}
