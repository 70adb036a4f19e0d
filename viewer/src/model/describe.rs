//! What is known of a thing on the screen, as pairs of a word and its value.

use super::counter::{Counter, Shape, Step, short};
use super::source::Source;
use super::time::{instant, length, percent, wall_clock};
use plumb_analysis::{Counts, Window};
use plumb_trace::timeline::{Cause, Slice, StateInterval, TimelineError, Totals, TrackId, TrackKind, Unit};
use plumb_trace::{State, syscalls};
use std::collections::HashMap;

/// Sleeps of one interval whose stacks are shown: there is more than one only where records are missing.
const SLEEPS_MAX: usize = 2;

/// A word and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What.
    pub word: &'static str,
    /// The value.
    pub value: String,
}

fn fact(word: &'static str, value: impl Into<String>) -> Fact {
    Fact {
        word,
        value: value.into(),
    }
}

/// What a state means, in a few words.
pub fn meaning(state: State) -> &'static str {
    match state {
        State::Running => "on a CPU",
        State::Stolen => "on a CPU, but the hypervisor ran somebody else",
        State::Ready => "could run, has no CPU",
        State::Throttled => "could run, but its cgroup's quota is spent",
        State::Monitor => "wants a Java monitor that another thread has",
        State::Wait => "in Object.wait",
        State::Park => "in LockSupport.park",
        State::Sleep => "asleep for a set time (Thread.sleep, nanosleep)",
        State::Idle => "a pool worker with nothing to do",
        State::Net => "blocked on a socket",
        State::Disk => "blocked on a file or block device",
        State::Poll => "waits for one of several descriptors",
        State::Futex => "blocked in futex, the JVM did not say why",
        State::Syscall => "blocked in another system call",
        State::Fault => "waits for a page",
        State::Blocked => "off its CPU, cause not recorded",
        State::Pause => "held by a safepoint or GC pause of its JVM",
        State::Stopped => "stopped by a signal, the freezer or a debugger",
        State::Unknown => "not seen: before the recording, or lost",
    }
}

/// All that is known of a stretch of one state.
pub fn interval(source: &Source, track: TrackId, interval: &StateInterval) -> Vec<Fact> {
    let mut facts = span(source, interval.start_ns, interval.end_ns);
    if let Some(cpu) = interval.cpu {
        facts.push(fact("CPU", cpu.to_string()));
    }
    if interval.stolen_ns > 0 {
        let share = interval.stolen_ns as f64 / interval.length_ns().max(1) as f64;
        facts.push(fact(
            "stolen",
            format!("{} ({})", length(interval.stolen_ns), percent(share)),
        ));
    }
    facts.extend(cause(source, interval));
    facts.extend(peer(source, interval));
    if interval.is_pinned() {
        facts.push(fact("pinned", "keeps its carrier"));
    } else if interval.involuntary {
        facts.push(fact("left its CPU", "involuntarily"));
    }
    if interval.state == State::Ready {
        facts.extend(meanwhile(source, track, interval));
    }
    facts
}

pub(super) fn span(source: &Source, start_ns: u64, end_ns: u64) -> Vec<Fact> {
    let length_ns = end_ns.saturating_sub(start_ns);
    let step_ns = (length_ns as f64 / 100.0).clamp(1.0, 1e6);
    let write = |absolute_ns: u64| instant(source.since_start_ns(absolute_ns), step_ns);
    vec![
        fact("length", length(length_ns)),
        fact("since", write(start_ns)),
        fact("till", write(end_ns)),
    ]
}

fn cause(source: &Source, interval: &StateInterval) -> Option<Fact> {
    let value = match interval.cause {
        Cause::None => return None,
        Cause::Woken => "woken",
        Cause::WokenByInterrupt => "woken out of an interrupt",
        Cause::Preempted => "preempted",
        Cause::Yielded => "gave its CPU away (sched_yield)",
        Cause::Born => "newly born",
        Cause::Class(class) | Cause::ClassAgain(class) => return Some(fact("object", source.query.string(class))),
        Cause::Syscall { number, fd_kind } => return Some(fact("call", syscalls::told(number, fd_kind))),
    };
    Some(fact("cause", value))
}

fn peer(source: &Source, interval: &StateInterval) -> Option<Fact> {
    let word = match (interval.state, interval.cause) {
        (State::Ready, Cause::Preempted) => "by",
        (State::Ready, Cause::Born) => "parent",
        (State::Ready, _) => "woken by",
        (State::Monitor, _) => "owner",
        (State::Running, _) => "carried by",
        _ => "ended by",
    };
    interval.peer.map(|peer| fact(word, source.thread_title(peer)))
}

