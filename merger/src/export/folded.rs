//! Time off the CPU by stack, a line for each: what flame graphs are made of (inferno, flamegraph.pl, speedscope).
//!
//! ```text
//! PROCESS;THREADS;FRAME;..;FRAME;[STATE] NANOSECONDS
//! PROCESS;THREADS;FRAME;..;FRAME;[STATE];--;WAKER'S FRAME;..;WAKER'S FRAME;WAKER NANOSECONDS
//! ```
//! THREADS is the threads' group, or their name without the number at its end. A waker's frames are the other way round, so that where it woke somebody meets where that one slept. Frames of the
//! kernel end in `_[k]`; where the Java stack of a sleep was taken, its methods stand in place of the program's frames. A sleep without a stack is told by its state alone, and so is what no sleep is (ready, throttled): the lines of a thread sum to the time that it was known to be off its CPU.
//! Threads are those of the kernel: where a virtual thread waits without a carrier, nobody waits here.

use super::ExportError;
use super::file::write_file;
use plumb_trace::State;
use plumb_trace::timeline::{Query, Sleep, StackId, StateInterval, TimelineError, TrackId, TrackKind};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Length of the window that is read first, ns; others are longer or shorter, so that each holds some thousand rows.
const WINDOW_NS: u64 = 1_000_000_000;
/// Rows of a window that is neither too long nor too short.
const ROWS: std::ops::Range<usize> = 1_000..16_000;

/// How frames of the kernel end.
const KERNEL: &str = "_[k]";

/// Whose time it is, what it was spent with, and where: threads of one role are one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Spent {
    role: usize,
    state: State,
    stack: StackId,
    java_stack: StackId,
    waker_stack: StackId,
    /// Role of the waker.
    waker: Option<usize>,
}

/// Roles of threads: `PROCESS;THREADS`, each once.
#[derive(Debug, Default)]
struct Roles {
    names: Vec<String>,
    of_tracks: Vec<usize>,
}

/// Writes the time off the CPU by stack. An existing file is replaced. Gives its name.
///
/// # Errors
/// [`ExportError`]: a file that cannot be written, a damaged timeline, one without a thread.
pub fn folded(query: &dyn Query, out: &Path) -> Result<PathBuf, ExportError> {
    let lines = lines(query)?;
    if lines.is_empty() {
        return Err(ExportError::Empty);
    }
    write_file(out, |file| {
        for (line, ns) in &lines {
            writeln!(file, "{line} {ns}")?;
        }
        Ok(())
    })?;
    Ok(out.to_owned())
}

/// Lines in order, each with its time, ns.
fn lines(query: &dyn Query) -> Result<BTreeMap<String, u64>, TimelineError> {
    let roles = Roles::of(query);
    let mut spent = HashMap::new();
    for (track, about) in query.tracks().iter().enumerate() {
        if about.kind == TrackKind::Thread {
            add_thread(query, &roles, TrackId(track as u32), &mut spent)?;
        }
    }
    let mut lines = BTreeMap::new();
    for (spent, ns) in spent {
        let sum: &mut u64 = lines.entry(spent.line(query, &roles)).or_default();
        *sum = sum.saturating_add(ns);
    }
    Ok(lines)
}

fn add_thread(
    query: &dyn Query,
    roles: &Roles,
    track: TrackId,
    spent: &mut HashMap<Spent, u64>,
) -> Result<(), TimelineError> {
    let (info, life) = (query.info(), &query.tracks()[track.0 as usize]);
    let mut from_ns = info.from_ns.max(life.start_ns);
    let end_ns = info.to_ns.min(life.end_ns);
    let mut window_ns = WINDOW_NS;
    while from_ns < end_ns {
        let to_ns = from_ns.saturating_add(window_ns).min(end_ns);
        let sleeps = query.sleeps(track, from_ns, to_ns)?;
        let states = query.states(track, from_ns, to_ns)?;
        window_ns = match states.len().max(sleeps.len()) {
            rows if rows < ROWS.start => window_ns.saturating_mul(4),
            rows if rows > ROWS.end => (window_ns / 4).max(1),
            _ => window_ns,
        };
        for interval in states {
            if matches!(interval.state, State::Running | State::Unknown) {
                continue;
            }
            let interval = StateInterval {
                start_ns: interval.start_ns.max(from_ns),
                end_ns: interval.end_ns.min(to_ns),
                ..interval
            };
            add_interval(&interval, &sleeps, |state, sleep, ns| {
                let key = Spent::new(roles, track, state, sleep);
                let sum = spent.entry(key).or_default();
                *sum = ns.saturating_add(*sum);
            });
        }
        from_ns = to_ns;
    }
    Ok(())
}

