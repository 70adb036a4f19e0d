//! A CPU that goes while threads run there, and comes again: they go on elsewhere, and nothing of them is missing.

use crate::support::{Running, allows, check_rows, example, machine, open, plumb, say, scratch};
use plumb_trace::timeline::Query;
use std::{
    fs,
    io::{self, Write},
};

/// Its switch.
const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

/// The CPU is away as long as this lives.
struct Offline;

impl Offline {
    fn take() -> io::Result<Offline> {
        fs::write(ONLINE, "0").map(|()| Offline)
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        let _ = fs::write(ONLINE, "1");
    }
}

/// A game from its begin to its end.
fn play(recorder: &mut Running) {
    writeln!(recorder.stdin()).expect("the script reads");
    recorder.line_with("ns_per_switch");
}

#[test]
fn a_cpu_that_goes_takes_no_record_and_no_time_of_a_thread_with_it() {
    const NAME: &str = "a_cpu_that_goes_takes_no_record_and_no_time_of_a_thread_with_it";
    if !allows("kernel-events", NAME) {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let pingpong = example("pingpong");
    let script = format!("while read line; do {}; done", pingpong.display());
    let mut recorder = plumb();
    recorder.args(["record", "--no-jvm", "-f", "kernel", "-o"]);
    recorder.arg(dir.path().join("r")).args(["--", "sh", "-c", &script]);
    let mut recorder = Running::start(&mut recorder);
    recorder.line_with("recording");
    play(&mut recorder);
    match Offline::take() {
        Ok(_away) => play(&mut recorder),
        Err(error) => return say(&format!("cannot run {NAME} on this machine: {error}")),
    }
    play(&mut recorder);
    let (status, said) = recorder.end();
    assert!(status.success(), "{said}");
    assert!(
        said.contains("CPU 1 went offline") && said.contains("CPU 1 came online"),
        "{said}"
    );
    let path = dir.path().join("r.plumb");
    assert_eq!(open(&path).losses(), []);
    let players = check_rows(&path)
        .into_iter()
        .filter(|row| row["process"].as_str().is_some_and(|name| name.contains("pingpong")));
    assert!(players.count() >= 6, "three games of two");
}