/// Who had the CPU that a ready thread waited for: those with the largest parts.
fn meanwhile(source: &Source, track: TrackId, interval: &StateInterval) -> Option<Fact> {
    const NAMED_MAX: usize = 3;
    let process = source.track(track)?.process;
    let host = source.query.processes().get(process.0 as usize)?.host;
    let cpu = source.query.cpu_track(host, interval.cpu?)?;
    let occupancy = source.query.occupancy(cpu, interval.start_ns, interval.end_ns).ok()?;
    let mut parts: HashMap<TrackId, u64> = HashMap::new();
    for each in occupancy {
        let (from_ns, to_ns) = (each.start_ns.max(interval.start_ns), each.end_ns.min(interval.end_ns));
        if let Some(holder) = each.track.filter(|holder| *holder != track) {
            *parts.entry(holder).or_default() += to_ns.saturating_sub(from_ns);
        }
    }
    let mut parts: Vec<_> = parts.into_iter().filter(|(_, ns)| *ns > 0).collect();
    parts.sort_by_key(|(holder, ns)| (std::cmp::Reverse(*ns), holder.0));
    let share = |ns: u64| percent(ns as f64 / interval.length_ns().max(1) as f64);
    let named = parts
        .iter()
        .take(NAMED_MAX)
        .map(|(holder, ns)| format!("{} {}", source.thread_title(*holder), share(*ns)));
    let named = named.collect::<Vec<_>>().join("\n");
    (!named.is_empty()).then(|| fact("CPU meanwhile", named))
}

/// Where a thread slept in this interval, and where it was woken from, as far as stacks were recorded: innermost first.
pub fn stacks(source: &Source, track: TrackId, interval: &StateInterval) -> Vec<Fact> {
    let sleeps = source.query.sleeps(track, interval.start_ns, interval.end_ns);
    let mut facts = Vec::new();
    for sleep in sleeps.unwrap_or_default().into_iter().take(SLEEPS_MAX) {
        let stacks = [
            ("Java stack", sleep.java_stack),
            ("stack", sleep.stack),
            ("woken from", sleep.waker_stack),
        ];
        for (word, stack) in stacks {
            let frames = source.query.stack(stack).into_iter().rev();
            let frames: Vec<&str> = frames.map(|frame| source.query.string(frame)).collect();
            if !frames.is_empty() {
                facts.push(fact(word, frames.join("\n")));
            }
        }
    }
    facts
}

/// All that is known of a method call.
pub fn call_of(source: &Source, slice: &Slice) -> Vec<Fact> {
    let mut facts = span(source, slice.start_ns, slice.end_ns);
    facts.push(fact("calls around it", slice.depth.to_string()));
    if slice.thrown {
        facts.push(fact("left by", "an exception"));
    }
    let open = match (slice.open_start, slice.open_end) {
        (true, true) => "begin and end not seen",
        (true, false) => "begin not seen",
        (false, true) => "end not seen",
        (false, false) => return facts,
    };
    facts.push(fact("length is", format!("at least this: {open}")));
    facts
}

/// What a unit of work was, for the tooltip of its thread.
pub fn unit(source: &Source, unit: &Unit) -> Fact {
    let length = length(unit.end_ns.saturating_sub(unit.start_ns));
    let query = &source.query;
    let mut value = query.string(unit.name).to_owned();
    if !query.string(unit.key).is_empty() {
        value.push_str(&format!(" {}", query.string(unit.key)));
    }
    if unit.number > 0 {
        value.push_str(", a part of it");
    }
    value.push_str(&format!(" {length}"));
    if unit.thrown {
        value.push_str(", left by an exception");
    }
    if !unit.complete {
        value.push_str(", not seen whole");
    }
    fact("unit", value)
}

/// All that is known of a stretch of a counter.
pub fn step(source: &Source, counter: &Counter, step: &Step) -> Vec<Fact> {
    let mut facts = vec![fact("value", counter.written_step(step))];
    facts.extend(span(source, step.start_ns, step.end_ns));
    if counter.shape() == Shape::Share {
        let part_ns = step.mean * step.end_ns.saturating_sub(step.start_ns) as f64;
        facts.push(fact("time", length(part_ns as u64)));
    }
    facts
}

/// What is known of a counter.
pub fn counter(counter: &Counter) -> Vec<Fact> {
    let mut facts = vec![fact("counter", counter.name), fact("meaning", counter.meaning())];
    if let Some(cpu) = counter.cpu {
        facts.push(fact("CPU", cpu.to_string()));
    }
    if !counter.cgroup.is_empty() {
        facts.push(fact("cgroup", counter.cgroup));
    }
    let drawn = match counter.shape() {
        Shape::Share => "sum of times, drawn as a share of the time",
        Shape::Rate => "sum, drawn as growth a second",
        Shape::Value => "value of its own",
    };
    facts.push(fact("unit", format!("{} ({drawn})", counter.unit)));
    facts
}

