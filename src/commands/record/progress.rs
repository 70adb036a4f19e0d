//! A line that says how far a recording is, where somebody watches.

use plumb_collector::Recorder;
use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(500);

/// The line; nothing where standard error is no terminal.
pub struct Progress {
    began: Instant,
    told: Option<Instant>,
    is_watched: bool,
}

impl Progress {
    /// Begins now.
    pub fn new() -> Progress {
        Progress {
            began: Instant::now(),
            told: None,
            is_watched: stderr().is_terminal(),
        }
    }

    /// Shows how far it is, now and then.
    pub fn tell(&mut self, recorder: &Recorder) {
        if !self.is_watched || self.told.is_some_and(|told| told.elapsed() < EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let counts = recorder.live();
        eprint!(
            "\r\x1b[K{:6.1} s  {} records  {} lost  {:.1} MB",
            self.began.elapsed().as_secs_f64(),
            counts.kernel_stored + counts.jvm_stored,
            counts.kernel_lost + counts.jvm_lost,
            counts.bytes as f64 / 1e6,
        );
        let _ = stderr().flush();
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.told.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
