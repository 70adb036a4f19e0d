//! What the tests share: the command, the programs that keep books, the JDKs, and what this machine allows.

use plumb_trace::timeline::{Query, TimelineFile, Track, TrackId, TrackKind};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a condition is waited for before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// One test at a time has the machine: recordings of each other would only make them slow.
pub fn machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The command under test.
pub fn plumb() -> Command {
    Command::new(env!("CARGO_BIN_EXE_plumb"))
}

/// A program of examples/.
pub fn example(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_plumb"))
        .with_file_name("examples")
        .join(name);
    assert!(
        program.exists(),
        "{} is not built: run `cargo build --examples`",
        program.display()
    );
    program
}

/// A file of the checkout.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// An empty directory, removed at the end of the test.
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Runs to the end and fails the test unless it succeeds; its standard output.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        told(&output)
    );
    String::from_utf8(output.stdout).expect("UTF-8 on standard output")
}

/// Standard output and error of a command that has ended.
pub fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The last line of JSON.
pub fn last_json(text: &str) -> Value {
    let last = text
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object));
    last.unwrap_or_else(|| panic!("no line of JSON in: {text}"))
}

pub use crate::jdks::say;

/// Whether this machine allows what `doctor` calls `check`; tells which test cannot run, and why. Only for what the machine may deny: what plumb itself brings
/// (the agent's library) is never a reason to leave a test out.
pub fn allows(check: &str, test: &str) -> bool {
    static DOCTOR: OnceLock<Value> = OnceLock::new();
    let doctor = DOCTOR.get_or_init(|| {
        let output = plumb().args(["doctor", "--json"]).output().expect("plumb doctor runs");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("plumb doctor --json: {error}: {}", told(&output)))
    });
    let found = doctor["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|found| found["name"] == check);
    let found = found.unwrap_or_else(|| panic!("plumb doctor has no check {check}: {doctor}"));
    if found["ok"] != true {
        say(&format!("cannot run {test} on this machine: {check}: {}", found["why"]));
    }
    found["ok"] == true
}

/// The Java runtimes to test with: (version, home).
pub fn jdks() -> Vec<(&'static str, PathBuf)> {
    jdks_from(0)
}

/// Those of this release and later ones.
pub fn jdks_from(release: u32) -> Vec<(&'static str, PathBuf)> {
    let found = crate::jdks::found(say).into_iter();
    let late = found.filter(|jdk| jdk.is_at_least(release));
    late.map(|jdk| (jdk.name, jdk.home)).collect()
}

/// A program of the JDK's, of one that has it.
pub fn jdk_program(name: &str) -> PathBuf {
    let programs = crate::jdks::found(|_| {}).into_iter().map(|jdk| jdk.program(name));
    let found = programs.into_iter().find(|program| program.exists());
    found.unwrap_or_else(|| panic!("no JDK has a {name}: `cargo xtask test` brings one"))
}

/// The compiled programs of examples/calls.
pub fn java_classes() -> &'static Path {
    classes_of("examples/calls/src")
}

/// The compiled programs of a directory of the checkout.
pub fn classes_of(directory: &'static str) -> &'static Path {
    classes_with(directory, "")
}

/// The same of programs that need this class path.
pub fn classes_with(directory: &'static str, classpath: &str) -> &'static Path {
    static CLASSES: Mutex<Vec<(&str, &Path)>> = Mutex::new(Vec::new());
    let mut compiled = CLASSES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, classes)) = compiled.iter().find(|(of, _)| *of == directory) {
        return classes;
    }
    let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory.replace('/', "-"));
    let sources = std::fs::read_dir(checkout(directory)).expect("the sources").flatten();
    let sources = sources
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "java"));
    succeed(
        Command::new(jdk_program("javac"))
            .args(["--release", crate::jdks::COMPILED_FOR, "-cp", classpath, "-d"])
            .arg(&classes)
            .args(sources),
    );
    // For all tests of this run.
    let classes: &Path = Box::leak(classes.into_boxed_path());
    compiled.push((directory, classes));
    classes
}

/// A `java` command with the classes of examples/calls.
pub fn java(home: &Path, arguments: &[&str]) -> Command {
    let mut java = Command::new(home.join("bin/java"));
    java.arg("-cp").arg(java_classes()).args(arguments);
    java
}

