//! A timeline as text: one row a fact.

use plumb_trace::timeline::{Cause, Query, Sleep, StackId, StateInterval, StringId, Track, TrackId, TrackKind};
use std::fmt::Write as _;

/// Everything in a timeline.
pub fn dump(query: &dyn Query) -> String {
    let mut out = String::new();
    let info = query.info();
    let _ = writeln!(out, "timeline {}..{}", info.from_ns, info.to_ns);
    for note in &info.notes {
        let _ = writeln!(out, "note {note}");
    }
    for loss in query.losses() {
        let events = loss.events.map_or("?".into(), |events| events.to_string());
        let _ = writeln!(out, "loss {} {}..{} {events}", loss.stream, loss.from_ns, loss.to_ns);
    }
    for (index, track) in query.tracks().iter().enumerate() {
        dump_track(query, TrackId(index as u32), track, &mut out);
    }
    for unit in query.units(0, u64::MAX).unwrap() {
        let name = named(query, unit.name, unit.key);
        let parts = if unit.number > 0 {
            format!(" #{:x}", unit.number)
        } else {
            String::new()
        };
        let mark = marks(&[(unit.thrown, "thrown"), (!unit.complete, "incomplete")]);
        let _ = writeln!(
            out,
            "unit {name}{parts} {}..{} by {}{mark}",
            unit.start_ns,
            unit.end_ns,
            called(query, unit.track)
        );
    }
    for part in query.unit_parts(0, u64::MAX).unwrap() {
        let _ = writeln!(
            out,
            "part {} #{:x} {}~{}..{} by {}",
            named(query, part.name, part.key),
            part.number,
            part.handed_ns,
            part.start_ns,
            part.end_ns,
            called(query, part.track)
        );
    }
    out
}

/// A unit's name with its key.
fn named(query: &dyn Query, name: StringId, key: StringId) -> String {
    match query.string(key) {
        "" => query.string(name).into(),
        key => format!("{}({key})", query.string(name)),
    }
}

fn dump_track(query: &dyn Query, id: TrackId, track: &Track, out: &mut String) {
    let process = &query.processes()[track.process.0 as usize];
    let group = track.group.map_or("", |group| &query.info().groups[group as usize]);
    let mark = marks(&[
        (track.java, "java"),
        (process.target, "target"),
        (process.jvm, "jvm"),
        (process.kernel, "kernel"),
        (process.plumb, "plumb"),
    ]);
    let group = if group.is_empty() {
        String::new()
    } else {
        format!(" group={group}")
    };
    let kind = match track.kind {
        TrackKind::Thread => "thread",
        TrackKind::Cpu => "cpu",
        TrackKind::Jvm => "jvm",
        TrackKind::Counter { .. } => "counter",
        TrackKind::VirtualThread => "virtual",
    };
    let _ = writeln!(
        out,
        "{kind} {} of {} ({}) {}..{}{group}{mark}",
        called(query, id),
        process.name,
        process.pid,
        track.start_ns,
        track.end_ns
    );
    if let Some(java) = query
        .java_thread(id)
        .filter(|java| (java.group.as_str(), java.daemon, java.priority) != ("main", false, 5))
    {
        let daemon = marks(&[(java.daemon, "daemon")]);
        let _ = writeln!(out, "  in {} priority {}{daemon}", java.group, java.priority);
    }
    for (until, name) in &track.former_names {
        let _ = writeln!(out, "  named {name} until {until}");
    }
    for interval in query.states(id, 0, u64::MAX).unwrap() {
        let _ = writeln!(out, "  {}", state(query, &interval));
    }
    for sleep in query.sleeps(id, 0, u64::MAX).unwrap() {
        let _ = writeln!(out, "  {}", slept(query, &sleep));
    }
    for one in query.occupancy(id, 0, u64::MAX).unwrap() {
        let who = one.track.map_or("idle".into(), |track| called(query, track));
        let _ = writeln!(out, "  {}..{} {who}", one.start_ns, one.end_ns);
    }
    if let TrackKind::Counter { unit } = track.kind {
        for point in query.counters(id, 0, u64::MAX, 0).unwrap() {
            let _ = writeln!(
                out,
                "  {}..{} {} {}",
                point.start_ns,
                point.end_ns,
                point.last,
                query.string(unit)
            );
        }
    }
    for slice in query.slices(id, 0, u64::MAX, 0).unwrap() {
        let mark = marks(&[
            (slice.thrown, "thrown"),
            (slice.open_start, "open_start"),
            (slice.open_end, "open_end"),
        ]);
        let name = query.string(slice.name);
        let _ = writeln!(
            out,
            "  slice {} {}..{} {name}{mark}",
            slice.depth, slice.start_ns, slice.end_ns
        );
    }
}

/// The stacks of a sleep, innermost frames first, each with what it is; a Java one needs no word.
fn slept(query: &dyn Query, sleep: &Sleep) -> String {
    let frames = |stack| {
        let frames = query.stack(stack).into_iter().rev();
        frames.map(|frame| query.string(frame)).collect::<Vec<_>>().join(" < ")
    };
    let mut line = format!(
        "sleep {}..{} {}",
        sleep.start_ns,
        sleep.end_ns,
        frames(sleep.java_stack)
    );
    if sleep.stack != StackId::default() {
        let _ = write!(line, "in {}", frames(sleep.stack));
    }
    if let Some(waker) = sleep.waker {
        let _ = write!(
            line,
            " woken by {} in {}",
            called(query, waker),
            frames(sleep.waker_stack)
        );
    }
    line
}

fn state(query: &dyn Query, interval: &StateInterval) -> String {
    let StateInterval {
        start_ns,
        end_ns,
        state,
        cpu,
        stolen_ns,
        peer,
        cause,
        involuntary,
    } = *interval;
    let mut text = format!("{start_ns}..{end_ns} {}", state.name());
    if let Some(cpu) = cpu {
        let _ = write!(text, " cpu{cpu}");
    }
    match cause {
        Cause::None => {}
        Cause::Class(class) => {
            let _ = write!(text, " {}", query.string(class));
        }
        Cause::ClassAgain(class) => {
            let _ = write!(text, " {} again", query.string(class));
        }
        Cause::Syscall { number, fd_kind } => {
            let _ = write!(text, " call={number}:{fd_kind}");
        }
        other => {
            let _ = write!(text, " {other:?}");
        }
    }
    if let Some(peer) = peer {
        let _ = write!(text, " by {}", called(query, peer));
    }
    if stolen_ns > 0 {
        let _ = write!(text, " stolen={stolen_ns}");
    }
    text + &marks(&[
        (involuntary && !interval.is_pinned(), "involuntary"),
        (interval.is_pinned(), "pinned"),
    ])
}

/// `tid:name`
fn called(query: &dyn Query, track: TrackId) -> String {
    let track = &query.tracks()[track.0 as usize];
    match track.tid {
        Some(tid) if track.kind == TrackKind::Thread => format!("{tid}:{}", track.name),
        _ => track.name.clone(),
    }
}

fn marks(marks: &[(bool, &str)]) -> String {
    marks
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, mark)| format!(" {mark}"))
        .collect()
}
