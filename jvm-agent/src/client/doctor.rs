//! `plumb doctor`'s part for JVMs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::agent_library;

/// Something that works on this machine, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What was found.
    pub why: String,
    /// What to do about it; empty where it works.
    pub remedy: String,
}

/// A JVM that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JvmProcess {
    /// Process id.
    pub pid: u32,
    /// The begin of its command line.
    pub command: String,
}

/// The agent's library, Java, the JVMs that run.
#[must_use]
pub fn checks() -> Vec<Check> {
    vec![library(), java(), jvms()]
}

fn check(name: &str, result: Result<String, (String, &str)>) -> Check {
    let name = name.to_owned();
    match result {
        Ok(why) => Check {
            name,
            ok: true,
            why,
            remedy: String::new(),
        },
        Err((why, remedy)) => Check {
            name,
            ok: false,
            why,
            remedy: remedy.to_owned(),
        },
    }
}

fn library() -> Check {
    let found = agent_library();
    check(
        "agent library",
        match &found {
            Ok(path) => Ok(path.display().to_string()),
            Err(error) => Err((error.to_string(), error.remedy())),
        },
    )
}

fn java() -> Check {
    let found = javas();
    let list = found
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let remedy = "only needed to start Java here: apt-get install openjdk-17-jre-headless";
    check(
        "java",
        if found.is_empty() {
            Err(("no java on PATH, in JAVA_HOME or in /usr/lib/jvm".into(), remedy))
        } else {
            Ok(list)
        },
    )
}

fn jvms() -> Check {
    let found = running_jvms();
    let list = found
        .iter()
        .map(|jvm| format!("{} ({})", jvm.pid, jvm.command))
        .collect::<Vec<_>>()
        .join(", ");
    // None running is no fault of the machine's.
    check(
        "JVMs running",
        Ok(if found.is_empty() {
            "none that we may see".into()
        } else {
            list
        }),
    )
}

fn javas() -> Vec<PathBuf> {
    let on_path = env::var_os("PATH").map(|path| {
        env::split_paths(&path)
            .map(|directory| directory.join("java"))
            .collect()
    });
    let mut candidates: Vec<PathBuf> = on_path.unwrap_or_default();
    candidates.extend(env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")));
    let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    candidates.extend(installed.map(|entry| entry.path().join("bin/java")));
    let mut found: Vec<PathBuf> = candidates.iter().filter_map(|path| path.canonicalize().ok()).collect();
    found.sort();
    found.dedup();
    found
}

/// The JVMs that run and that we may look at.
#[must_use]
pub fn running_jvms() -> Vec<JvmProcess> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut jvms: Vec<_> = pids
        .filter(|&pid| is_jvm(pid))
        .map(|pid| JvmProcess {
            pid,
            command: command(pid),
        })
        .collect();
    jvms.sort_by_key(|jvm| jvm.pid);
    jvms
}

fn is_jvm(pid: u32) -> bool {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.split(|&byte| byte == b'\n')
        .any(|line| line.ends_with(b"/libjvm.so"))
}

fn command(pid: u32) -> String {
    const LENGTH_MAX: usize = 80;
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.chars()
        .filter(|character| !character.is_control())
        .take(LENGTH_MAX)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_that_fails_has_a_remedy() {
        for check in checks() {
            assert!(!check.why.is_empty(), "{check:?}");
            assert_eq!(check.remedy.is_empty(), check.ok, "{check:?}");
        }
    }
}
