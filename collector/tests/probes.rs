//! Probes of libjvm, against the JVM's own log of its safepoints.

mod common;

use common::{kernel_records, kernel_works, place};
use plumb_collector::{Extras, KernelOptions, Options, Recorder, Scope};
use plumb_trace::record::{KernelKind, KernelRecord, flags, probe};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A JVM that does a thing for each line that it reads, and answers with a line; killed at the end.
struct Jvm {
    child: Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

const PROGRAM: &str = "import java.util.Scanner;
public class Obedient {
    public static void main(String[] a) throws Exception {
        System.out.println(\"ready\");
        for (Scanner in = new Scanner(System.in); in.hasNextLine();) {
            switch (in.nextLine()) {
                case \"gc\": System.gc(); break;
                case \"park\": java.util.concurrent.locks.LockSupport.parkNanos(1_000_000); break;
                default: Thread.getAllStackTraces();
            }
            System.out.println(\"done\");
        }
    }
}";

impl Jvm {
    fn start(home: &Path, dir: &Path, log: &Path) -> Jvm {
        let source = dir.join("Obedient.java");
        std::fs::write(&source, PROGRAM).expect("a file");
        let mut java = Command::new(home.join("bin/java"));
        java.arg(format!("-Xlog:safepoint:file={}", log.display()))
            .arg("-Xmx64m")
            .arg(source);
        let piped = java.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().expect("java");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut jvm = Jvm { child, answers };
        jvm.answer();
        jvm
    }

    fn answer(&mut self) -> String {
        self.answers.next().expect("an answer").expect("text")
    }

    fn obey(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{what}").expect("it reads");
        assert_eq!(self.answer(), "done");
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn homes() -> Vec<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let homes = installed
        .map(|entry| entry.path())
        .filter(|home| home.is_dir() && !home.is_symlink());
    let homes: Vec<PathBuf> = homes
        .filter(|home| home.join("bin/java").exists() && home.join("lib/server/libjvm.so").exists())
        .collect();
    if homes.is_empty() {
        println!("left out: JVMs: /usr/lib/jvm has none");
    }
    homes
}

fn record(dir: &Path, targets: Vec<u32>, extras: Extras) -> Recorder {
    let options = Options {
        dir: dir.to_owned(),
        targets,
        kernel: Some(KernelOptions {
            scope: Scope::Tree,
            extras,
            ..KernelOptions::default()
        }),
        ..Options::default()
    };
    Recorder::start(options).unwrap_or_else(|error| panic!("{error}"))
}

/// The probes' records: what, and the name with all its parts.
fn probes(dir: &Path, pid: u32) -> Vec<(u32, String, u64)> {
    let mut found: Vec<(u32, String, u64)> = Vec::new();
    let mut goes_on = false;
    let is_probe = |record: &&KernelRecord| record.kind == KernelKind::Probe as u8;
    for record in kernel_records(dir).iter().filter(is_probe) {
        assert_eq!(record.pid, pid, "only who is in scope");
        let name = String::from_utf8(record.name_part()).expect("text");
        match found.last_mut() {
            Some(last) if goes_on => last.1.push_str(&name),
            _ => found.push((record.value, name, record.time_ns)),
        }
        goes_on = record.flags & flags::MORE != 0;
    }
    found
}

#[test]
fn safepoints_are_those_of_the_jvm_s_log() {
    if !kernel_works("safepoints_are_those_of_the_jvm_s_log") {
        return;
    }
    for home in homes() {
        let (base, dir) = place();
        let log = base.path().join("safepoints.log");
        let mut jvm = Jvm::start(&home, base.path(), &log);
        // One that is not in scope has the same libjvm.
        let mut other = Jvm::start(&home, base.path(), &base.path().join("other.log"));
        let before = logged(&log).len();
        let extras = Extras {
            safepoints: true,
            ..Extras::default()
        };
        let recorder = record(&dir, vec![jvm.child.id()], extras);
        for _ in 0..5 {
            jvm.obey("gc");
            jvm.obey("dump");
            other.obey("gc");
        }
        let summary = recorder.stop().expect("a recording");
        println!("{}:", home.display());
        assert_eq!(about_probes(&summary.notes), Vec::<&String>::new());
        let told = probes(&dir, jvm.child.id());
        let logged = &logged(&log)[before..];
        check(&told, logged);
    }
}

fn about_probes(notes: &[String]) -> Vec<&String> {
    notes.iter().filter(|note| note.contains("JVM")).collect()
}

/// Names and total times, ns, of the safepoints in a log.
fn logged(log: &Path) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(log).expect("a log");
    let lines = text.lines().filter_map(|line| line.split_once("Safepoint \""));
    let parse = |line: &str| {
        let (name, rest) = line.split_once('"')?;
        let total = rest.rsplit_once("Total: ")?.1.split(' ').next()?.parse().ok()?;
        Some((name.to_owned(), total))
    };
    lines
        .map(|(_, line)| parse(line).unwrap_or_else(|| panic!("{line}")))
        .collect()
}

fn check(told: &[(u32, String, u64)], logged: &[(String, u64)]) {
    let of = |what: u32| told.iter().filter(move |probe| probe.0 == what);
    let names: Vec<&str> = of(probe::OPERATION_BEGIN).map(|(_, name, _)| name.as_str()).collect();
    assert!(logged.len() >= 10, "{logged:?}");
    // The JVM has safepoints of its own accord too (its log calls one "Cleanup"), some without an operation, some while the probes are being attached.
    let is_asked = |name: &str| ["G1CollectFull", "ThreadDump"].contains(&name);
    let asked = logged.iter().filter(|(name, _)| is_asked(name)).count();
    assert_eq!(
        names.iter().filter(|name| is_asked(name)).count(),
        asked,
        "{names:?} of {logged:?}"
    );
    let all = asked..=logged.len();
    let (begun, ended) = (of(probe::SAFEPOINT_BEGIN).count(), of(probe::SAFEPOINT_END).count());
    assert!(begun == ended && all.contains(&begun), "{begun} and {ended} of {all:?}");
    let told_ns: u64 = of(probe::SAFEPOINT_END).map(|end| end.2).sum::<u64>()
        - of(probe::SAFEPOINT_BEGIN).map(|begin| begin.2).sum::<u64>();
    let logged_ns: u64 = logged.iter().map(|(_, total)| total).sum();
    println!("  {logged:?}\n  together {logged_ns} ns, by the probes {told_ns}");
    // The VM thread may lose its CPU between a probe and the log's reading of the clock: at the end, while it writes the log.
    assert!(told_ns >= logged_ns / 10 * 9 && told_ns <= logged_ns * 2, "{told_ns}");
}

#[test]
fn parks_begin_and_end() {
    if !kernel_works("parks_begin_and_end") {
        return;
    }
    for home in homes() {
        let (base, dir) = place();
        let mut jvm = Jvm::start(&home, base.path(), &base.path().join("log"));
        let extras = Extras {
            parks: true,
            ..Extras::default()
        };
        let recorder = record(&dir, vec![jvm.child.id()], extras);
        (0..10).for_each(|_| jvm.obey("park"));
        let summary = recorder.stop().expect("a recording");
        assert_eq!(about_probes(&summary.notes), Vec::<&String>::new());
        let told = probes(&dir, jvm.child.id());
        let of = |what: u32| told.iter().filter(|probe| probe.0 == what).count();
        assert!(of(probe::PARK_BEGIN) >= 10 && of(probe::PARK_END) >= 10, "{told:?}");
        assert_eq!(of(probe::SAFEPOINT_BEGIN), 0);
    }
}
