//! JVMs for tests: where they are, what they run, how they are talked to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::jdks::COMPILED_FOR;
pub use super::jdks::Jdk;

/// No command of a test takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The runtimes to test on. What is missing is said.
pub fn jdks() -> Vec<Jdk> {
    let found = super::jdks::found(super::jdks::say);
    assert!(!found.is_empty(), "no Java at all: `cargo xtask test` brings it");
    found
}

/// Compiled test programs.
pub fn classes() -> &'static Path {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    CLASSES.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("agent-classes-{}", std::process::id()));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/agent");
        let output = Command::new("javac")
            .args(["--release", COMPILED_FOR, "-d"])
            .arg(&target)
            .arg("-sourcepath")
            .arg(&sources)
            .args(["Subject.java", "Fresh0000.java"].map(|source| sources.join(source)))
            .output()
            .expect("javac runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target
    })
}

/// A JVM that runs `Subject`; killed when dropped.
pub struct Subject {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    /// Lines that were no answers.
    others: Vec<String>,
    complaints: Option<thread::JoinHandle<String>>,
}

impl Subject {
    pub fn start(jdk: &Jdk, arguments: &[&str]) -> Subject {
        Subject::start_with(jdk, arguments, &[])
    }

    /// With these variables in its environment.
    pub fn start_with(jdk: &Jdk, arguments: &[&str], variables: &[(&str, &str)]) -> Subject {
        let mut command = Command::new(jdk.program("java"));
        command.envs(variables.iter().copied());
        Subject::run_with(command, arguments, classes())
    }

    /// As another user, if one is given, with the classes from this directory.
    pub fn start_as(jdk: &Jdk, arguments: &[&str], user: Option<u32>, classes: &Path) -> Subject {
        let mut command = Command::new(jdk.program("java"));
        if let Some(user) = user {
            command.uid(user).gid(user).current_dir("/");
        }
        Subject::run_with(command, arguments, classes)
    }

    fn run_with(mut command: Command, arguments: &[&str], classes: &Path) -> Subject {
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC"])
            .args(arguments)
            .arg("-cp")
            .arg(classes)
            .arg("Subject");
        Subject::run(&mut command)
    }

    /// A program that obeys as `Subject` does.
    pub fn run(command: &mut Command) -> Subject {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (commands, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut errors = child.stderr.take().expect("piped");
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut subject = Subject {
            child,
            commands,
            answers,
            others: Vec::new(),
            complaints: Some(complaints),
        };
        subject.wait_for("ready");
        subject
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something, and waits until it is done; gives what it counted.
    pub fn order(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the subject listens");
        self.wait_for("done")
    }

    /// The first line of output that begins so, without that begin. Other lines must be the JVM's own business.
    fn wait_for(&mut self, begin: &str) -> String {
        loop {
            let line = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                let _ = self.child.kill();
                let said = self.complaints.take().map(|thread| thread.join().unwrap_or_default());
                panic!("the subject does not say {begin:?}: {said:?}")
            });
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.trim().to_owned();
            }
            assert!(
                !line.starts_with("WARNING in native method")
                    && !line.contains("warning")
                    && !line.starts_with("FATAL ERROR"),
                "{line}"
            );
            self.others.push(line);
        }
    }

    /// Whether a line of its output so far, beside answers, has this text.
    pub fn has_said(&self, text: &str) -> bool {
        self.others.iter().any(|line| line.contains(text))
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as it wants to end, and gives what it wrote to stderr.
    pub fn quit(mut self) -> String {
        writeln!(self.commands, "quit").expect("the subject listens");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        self.complaints
            .take()
            .map(|thread| thread.join().unwrap_or_default())
            .unwrap_or_default()
    }

    /// Names of its Linux threads.
    pub fn thread_names(&self) -> io::Result<Vec<String>> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()))?;
        // A thread may end while we look.
        Ok(tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .collect())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.kill();
        // A JVM that is killed leaves its attach socket behind. Where nobody attached there is none.
        let _ = std::fs::remove_file(format!("/tmp/.java_pid{}", self.pid()));
    }
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
