//! The Java runtimes that tests run on, for all tests that need some, and for `cargo xtask`, which brings them: included by its path.
//!
//! One that is named here and not there is said, and not tested on; of those that are tested on request nobody speaks who was not asked.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The test matrix: a release of Java a line.
pub const RELEASES: [&str; 4] = [
    "11", //
    "17", "21", "25",
];

/// Those that are tested on only where the environment names a runtime of theirs: what they cost is minutes.
pub const ON_REQUEST: [&str; 1] = ["11"];

/// The release that the tests' programs are compiled for: the earliest of them.
pub const COMPILED_FOR: &str = RELEASES[0];

/// Where systems keep their runtimes.
pub const JVM_DIR: &str = "/usr/lib/jvm";

/// A Java runtime.
#[derive(Clone, Debug)]
pub struct Jdk {
    /// Its release, as in `17`.
    pub name: &'static str,
    pub home: PathBuf,
}

/// Tells what could not be run: past the test harness, which hides what tests that pass have printed.
pub fn say(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// The runtimes to test on: those that the environment names (`PLUMB_JDK17` and the like), else those that are installed. `say` is told of each that is missing.
pub fn found(say: fn(&str)) -> Vec<Jdk> {
    RELEASES.into_iter().filter_map(|name| find(name, say)).collect()
}

fn find(name: &'static str, say: fn(&str)) -> Option<Jdk> {
    let variable = format!("PLUMB_JDK{name}");
    let home = match env::var_os(&variable) {
        Some(home) => Some(PathBuf::from(home)),
        None if ON_REQUEST.contains(&name) => return None,
        None => installed(name),
    };
    let home = home.filter(|home| has(home, "java"));
    if home.is_none() {
        say(&format!(
            "cannot run with JDK {name}: there is none in {JVM_DIR}, or where {variable} says; `cargo xtask test` brings it"
        ));
    }
    Some(Jdk { name, home: home? })
}

/// The home of one that is installed, of those with a compiler if there are any.
pub fn installed(name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(JVM_DIR).ok()?.flatten();
    let of_release = entries.filter(|entry| release_in(&entry.file_name().to_string_lossy()).as_deref() == Some(name));
    let mut homes: Vec<PathBuf> = of_release.map(|entry| entry.path()).collect();
    // One with a compiler first, and the same one each time.
    homes.sort_by_key(|home| (!has(home, "javac"), home.clone()));
    homes.into_iter().find(|home| has(home, "java"))
}

fn has(home: &Path, program: &str) -> bool {
    home.join("bin").join(program).is_file()
}

/// `17` of `java-17-openjdk-amd64`, `java-1.17.0-openjdk-amd64` and `jdk-17.0.11`.
fn release_in(directory: &str) -> Option<String> {
    let numbers = directory.split(|letter: char| !letter.is_ascii_digit());
    let mut numbers = numbers.filter(|number| !number.is_empty() && *number != "1");
    numbers.next().map(str::to_owned)
}

impl Jdk {
    /// One of its programs, which need not be there.
    pub fn program(&self, name: &str) -> PathBuf {
        self.home.join("bin").join(name)
    }

    /// Whether it is of this release or a later one.
    pub fn is_at_least(&self, release: u32) -> bool {
        self.name.parse::<u32>().is_ok_and(|own| own >= release)
    }
}

#[test]
fn releases_are_read_off_the_names_that_systems_give() {
    let names = [
        "java-1.17.0-openjdk-amd64",
        "temurin-25-jdk-amd64",
        "jdk-17.0.11",
        "default-java",
    ];
    let releases = names.map(release_in);
    assert_eq!(
        releases,
        [Some("17"), Some("25"), Some("17"), None].map(|release| release.map(str::to_owned))
    );
}
