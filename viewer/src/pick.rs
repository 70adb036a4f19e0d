//! What is under the pointer.

use crate::cache::{Cache, Want};
use crate::draw::lanes::{CALL_HEIGHT, concerns};
use crate::draw::rows::{self, Row};
use crate::model::counter::{self, Step};
use crate::model::occupancy::busy;
use crate::model::session::{Selected, Selection};
use crate::model::source::Source;
use crate::model::time::Scale;
use crate::model::tree::{Lane, Node};
use eframe::egui::{Pos2, Rect, pos2};
use plumb_trace::timeline::{Loss, Occupancy, ProcessId, Slice, StateInterval, Totals, TrackId, Unit};
use std::collections::HashMap;

/// Something under the pointer.
pub enum Hit {
    /// A stretch of one state, with the unit of work around it and what the pixel holds, where that is more than one stretch.
    State {
        /// Of which thread.
        thread: TrackId,
        /// The stretch.
        interval: StateInterval,
        /// The unit of work that the thread does.
        unit: Option<Unit>,
        /// What the pixel holds.
        pixel: Option<Box<Totals>>,
    },
    /// A method call.
    Call(Slice),
    /// A pause of a JVM.
    Pause(Slice),
    /// Who had a CPU, and how those shared it that the pixel holds, where that are several.
    Occupancy {
        /// Who had it there.
        here: Occupancy,
        /// About which parts of the pixel's time processes had, the largest first.
        pixel: Vec<(ProcessId, f64)>,
    },
    /// A stretch of a counter.
    Counter(Step),
    /// Records that are missing.
    Loss(Loss),
}

impl Hit {
    /// What a click selects.
    pub fn selected(&self) -> Option<Selected> {
        match self {
            Hit::State { interval, .. } => Some(Selected::State(*interval)),
            Hit::Call(slice) | Hit::Pause(slice) => Some(Selected::Call(*slice)),
            Hit::Counter(step) => Some(Selected::Value(*step)),
            Hit::Occupancy { .. } | Hit::Loss(_) => None,
        }
    }
}

/// What is under the pointer in a row.
pub fn pick(
    source: (usize, &Source),
    node: &Node,
    row: Row,
    pointer: Pos2,
    scale: Scale,
    cache: &mut Cache,
) -> Option<Hit> {
    let at_ns = scale.ns(pointer.x);
    if at_ns < 0.0 || at_ns >= source.1.total_ns() as f64 {
        return None;
    }
    let absolute_ns = source.1.absolute_ns(at_ns);
    let below = pointer.y - row.rect.top() - rows::ROW_HEIGHT;
    match node.lane {
        Lane::Empty => None,
        Lane::Pauses(jvm) => lost(source.1, jvm, absolute_ns).or_else(|| pause(source, jvm, at_ns, scale, cache)),
        Lane::Cpu(cpu) => {
            lost(source.1, cpu, absolute_ns).or_else(|| occupant(source.1, cpu, absolute_ns, scale, cache))
        }
        Lane::Counter(track) => {
            let lanes = cache.lanes(source, track, Want::Counter, scale);
            counter::step_at(&lanes.steps, absolute_ns).copied().map(Hit::Counter)
        }
        Lane::Thread(thread, _) if below >= 0.0 => {
            call(source, thread, (below / CALL_HEIGHT) as u16, at_ns, scale, cache).map(Hit::Call)
        }
        Lane::Thread(thread, _) => {
            lost(source.1, thread, absolute_ns).or_else(|| state(source, thread, absolute_ns, scale, cache))
        }
    }
}

fn lost(source: &Source, track: TrackId, at_ns: u64) -> Option<Hit> {
    let here = |loss: &&Loss| loss.from_ns <= at_ns && at_ns < loss.to_ns && concerns(source, loss, track);
    source.query.losses().iter().find(here).cloned().map(Hit::Loss)
}

fn state(source: (usize, &Source), thread: TrackId, at_ns: u64, scale: Scale, cache: &mut Cache) -> Option<Hit> {
    let states = source.1.query.states(thread, at_ns, at_ns + 1);
    let states = states.map_err(|error| cache.problem(&error)).ok()?;
    let interval = *states
        .iter()
        .find(|state| state.start_ns <= at_ns && at_ns < state.end_ns)?;
    let units = cache.units(source, scale);
    let inside = |unit: &&Unit| unit.start_ns <= at_ns && at_ns < unit.end_ns;
    let unit = units.get(&thread).and_then(|units| units.iter().find(inside)).copied();
    let pixel_ns = scale.ns_per_point() as u64;
    let (from_ns, to_ns) = (at_ns.saturating_sub(pixel_ns / 2), at_ns + pixel_ns / 2);
    let pixel = if interval.length_ns() < pixel_ns {
        source.1.query.totals(thread, from_ns, to_ns).ok()
    } else {
        None
    };
    let pixel = pixel.map(Box::new);
    Some(Hit::State {
        thread,
        interval,
        unit,
        pixel,
    })
}

