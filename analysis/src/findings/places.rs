//! Where threads waited: the commonest stack among their sleeps, where stacks were recorded.

use std::collections::HashMap;

use plumb_trace::timeline::{Query, Sleep, StackId, StateInterval, TimelineError, TrackId};

use crate::{
    format::{percent, share},
    stretches::Stretches,
    sweep,
};

/// Frames that are named, innermost first.
const FRAMES_MAX: usize = 6;
/// A place with a smaller part of the time is not worth naming.
const SHARE_MIN: f64 = 0.1;
/// How frames of the kernel end; every sleep has the same ones there.
const KERNEL: &str = "_[k]";

/// Time by stack, the Java one and the program's.
type Places = HashMap<(StackId, StackId), u64>;

/// A line of evidence: the stack with which threads were longest in states that are meant, of `total_ns` that they were in these.
pub(super) fn commonest(
    query: &dyn Query,
    stretches: &Stretches<'_>,
    is_meant: impl Fn(&StateInterval) -> bool,
    total_ns: u64,
) -> Result<Option<String>, TimelineError> {
    let mut places = Places::new();
    for thread in stretches.threads {
        add_thread(query, *thread, &is_meant, stretches, &mut places)?;
    }
    // The same frames may have several numbers.
    let mut by_text: HashMap<String, u64> = HashMap::new();
    for ((java, own), ns) in places {
        let text = place(query, java).or_else(|| place(query, own));
        if let Some(text) = text {
            *by_text.entry(text).or_default() += ns;
        }
    }
    let most = by_text.into_iter().max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0)));
    Ok(most
        .map(|(text, ns)| (text, share(ns, total_ns)))
        .filter(|(_, share)| *share >= SHARE_MIN)
        .map(|(text, share)| format!("{} of that time in {text}", percent(share))))
}

/// Sleeps and states are in order both, and a sleep is one or several states.
fn add_thread(
    query: &dyn Query,
    thread: TrackId,
    is_meant: &impl Fn(&StateInterval) -> bool,
    stretches: &Stretches<'_>,
    places: &mut Places,
) -> Result<(), TimelineError> {
    let mut sleeps: Vec<Sleep> = Vec::new();
    sweep::each_sleep(query, thread, stretches.window, |sleep| {
        sleeps.push(*sleep);
        if sleeps.len() >= GATHERED {
            add_sleeps(query, thread, is_meant, stretches, &mut sleeps, places)?;
        }
        Ok(())
    })?;
    add_sleeps(query, thread, is_meant, stretches, &mut sleeps, places)
}

/// Sleeps whose states are asked for at once.
const GATHERED: usize = 4096;

fn add_sleeps(
    query: &dyn Query,
    thread: TrackId,
    is_meant: &impl Fn(&StateInterval) -> bool,
    stretches: &Stretches<'_>,
    sleeps: &mut Vec<Sleep>,
    places: &mut Places,
) -> Result<(), TimelineError> {
    let (Some(first), Some(last)) = (sleeps.first(), sleeps.last()) else {
        return Ok(());
    };
    let Some(window) = stretches.window.clip(first.start_ns, last.end_ns) else {
        sleeps.clear();
        return Ok(());
    };
    let mut at = 0;
    sweep::each_state(query, thread, window, |interval| {
        while sleeps.get(at).is_some_and(|sleep| sleep.end_ns <= interval.start_ns) {
            at += 1;
        }
        if let Some(sleep) = sleeps.get(at)
            && is_meant(interval)
            && sleep.start_ns < interval.end_ns
        {
            let (from_ns, to_ns) = (sleep.start_ns.max(interval.start_ns), sleep.end_ns.min(interval.end_ns));
            let ns = stretches.part_ns(thread, from_ns, to_ns);
            *places.entry((sleep.java_stack, sleep.stack)).or_default() += ns;
        }
        Ok(())
    })?;
    sleeps.clear();
    Ok(())
}

/// The innermost frames of a stack, without the kernel's: `a < b < c`.
fn place(query: &dyn Query, stack: StackId) -> Option<String> {
    let frames = query.stack(stack);
    let frames = frames.iter().rev().map(|frame| query.string(*frame));
    let named: Vec<&str> = frames
        .filter(|frame| !frame.ends_with(KERNEL))
        .take(FRAMES_MAX)
        .collect();
    (!named.is_empty()).then(|| named.join(" < "))
}
