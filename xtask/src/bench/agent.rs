//! `cargo xtask bench agent`: bursts of calls of one small hot method; what a call costs bare, recorded by plumb, and as a JFR event.

use super::{Way, compare};
use crate::{jdk, packages, workspace};
use anyhow::Result;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Runs the benchmark on JDK 17.
pub fn run() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    let plumb = workspace::build_release()?;
    let dir = workspace::fresh_dir("bench-agent")?;
    let source = workspace::root().join("examples/hot");
    jdk::compile(&workspace::files_below(&source, ".java")?, None, &dir)?;
    let java = jdk::jdk17()?.join("bin/java");
    let rules = source.join("rules.toml");
    let jfr = format!(
        "-XX:StartFlightRecording=filename={},settings=none",
        dir.join("hot.jfr").display()
    );
    let ways = [
        java_way("not recorded", Vec::new(), &java, &dir, "bare", None),
        java_way(
            "plumb record (enter and exit)",
            Vec::new(),
            &java,
            &dir,
            "bare",
            Some((plumb, rules)),
        ),
        java_way(
            "JFR event of our own, no threshold",
            vec![jfr],
            &java,
            &dir,
            "jfr",
            None,
        ),
    ];
    compare(&ways, &["ns_per_call", "ns_per_call_min"])
}

fn java_way(
    name: &'static str,
    jvm_options: Vec<String>,
    java: &Path,
    classes: &Path,
    mode: &'static str,
    plumb: Option<(PathBuf, PathBuf)>,
) -> Way {
    let (java, classes) = (java.to_path_buf(), classes.to_path_buf());
    let command = move |turn| {
        let mut command = match &plumb {
            None => Command::new(&java),
            Some((plumb, rules)) => {
                let mut command = Command::new(plumb);
                command.args(["record", "--no-kernel", "--no-merge", "-f"]).arg(rules);
                command
                    .arg("-o")
                    .arg(classes.join(format!("plumb-{turn}")))
                    .arg("--")
                    .arg(&java);
                command
            }
        };
        command.args(&jvm_options).arg("-cp").arg(&classes).args(["Hot", mode]);
        Ok(command)
    };
    Way {
        name,
        command: Box::new(command),
    }
}