/// `plumb record ARGUMENTS -o DIR/r -- COMMAND`, merged: what the command printed, and the timeline.
pub fn record(dir: &Path, arguments: &[&str], command: &Command) -> (String, TimelineFile) {
    let mut recorder = plumb();
    recorder
        .arg("record")
        .args(arguments)
        .arg("-o")
        .arg(dir.join("r"))
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    let printed = succeed(&mut recorder);
    (printed, open(&dir.join("r.plumb")))
}

/// `plumb record ARGUMENTS --pid PID -o DIR`, which records by now.
pub fn attach(arguments: &[&str], pid: u32, dir: &Path) -> Running {
    let mut recorder = plumb();
    recorder.arg("record").args(arguments);
    let mut recorder = Running::start(recorder.args(["--pid", &pid.to_string(), "-o"]).arg(dir));
    recorder.line_with("recording");
    recorder
}

/// Ends a recording as Ctrl-C does.
pub fn interrupt(recorder: Running) {
    recorder.signal("INT");
    let (status, said) = recorder.end();
    assert!(status.success(), "{said}");
}

/// Opens a timeline.
pub fn open(path: &Path) -> TimelineFile {
    TimelineFile::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tracks of a kind, with their numbers.
pub fn tracks(timeline: &TimelineFile, kind: TrackKind) -> impl Iterator<Item = (TrackId, &Track)> {
    timeline
        .tracks()
        .iter()
        .enumerate()
        .filter(move |(_, track)| track.kind == kind)
        .map(|(index, track)| (TrackId(index as u32), track))
}

/// The track of a thread.
pub fn thread(timeline: &TimelineFile, tid: u64) -> TrackId {
    let found = tracks(timeline, TrackKind::Thread).find(|(_, track)| track.tid.map(u64::from) == Some(tid));
    found.unwrap_or_else(|| panic!("the timeline has no thread {tid}")).0
}

/// A number in JSON.
pub fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key} in {value}"))
}

/// The rows of a timeline's ledger, whose states sum to their lives.
pub fn check_rows(timeline: &Path) -> Vec<Value> {
    let told = succeed(plumb().args(["ledger", "--json"]).arg(timeline));
    let mut ledger: Value = serde_json::from_str(&told).expect("JSON");
    let Value::Array(rows) = ledger["rows"].take() else {
        panic!("no rows in {told}");
    };
    for row in &rows {
        let states = row["states_ns"].as_object().expect("states");
        let sum: u64 = states.values().map(|state| state.as_u64().expect("a number")).sum();
        assert_eq!(
            number(row, "end_ns") - number(row, "start_ns"),
            sum,
            "{}: {row}",
            timeline.display()
        );
    }
    rows
}

/// Waits until `condition` gives something.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A child with its output read line by line; killed at the end of the test.
pub struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    errors: Option<JoinHandle<()>>,
    seen: String,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Running {
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = std::sync::mpsc::channel();
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let of_errors = sender.clone();
        std::thread::spawn(move || forward(stdout, &sender));
        let errors = std::thread::spawn(move || forward(stderr, &of_errors));
        Running {
            child,
            lines,
            errors: Some(errors),
            seen: String::new(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("piped")
    }

    /// Waits for a line that holds `word`.
    pub fn line_with(&mut self, word: &str) -> String {
        let began = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(word) {
                return line;
            }
        }
        panic!("waited in vain for {word:?}; it said:\n{}", self.seen)
    }

    /// A line that holds `word`, which may have come while another one was waited for.
    pub fn said(&mut self, word: &str) -> String {
        let before = self.seen.lines().find(|line| line.contains(word)).map(str::to_owned);
        before.unwrap_or_else(|| self.line_with(word))
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: the program of that name is not on every machine.
        succeed(Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]));
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for its end: the status, and all that it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        drop(self.child.stdin.take());
        let status = wait_for("the end of a process", || {
            self.child.try_wait().expect("a child of ours")
        });
        if let Some(errors) = self.errors.take() {
            let _ = errors.join();
        }
        let rest: Vec<String> = self.lines.try_iter().collect();
        (status, std::mem::take(&mut self.seen) + &rest.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read, lines: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            break;
        }
    }
}