/// Splits what a thread did among the sleeps that it lies in, and none.
fn add_interval(interval: &StateInterval, sleeps: &[Sleep], mut add: impl FnMut(State, Option<&Sleep>, u64)) {
    let mut rest_ns = interval.length_ns();
    let first = sleeps.partition_point(|sleep| sleep.end_ns <= interval.start_ns);
    for sleep in sleeps[first..]
        .iter()
        .take_while(|sleep| sleep.start_ns < interval.end_ns)
    {
        let (start_ns, end_ns) = (sleep.start_ns.max(interval.start_ns), sleep.end_ns.min(interval.end_ns));
        let ns = end_ns.saturating_sub(start_ns);
        rest_ns = rest_ns.saturating_sub(ns);
        add(interval.state, Some(sleep), ns);
    }
    if rest_ns > 0 {
        add(interval.state, None, rest_ns);
    }
}

impl Spent {
    fn new(roles: &Roles, track: TrackId, state: State, sleep: Option<&Sleep>) -> Spent {
        let role = |track: TrackId| roles.of_tracks.get(track.0 as usize).copied();
        let waker_stack = sleep.map_or(StackId::default(), |sleep| sleep.waker_stack);
        Spent {
            role: role(track).unwrap_or_default(),
            state,
            stack: sleep.map_or(StackId::default(), |sleep| sleep.stack),
            java_stack: sleep.map_or(StackId::default(), |sleep| sleep.java_stack),
            waker_stack,
            waker: sleep.and_then(|sleep| role(sleep.waker?)),
        }
    }

    fn line(&self, query: &dyn Query, roles: &Roles) -> String {
        let frames = |stack| {
            let frames = query.stack(stack).into_iter();
            frames.map(|frame| clean(query.string(frame))).collect::<Vec<_>>()
        };
        let mut parts = vec![roles.names[self.role].clone()];
        // What the JVM says of its methods is more than unwinding finds.
        let java = frames(self.java_stack);
        let has_java = !java.is_empty();
        parts.extend(java);
        parts.extend(
            frames(self.stack)
                .into_iter()
                .filter(|frame| !has_java || frame.ends_with(KERNEL)),
        );
        parts.push(format!("[{}]", self.state.name()));
        if self.waker_stack != StackId::default() {
            parts.push("--".into());
            parts.extend(frames(self.waker_stack).into_iter().rev());
            parts.extend(self.waker.map(|waker| roles.names[waker].replace(';', " ")));
        }
        parts.join(";")
    }
}

impl Roles {
    fn of(query: &dyn Query) -> Roles {
        let (mut roles, mut numbers) = (Roles::default(), HashMap::new());
        for track in query.tracks() {
            let process = query.processes().get(track.process.0 as usize);
            let group = track
                .group
                .and_then(|group| query.info().groups.get(group as usize).cloned());
            let threads = group.unwrap_or_else(|| without_number(&track.name));
            let process = clean(process.map_or("", |process| &process.name));
            let name = format!("{process};{}", clean(&threads));
            let number = *numbers.entry(name.clone()).or_insert(roles.names.len());
            if number == roles.names.len() {
                roles.names.push(name);
            }
            roles.of_tracks.push(number);
        }
        roles
    }
}

/// `http-nio-8080-exec-17`: `http-nio-8080-exec-*`
fn without_number(name: &str) -> String {
    let stem = name.trim_end_matches(|character: char| character.is_ascii_digit());
    if stem.len() == name.len() {
        name.to_owned()
    } else {
        format!("{stem}*")
    }
}

/// What separates frames and lines may stand in no frame: descriptors of Java methods have it.
fn clean(frame: &str) -> String {
    frame.replace(';', ":").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumb_trace::timeline::Cause;

    fn sleep(start_ns: u64, end_ns: u64) -> Sleep {
        Sleep {
            start_ns,
            end_ns,
            stack: StackId(start_ns as u32),
            waker_stack: StackId::default(),
            waker: None,
            java_stack: StackId::default(),
        }
    }

    fn check(start_ns: u64, end_ns: u64, expect: &[(Option<u32>, u64)]) {
        let interval = StateInterval {
            start_ns,
            end_ns,
            state: State::Futex,
            cpu: None,
            stolen_ns: 0,
            peer: None,
            cause: Cause::None,
            involuntary: false,
        };
        let mut found = Vec::new();
        add_interval(&interval, &[sleep(10, 20), sleep(30, 40)], |_, sleep, ns| {
            found.push((sleep.map(|sleep| sleep.stack.0), ns));
        });
        assert_eq!(found, expect, "{start_ns} to {end_ns}");
    }

    #[test]
    fn time_is_split_and_none_is_lost() {
        check(10, 20, &[(Some(10), 10)]);
        check(12, 18, &[(Some(10), 6)]);
        check(20, 30, &[(None, 10)]);
        check(5, 35, &[(Some(10), 10), (Some(30), 5), (None, 15)]);
        check(50, 60, &[(None, 10)]);
    }

    #[test]
    fn names_are_clean() {
        assert_eq!(without_number("http-nio-8080-exec-17"), "http-nio-8080-exec-*");
        assert_eq!(without_number("main"), "main");
        assert_eq!(clean("add(Ljava/lang/String;)V\n"), "add(Ljava/lang/String:)V ");
    }
}