/// What is known of a thread.
pub fn thread(source: &Source, track: TrackId) -> Vec<Fact> {
    let Some(found) = source.track(track) else {
        return Vec::new();
    };
    let info = source.query.info();
    let mut facts = vec![fact("process", source.process_title(found.process))];
    match (found.kind, found.tid, found.vthread) {
        (TrackKind::VirtualThread, _, Some(number)) => facts.push(fact("virtual thread", number.to_string())),
        (_, Some(tid), _) => facts.push(fact("tid", tid.to_string())),
        _ => {}
    }
    if let Some(group) = found.group.and_then(|group| info.groups.get(group as usize)) {
        facts.push(fact("group", group.clone()));
    }
    if let Some(java) = source.query.java_thread(track) {
        let daemon = if java.daemon { "daemon, " } else { "" };
        let group = if java.group.is_empty() { "none" } else { &java.group };
        facts.push(fact(
            "Java",
            format!("{daemon}priority {}, thread group {group}", java.priority),
        ));
    }
    if let Some((_, former)) = found.former_names.last() {
        facts.push(fact("formerly", former.clone()));
    }
    if found.start_ns > info.from_ns {
        facts.push(fact("born", instant(source.since_start_ns(found.start_ns), 1e6)));
    }
    if found.end_ns < info.to_ns {
        facts.push(fact("ended", instant(source.since_start_ns(found.end_ns), 1e6)));
    }
    facts
}

/// What a thread counted in a stretch of absolute times, the telling one first: `0.75 instructions per cycle, cycles 2.00 G`. `None` where nothing was.
///
/// # Errors
/// The timeline is damaged there.
pub fn counted(
    source: &Source,
    thread: TrackId,
    (from_ns, to_ns): (u64, u64),
) -> Result<Option<String>, TimelineError> {
    let window = Window::of(&*source.query, Some(from_ns), Some(to_ns));
    let counts = plumb_analysis::counts(&*source.query, thread, window)?;
    if counts.names().all(|name| counts.get(name) == Some(0)) {
        return Ok(None);
    }
    let per_cycle = counts.instructions_per_cycle();
    let per_cycle = per_cycle.map(|per_cycle| format!("{per_cycle:.2} instructions per cycle"));
    let names = counts.names().filter(|name| !Counts::is_estimate(name));
    let told = names.filter_map(|name| Some(format!("{name} {}", counts.told(name, |number| short(number as f64))?)));
    let all: Vec<String> = per_cycle.into_iter().chain(told).collect();
    Ok((!all.is_empty()).then(|| all.join(", ")))
}

/// The states of a window with the largest parts, the largest first, with their shares.
pub fn shares(totals: &Totals) -> Vec<(State, f64)> {
    let sum = totals.states.sum().max(1) as f64;
    let mut shares: Vec<_> = State::ALL
        .map(|state| (state, totals.states.get(state) as f64 / sum))
        .into_iter()
        .collect();
    shares.retain(|(_, share)| *share > 0.0);
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// The wall-clock time of a time from the start, UTC.
pub fn wall_clock_at(source: &Source, from_start_ns: f64) -> String {
    let monotonic = i128::from(source.absolute_ns(from_start_ns));
    wall_clock(monotonic + i128::from(source.query.info().realtime_offset_ns))
}

/// `1 gap`, `2 gaps`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// What one should know before trusting what is on the screen, one line each.
pub fn cautions(source: &Source) -> Vec<String> {
    let info = source.query.info();
    let mut lines = Vec::new();
    if info.from_ns >= info.to_ns {
        lines.push(format!(
            "{}: the timeline holds no time; the recording ended before it began",
            source.label
        ));
    }
    if !info.hosts.iter().any(|host| host.has_kernel) {
        lines.push(format!(
            "{}: no kernel records: states are what the JVMs said, and nobody knows who had the CPUs",
            source.label
        ));
    }
    let losses = source.query.losses();
    if !losses.is_empty() {
        let known: u64 = losses.iter().filter_map(|loss| loss.events).sum();
        let unknown = if losses.iter().any(|loss| loss.events.is_none()) {
            " and an unknown number more"
        } else {
            ""
        };
        lines.push(format!(
            "{}: {known} events{unknown} were lost in {} (hatched)",
            source.label,
            count(losses.len(), "gap")
        ));
    }
    lines.extend(info.notes.iter().map(|note| format!("{}: {note}", source.label)));
    lines
}
