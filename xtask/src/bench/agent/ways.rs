//! The ways of calling, each a command.

use crate::workspace;
use std::{path::PathBuf, process::Command};

/// Where things are.
pub struct Places {
    pub java: PathBuf,
    /// The compiled program, and room for recordings.
    pub dir: PathBuf,
    pub plumb: PathBuf,
    /// The library of native calls that read the clock.
    pub floor: PathBuf,
}

/// One way.
pub struct Way {
    pub name: &'static str,
    kind: Kind,
    threads: usize,
}

enum Kind {
    Bare,
    Floor,
    /// With these rules of examples/hot.
    Plumb(&'static str),
    Left,
    Jfr,
}

/// Places of the ways in [`all`].
pub const BARE: usize = 0;
pub const FLOOR: usize = 1;
pub const PLUMB: usize = 2;
pub const MIN: usize = 3;
pub const LEFT: usize = 4;
pub const JFR: usize = 5;
pub const THREADS: [usize; 2] = [6, 7];

/// All of them.
pub fn all() -> [Way; 8] {
    [
        ("not recorded", Kind::Bare, 1),
        ("two native calls that read the clock", Kind::Floor, 1),
        ("plumb: enter and exit", Kind::Plumb("rules.toml"), 1),
        ("plumb: filtered by min", Kind::Plumb("min.toml"), 1),
        ("plumb has left", Kind::Left, 1),
        ("JFR event of our own, no threshold", Kind::Jfr, 1),
        ("plumb: enter and exit, 2 threads", Kind::Plumb("rules.toml"), 2),
        ("plumb: enter and exit, 8 threads", Kind::Plumb("rules.toml"), 8),
    ]
    .map(|(name, kind, threads)| Way { name, kind, threads })
}

impl Way {
    /// What to run in this turn.
    pub fn command(&self, places: &Places, turn: usize) -> Command {
        let Places {
            java,
            dir,
            plumb,
            floor,
        } = places;
        let recording = dir.join(format!("recording-{turn}"));
        // That of the way before: full disks are no part of this.
        let _ = std::fs::remove_dir_all(&recording);
        let mut command = match &self.kind {
            Kind::Plumb(rules) => {
                let mut command = Command::new(plumb);
                command.args(["record", "--no-kernel", "--no-merge", "-f"]);
                command.arg(workspace::root().join("examples/hot").join(rules));
                command.arg("-o").arg(&recording).arg("--").arg(java);
                command
            }
            _ => Command::new(java),
        };
        if matches!(self.kind, Kind::Jfr) {
            let file = dir.join("hot.jfr");
            command.arg(format!(
                "-XX:StartFlightRecording=filename={},settings=none",
                file.display()
            ));
        }
        command.arg("-cp").arg(dir).arg("Hot");
        let mode = match self.kind {
            Kind::Bare | Kind::Plumb(_) => "bare",
            Kind::Floor => "ticks",
            Kind::Left => "left",
            Kind::Jfr => "jfr",
        };
        command.args([mode, &self.threads.to_string()]);
        match self.kind {
            Kind::Floor => drop(command.arg(floor)),
            Kind::Left => {
                command.arg(plumb);
                command.args([
                    "record",
                    "--no-kernel",
                    "--no-merge",
                    "-d",
                    "500ms",
                    "--pid",
                    "PID",
                    "-f",
                ]);
                command.arg(workspace::root().join("examples/hot/rules.toml"));
                command.arg("-o").arg(&recording);
            }
            _ => {}
        }
        command
    }
}
