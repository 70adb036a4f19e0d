//! `cargo xtask bench kernel`: two threads hand a byte to and fro through pipes on one CPU; what a scheduler switch costs, bare and recorded.

use super::{Way, compare};
use crate::{packages, workspace};
use anyhow::Result;
use std::process::Command;

/// Runs the benchmark.
pub fn run() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    if !packages::on_path("perf") {
        packages::ensure(&["linux-perf"])?;
    }
    let plumb = workspace::build_release()?;
    let pingpong = workspace::build_example("pingpong")?;
    let dir = workspace::fresh_dir("bench-kernel")?;
    let bare = pingpong.clone();
    let (plumb_dir, plumb_program) = (dir.clone(), pingpong.clone());
    let ways = [
        Way {
            name: "not recorded",
            command: Box::new(move |_| Ok(Command::new(&bare))),
        },
        Way {
            name: "plumb record (switch, waking)",
            command: Box::new(move |turn| {
                let mut command = Command::new(&plumb);
                command
                    .args(["record", "--no-jvm", "--no-merge", "-f", "kernel", "-o"])
                    .arg(plumb_dir.join(format!("plumb-{turn}")));
                command.arg("--").arg(&plumb_program);
                Ok(command)
            }),
        },
        perf(
            "perf record -e sched:sched_switch -a",
            &["record", "-q", "-e", "sched:sched_switch", "-a"],
            &dir,
            &pingpong,
        ),
        perf("perf sched record", &["sched", "record", "-q"], &dir, &pingpong),
    ];
    compare(&ways, &["ns_per_switch", "ns_per_switch_min"])
}

fn perf(
    name: &'static str,
    arguments: &'static [&'static str],
    dir: &std::path::Path,
    program: &std::path::Path,
) -> Way {
    let (out, program) = (dir.join("perf.data"), program.to_path_buf());
    let command = move |_| {
        let mut command = Command::new("perf");
        command.args(arguments).arg("-o").arg(&out).arg("--").arg(&program);
        Ok(command)
    };
    Way {
        name,
        command: Box::new(command),
    }
}
