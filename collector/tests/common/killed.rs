//! A recorder in a process of its own, that can be killed.
//!
//! A test program that needs one has a test `recorder_to_be_killed` that is none: it calls [`record_until_killed`].

use super::start;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where the recording goes; set in that process alone.
const PLACE: &str = "PLUMB_TEST_RECORD_INTO";

/// Records, and does something again and again meanwhile; does nothing in any other process.
pub fn record_until_killed(mut meanwhile: impl FnMut()) {
    let Some(dir) = std::env::var_os(PLACE) else {
        return;
    };
    let _recorder = start(Path::new(&dir), None);
    loop {
        meanwhile();
    }
}

/// Starts this program again, as such a recorder.
pub fn start_recorder(dir: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["recorder_to_be_killed", "--exact", "--nocapture"])
        .env(PLACE, dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("a recorder")
}
