//! Pauses of a JVM: what is said of one, and the way from one to the next.

use super::describe::{Fact, span};
use super::source::Source;
use super::time::length;
use plumb_trace::pauses::PauseName;
use plumb_trace::timeline::{Slice, TrackId};

/// How far one looks for the next pause at first, ns.
const REACH_NS: u64 = 1_000_000_000;
/// Operations of one pause that are named.
const OPERATIONS_MAX: usize = 6;

/// What a pause was for, and when.
pub fn facts(source: &Source, pause: &Slice) -> Vec<Fact> {
    let name = PauseName::parse(source.query.string(pause.name));
    let kind = match (name.is_gc, name.operation) {
        (true, _) => "collects garbage",
        (false, Some(_)) => "collects nothing",
        (false, None) => "no operation was seen",
    };
    let mut facts = vec![Fact {
        word: "kind",
        value: kind.to_owned(),
    }];
    facts.extend(name.operation.map(|operation| Fact {
        word: "cause",
        value: operation.to_owned(),
    }));
    facts.extend(span(source, pause.start_ns, pause.end_ns));
    facts
}

/// How long threads needed to come to a stop, and what was done then: where libjvm's probes were recorded.
pub fn operations(source: &Source, jvm: TrackId, pause: &Slice) -> Vec<Fact> {
    let inside = source
        .query
        .slices(jvm, pause.start_ns, pause.end_ns, 0)
        .unwrap_or_default();
    let is_own = |slice: &&Slice| slice.depth > 0 && slice.start_ns >= pause.start_ns && slice.end_ns <= pause.end_ns;
    let inside: Vec<&Slice> = inside.iter().filter(is_own).collect();
    let Some(first) = inside.first() else { return Vec::new() };
    let told = |slice: &&Slice| {
        format!(
            "{} {}",
            source.query.string(slice.name),
            length(slice.end_ns - slice.start_ns)
        )
    };
    let mut named: Vec<String> = inside.iter().take(OPERATIONS_MAX).map(told).collect();
    if inside.len() > OPERATIONS_MAX {
        named.push(format!("and {} more", inside.len() - OPERATIONS_MAX));
    }
    vec![
        Fact {
            word: "until all stood",
            value: length(first.start_ns - pause.start_ns),
        },
        Fact {
            word: "then",
            value: named.join("\n"),
        },
    ]
}

/// The first pause that ends behind an instant (absolute), or the last one that begins up to it.
pub fn beside(source: &Source, jvm: TrackId, at_ns: u64, back: bool) -> Option<Slice> {
    let info = source.query.info();
    let mut reach_ns = REACH_NS;
    loop {
        let (from_ns, to_ns) = match back {
            true => (at_ns.saturating_sub(reach_ns), at_ns.saturating_add(1)),
            false => (at_ns, at_ns.saturating_add(reach_ns)),
        };
        let found = source.query.slices(jvm, from_ns, to_ns, 0).ok()?;
        let mut pauses = found.into_iter().filter(|slice| slice.depth == 0);
        let pause = if back {
            pauses.next_back()
        } else {
            // One that took no time and begins here is behind us.
            pauses.find(|pause| pause.end_ns > at_ns)
        };
        let is_end = if back {
            from_ns <= info.from_ns
        } else {
            to_ns >= info.to_ns
        };
        if pause.is_some() || is_end {
            return pause;
        }
        reach_ns = reach_ns.saturating_mul(4);
    }
}