/// The widest slice of a depth within a pixel of the pointer.
fn call(
    source: (usize, &Source),
    track: TrackId,
    depth: u16,
    at_ns: f64,
    scale: Scale,
    cache: &mut Cache,
) -> Option<Slice> {
    let lanes = cache.lanes(source, track, Want::Thread, scale);
    near(
        source.1,
        lanes.slices.iter().filter(|slice| slice.depth == depth),
        at_ns,
        scale,
    )
}

fn pause(source: (usize, &Source), jvm: TrackId, at_ns: f64, scale: Scale, cache: &mut Cache) -> Option<Hit> {
    let lanes = cache.lanes(source, jvm, Want::Pauses, scale);
    // What is inside of one is told with it.
    let pauses = lanes.slices.iter().filter(|slice| slice.depth == 0);
    near(source.1, pauses, at_ns, scale).map(Hit::Pause)
}

fn near<'a>(source: &Source, slices: impl Iterator<Item = &'a Slice>, at_ns: f64, scale: Scale) -> Option<Slice> {
    let reach_ns = scale.ns_per_point();
    let here = |slice: &&Slice| {
        source.since_start_ns(slice.start_ns) <= at_ns + reach_ns
            && source.since_start_ns(slice.end_ns) >= at_ns - reach_ns
    };
    slices
        .filter(here)
        .max_by_key(|slice| slice.end_ns - slice.start_ns)
        .copied()
}

fn occupant(source: &Source, cpu: TrackId, at_ns: u64, scale: Scale, cache: &mut Cache) -> Option<Hit> {
    let found = source.query.occupancy(cpu, at_ns, at_ns + 1);
    let found = found.map_err(|error| cache.problem(&error)).ok()?;
    let here = found
        .into_iter()
        .find(|each| each.start_ns <= at_ns && at_ns < each.end_ns)?;
    let pixel_ns = scale.ns_per_point() as u64;
    let pixel = if here.end_ns - here.start_ns < pixel_ns {
        let from_ns = at_ns.saturating_sub(pixel_ns / 2);
        sharers(source, cpu, (from_ns, from_ns.saturating_add(pixel_ns)))
    } else {
        Vec::new()
    };
    Some(Hit::Occupancy { here, pixel })
}

/// About which parts of a stretch processes had a CPU, the largest first: out of so many buckets, each of which one of them stands for.
fn sharers(source: &Source, cpu: TrackId, (from_ns, to_ns): (u64, u64)) -> Vec<(ProcessId, f64)> {
    const BUCKETS: u64 = 64;
    let bucket_ns = ((to_ns - from_ns) / BUCKETS).max(1);
    let found = source.query.coarse_occupancy(cpu, from_ns, to_ns, bucket_ns);
    let mut parts: HashMap<ProcessId, f64> = HashMap::new();
    let mut whole = 0.0;
    for each in found.unwrap_or_default() {
        let length = each.end_ns.saturating_sub(each.start_ns) as f64;
        whole += length;
        let process = each
            .track
            .and_then(|track| source.track(track))
            .map(|track| track.process);
        let idle = |process: &ProcessId| {
            let found = source.query.processes().get(process.0 as usize);
            found.is_none_or(|found| found.pid == 0)
        };
        if let Some(process) = process.filter(|process| !idle(process)) {
            *parts.entry(process).or_default() += length * f64::from(busy(&each));
        }
    }
    let mut parts: Vec<_> = parts
        .into_iter()
        .map(|(process, part)| (process, part / whole))
        .collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.0.cmp(&b.0.0)));
    parts
}

/// Where a selected thing is in its row.
pub fn place(source: &Source, selection: &Selection, row: Rect, scale: Scale) -> Option<Rect> {
    let (start_ns, end_ns, top, height) = match selection.what {
        Selected::Row => return None,
        Selected::State(interval) => {
            let bar = rows::bar(row);
            (interval.start_ns, interval.end_ns, bar.top(), bar.height())
        }
        Selected::Value(step) => {
            let chart = rows::chart(row);
            (step.start_ns, step.end_ns, chart.top(), chart.height())
        }
        Selected::Call(slice) => {
            let top = row.top() + rows::ROW_HEIGHT + f32::from(slice.depth) * CALL_HEIGHT;
            if top + CALL_HEIGHT > row.bottom() + 1.0 {
                let bar = rows::bar(row);
                (slice.start_ns, slice.end_ns, bar.top(), bar.height())
            } else {
                (slice.start_ns, slice.end_ns, top, CALL_HEIGHT - 1.0)
            }
        }
    };
    let left = scale.x(source.since_start_ns(start_ns)).max(scale.left - 10.0);
    let right = scale
        .x(source.since_start_ns(end_ns))
        .min(scale.left + scale.width + 10.0);
    (right >= left).then(|| Rect::from_min_max(pos2(left, top), pos2(right.max(left + 1.0), top + height)))
}
