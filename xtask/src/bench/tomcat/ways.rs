//! Who records the server: plumb by two presets, JFR, perf.

use crate::bench::recording::Recording;
use crate::process::{self, Background, bound};
use anyhow::{Context, Result};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// After a start or an end, so that what it caused is over.
const SETTLE: Duration = Duration::from_secs(1);

/// One way of recording.
pub struct Way {
    pub name: &'static str,
    pub is_plumb: bool,
    recorder: Recorder,
    dir: PathBuf,
}

enum Recorder {
    Plumb {
        program: PathBuf,
        preset: &'static str,
        pid: u32,
    },
    Jfr {
        jcmd: PathBuf,
        pid: u32,
    },
    Perf,
}

/// A recording that goes on.
pub enum Running {
    Plumb(Recording),
    Program(Background),
    Jfr(Command),
}

/// All of them.
pub fn all(plumb: &Path, home: &Path, dir: &Path, pid: u32) -> Vec<Way> {
    let plumb = |preset| Recorder::Plumb {
        program: plumb.to_owned(),
        preset,
        pid,
    };
    let jcmd = home.join("bin/jcmd");
    [
        ("plumb record -f tomcat", true, plumb("tomcat")),
        ("plumb record -f jvm", true, plumb("jvm")),
        ("JFR, settings=profile", false, Recorder::Jfr { jcmd, pid }),
        ("perf sched record", false, Recorder::Perf),
    ]
    .into_iter()
    .map(|(name, is_plumb, recorder)| Way {
        name,
        is_plumb,
        recorder,
        dir: dir.to_owned(),
    })
    .collect()
}

impl Way {
    /// Starts it and waits until it records.
    pub fn start(&self, name: &str) -> Result<Running> {
        let running = match &self.recorder {
            Recorder::Plumb { program, preset, pid } => {
                let name = format!("{preset}-{name}");
                Running::Plumb(Recording::start(program, preset, *pid, &self.dir, &name)?)
            }
            Recorder::Jfr { jcmd, pid } => {
                let file = self.dir.join("bench.jfr");
                let jcmd = |arguments: &[&str]| {
                    let mut command = Command::new(jcmd);
                    command.arg(pid.to_string()).args(arguments);
                    command
                };
                let filename = format!("filename={}", file.display());
                process::output(&mut jcmd(&["JFR.start", "name=bench", "settings=profile", &filename]))?;
                Running::Jfr(jcmd(&["JFR.stop", "name=bench"]))
            }
            Recorder::Perf => {
                let mut perf = bound("perf");
                perf.args(["sched", "record", "-q", "-o"])
                    .arg(self.dir.join("perf.data"))
                    .args(["--", "sleep", "1h"]);
                Running::Program(Background::start("perf", perf.stderr(self.log()?))?)
            }
        };
        std::thread::sleep(SETTLE);
        Ok(running)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("recorder.log")
    }

    fn log(&self) -> Result<File> {
        File::create(self.log_path()).context("cannot write the recorder's log")
    }
}

impl Running {
    /// Ends it.
    pub fn stop(self) -> Result<()> {
        match self {
            Running::Plumb(recording) => recording.stop()?,
            Running::Program(mut program) => program.interrupt()?,
            Running::Jfr(mut stop) => drop(process::output(&mut stop)?),
        }
        std::thread::sleep(SETTLE);
        Ok(())
    }
}
