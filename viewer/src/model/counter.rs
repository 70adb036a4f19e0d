//! What a counter's samples mean: what is drawn of them, how its values are written, what it is about.
//!
//! Counters of unit `ns` and `count`, and the bytes of disks, are sums since the recording began: drawn is how fast they grow, as a share of the time or as a
//! number a second. All others are values of their own, drawn as they are.

use super::source::Source;
use super::time;
use plumb_trace::timeline::{CounterPoint, TimelineError, Track, TrackId, TrackKind};

/// Longest stretch whose samples are asked one by one whatever their number, ns.
const EXACT_NS_MAX: u64 = 10_000_000_000;
/// Most samples that are asked one by one in a longer stretch, by estimate.
const EXACT_SAMPLES_MAX: u64 = 8192;
/// Longest stretch that is looked at for the estimate, ns.
const PROBE_NS_MAX: u64 = 1_000_000_000;
/// Pixels of a stretch of a sum at a zoom: it has to hold several samples, else the border of a pixel between two of them would show as a jitter.
const PIXELS_OF_A_SUM: u64 = 4;

/// How samples become what is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A sum of times: drawn as a share of the time.
    Share,
    /// A sum of things: drawn as their number a second.
    Rate,
    /// A value of its own.
    Value,
}

/// What it counts, by what its colour tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pressure on CPUs.
    Cpu,
    /// Pressure on devices.
    Io,
    /// Pressure on memory.
    Memory,
    /// What the hypervisor took.
    Stolen,
    /// What a quota held back.
    Throttled,
    /// Something else.
    Other,
}

impl Kind {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Kind; 6] = [
        Kind::Cpu,
        Kind::Io,
        Kind::Memory,
        Kind::Stolen,
        Kind::Throttled,
        Kind::Other,
    ];
}

/// A counter, as its track tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter<'a> {
    /// Its name, without its cgroup.
    pub name: &'a str,
    /// Path of its cgroup, or empty.
    pub cgroup: &'a str,
    /// Its unit.
    pub unit: &'a str,
    /// The CPU that it is about.
    pub cpu: Option<u32>,
}

/// A stretch of what is drawn. In a share or rate all three values are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Begin, absolute ns.
    pub start_ns: u64,
    /// End, absolute ns.
    pub end_ns: u64,
    /// Smallest value: a share (1 is all of the time), a number a second, or a value in the counter's unit.
    pub low: f64,
    /// Value in the mean; of a zoomed value, its last one.
    pub mean: f64,
    /// Largest value.
    pub high: f64,
}

/// The counter of a track; `None`: it is none.
pub fn of(source: &Source, track: TrackId) -> Option<Counter<'_>> {
    let track: &Track = source.track(track)?;
    let TrackKind::Counter { unit } = track.kind else {
        return None;
    };
    let cgroup_at = track.name.find(" /");
    let (name, cgroup) = cgroup_at.map_or((&*track.name, ""), |at| (&track.name[..at], &track.name[at + 1..]));
    let of_process = source.query.processes().get(track.process.0 as usize);
    Some(Counter {
        name,
        cgroup,
        unit: source.query.string(unit),
        cpu: track.tid.filter(|_| of_process.is_none_or(|process| process.pid == 0)),
    })
}

impl Counter<'_> {
    /// How its samples become what is drawn.
    pub fn shape(&self) -> Shape {
        match self.unit {
            "ns" => Shape::Share,
            "count" => Shape::Rate,
            "bytes" if self.name.starts_with("disk.") => Shape::Rate,
            _ => Shape::Value,
        }
    }

    /// What it counts.
    pub fn kind(&self) -> Kind {
        match self.name.split('.').collect::<Vec<_>>()[..] {
            ["psi", "cpu", ..] => Kind::Cpu,
            ["psi", "io", ..] | ["disk", ..] => Kind::Io,
            ["psi", "memory", ..] => Kind::Memory,
            ["cpu", "steal"] => Kind::Stolen,
            ["cgroup", ..] => Kind::Throttled,
            _ => Kind::Other,
        }
    }

    /// Its name for people.
    pub fn label(&self) -> String {
        match self.name {
            "psi.cpu.some" => "CPU pressure, some".into(),
            "psi.cpu.full" => "CPU pressure, all".into(),
            "psi.io.some" => "I/O pressure, some".into(),
            "psi.io.full" => "I/O pressure, all".into(),
            "psi.memory.some" => "memory pressure, some".into(),
            "psi.memory.full" => "memory pressure, all".into(),
            "cpu.steal" => "stolen".into(),
            "cpu.online" => "online".into(),
            "cgroup.periods" => "quota periods".into(),
            "cgroup.throttled" => "throttled periods".into(),
            "cgroup.throttled_time" => "throttled time".into(),
            other => other.strip_prefix("jvm.").unwrap_or(other).replace('_', " "),
        }
    }

    /// What it means, in a few words.
    pub fn meaning(&self) -> &'static str {
        match self.name {
            "psi.cpu.some" => "part of the time in which some task waited for a CPU",
            "psi.cpu.full" => "part of the time in which all tasks waited for a CPU",
            "psi.io.some" => "part of the time in which some task waited for I/O",
            "psi.io.full" => "part of the time in which all tasks waited for I/O",
            "psi.memory.some" => "part of the time in which some task waited for memory",
            "psi.memory.full" => "part of the time in which all tasks waited for memory",
            "cpu.steal" => "part of the time that the hypervisor gave to others",
            "cpu.online" => "whether the CPU was there",
            "cgroup.periods" => "periods of the quota a second",
            "cgroup.throttled" => "periods a second in which the quota was spent",
            "cgroup.throttled_time" => "time that CPUs were held back for the quota, in CPUs",
            _ => match self.shape() {
                Shape::Share => "its growth as a part of the time",
                Shape::Rate => "its growth a second",
                Shape::Value => "its value",
            },
        }
    }

    /// A value as it is written.
    pub fn written(&self, value: f64) -> String {
        match (self.shape(), self.name) {
            (Shape::Share, _) => time::percent(value),
            (Shape::Rate, _) if self.unit == "count" => format!("{} /s", short(value)),
            (Shape::Rate, _) => format!("{} {}/s", short(value), self.unit),
            (Shape::Value, "cpu.online") if value < 0.5 => "offline".to_owned(),
            (Shape::Value, "cpu.online") => "online".to_owned(),
            (Shape::Value, _) if self.unit.is_empty() || self.unit == "state" => short(value),
            (Shape::Value, _) => format!("{} {}", short(value), self.unit),
        }
    }

    /// A step's value as it is written: one, or from the smallest to the largest.
    pub fn written_step(&self, step: &Step) -> String {
        match step.low < step.high {
            true => format!("{} to {}", self.written(step.low), self.written(step.high)),
            false => self.written(step.mean),
        }
    }

    /// What is said of many steps.
    pub fn written_summary(&self, sum: &Step) -> String {
        match (self.shape(), sum.low < sum.high) {
            (_, false) => self.written(sum.high),
            (Shape::Value, true) => format!("{} to {}", self.written(sum.low), self.written(sum.high)),
            _ => format!("{}, up to {}", self.written(sum.mean), self.written(sum.high)),
        }
    }
}

/// A number with three digits or so: `12`, `4.5 k`, `120 M`.
pub(super) fn short(value: f64) -> String {
    let magnitude = value.abs();
    let (scaled, sign) = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")]
        .into_iter()
        .find(|(limit, _)| magnitude >= *limit)
        .map_or((value, ""), |(limit, sign)| {
            (value / limit.min(if sign == " k" { 1e3 } else { limit }), sign)
        });
    let decimals = usize::from(scaled.fract() != 0.0 && scaled.abs() < 100.0);
    format!("{scaled:.decimals$}{sign}")
}

/// The steps of a window: about as many as it has pixels, or as it has samples where those are few.
///
/// # Errors
/// The timeline is damaged there.
pub fn steps(
    source: &Source,
    track: TrackId,
    (from_ns, to_ns): (u64, u64),
    pixel_ns: u64,
) -> Result<Vec<Step>, TimelineError> {
    let Some(counter) = of(source, track) else {
        return Ok(Vec::new());
    };
    let mut points = samples(source, track, counter.shape(), (from_ns, to_ns), pixel_ns.max(1))?;
    if counter.shape() == Shape::Value {
        return Ok(points.iter().map(value).collect());
    }
    // How fast it grows behind the last sample is told by the one after it.
    if let Some(last_ns) = points.last().map(|last| last.end_ns) {
        let next = source.query.counters(track, last_ns, last_ns.saturating_add(1), 0)?;
        points.extend(next.into_iter().filter(|next| next.start_ns == last_ns).take(1));
    }
    let per_ns = if counter.shape() == Shape::Share { 1.0 } else { 1e9 };
    Ok(points.windows(2).filter_map(|pair| growth(pair, per_ns)).collect())
}

/// Samples one by one where those are few, else at a zoom.
fn samples(
    source: &Source,
    track: TrackId,
    shape: Shape,
    (from_ns, to_ns): (u64, u64),
    pixel_ns: u64,
) -> Result<Vec<CounterPoint>, TimelineError> {
    let span_ns = to_ns.saturating_sub(from_ns);
    let ask = |resolution_ns| source.query.counters(track, from_ns, to_ns, resolution_ns);
    if span_ns <= EXACT_NS_MAX {
        return ask(0);
    }
    let probe_ns = (span_ns / 64).min(PROBE_NS_MAX);
    let middle_ns = from_ns + span_ns / 2;
    let probe = source
        .query
        .counters(track, middle_ns, middle_ns.saturating_add(probe_ns), 0)?;
    if (probe.len() as u64).saturating_mul(span_ns / probe_ns) <= EXACT_SAMPLES_MAX {
        return ask(0);
    }
    let resolution_ns = match shape {
        Shape::Value => pixel_ns,
        Shape::Share | Shape::Rate => pixel_ns.saturating_mul(PIXELS_OF_A_SUM),
    };
    // Only buckets of the file's own widths have exact borders.
    ask(1 << resolution_ns.ilog2())
}

fn value(point: &CounterPoint) -> Step {
    Step {
        start_ns: point.start_ns,
        end_ns: point.end_ns,
        low: point.min as f64,
        mean: point.last as f64,
        high: point.max as f64,
    }
}

/// How fast a sum grew between two samples: each holds the value at its begin. A sum that began anew grew by nothing.
fn growth(pair: &[CounterPoint], per_ns: f64) -> Option<Step> {
    let [one, next] = pair else { return None };
    let length_ns = next.start_ns.checked_sub(one.start_ns).filter(|ns| *ns > 0)?;
    let grown = (i128::from(next.min) - i128::from(one.min)).max(0) as f64;
    let speed = grown / length_ns as f64 * per_ns;
    Some(Step {
        start_ns: one.start_ns,
        end_ns: next.start_ns,
        low: speed,
        mean: speed,
        high: speed,
    })
}

/// The step at an instant.
///
/// # Errors
/// The timeline is damaged there.
pub fn at(source: &Source, track: TrackId, at_ns: u64) -> Result<Option<Step>, TimelineError> {
    let found = steps(source, track, (at_ns, at_ns.saturating_add(1)), 1)?;
    Ok(step_at(&found, at_ns).copied())
}

/// The step of an answer that holds at an instant.
pub fn step_at(steps: &[Step], at_ns: u64) -> Option<&Step> {
    let place = steps.partition_point(|step| step.end_ns <= at_ns);
    steps.get(place).filter(|step| step.start_ns <= at_ns)
}

/// Whether a counter never changed, seen from afar. One that cannot be read is said to change: then it is drawn, and the damage is told.
pub fn is_constant(source: &Source, track: TrackId) -> bool {
    let info = source.query.info();
    let points = source
        .query
        .counters(track, info.from_ns, info.to_ns, source.total_ns() / 64 + 1);
    points.is_ok_and(|points| match points.first() {
        Some(first) => points
            .iter()
            .all(|point| (point.min, point.max) == (first.min, first.min)),
        None => true,
    })
}

/// Mean over time, smallest and largest value of steps within a window (absolute ns); `None` where there is nothing.
pub fn summary(steps: &[Step], (from_ns, to_ns): (u64, u64)) -> Option<Step> {
    let mut weight = 0.0;
    let mut sum: Option<Step> = None;
    for step in steps {
        let (start_ns, end_ns) = (step.start_ns.max(from_ns), step.end_ns.min(to_ns));
        if start_ns >= end_ns {
            continue;
        }
        let length = (end_ns - start_ns) as f64;
        let sum = sum.get_or_insert(Step {
            start_ns,
            mean: 0.0,
            ..*step
        });
        sum.mean += step.mean * length;
        sum.low = sum.low.min(step.low);
        sum.high = sum.high.max(step.high);
        sum.end_ns = end_ns;
        weight += length;
    }
    sum.map(|sum| Step {
        mean: sum.mean / weight,
        ..sum
    })
}

/// The lowest and highest value of a chart's height, round: at least 1 % or 1, and 0 is always on it.
pub fn limits(shape: Shape, low: f64, high: f64) -> (f64, f64) {
    let least = if shape == Shape::Share { 0.01 } else { 1.0 };
    // The kernel's sums of times are a little late or early: 101 % is 100 %.
    let slack = if shape == Shape::Share { 1.05 } else { 1.0 };
    let round = |value: f64| {
        if value > 0.0 {
            nice(value / slack).max(least)
        } else {
            0.0
        }
    };
    let (below, above) = (round(-low), round(high));
    match (below > 0.0, above > 0.0) {
        (false, false) => (0.0, least),
        _ => (-below, above),
    }
}

/// The next 1, 2 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let magnitude = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
    steps
        .into_iter()
        .find(|step| *step >= value * 0.999_999)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(start_ns: u64, end_ns: u64, value: i64) -> CounterPoint {
        CounterPoint {
            start_ns,
            end_ns,
            min: value,
            max: value,
            last: value,
        }
    }

    #[test]
    fn a_sum_is_drawn_as_its_growth() {
        let pair = [point(100, 200, 1000), point(200, 300, 1050)];
        let step = growth(&pair, 1.0).expect("two samples");
        assert_eq!((step.start_ns, step.end_ns, step.mean), (100, 200, 0.5));
        let anew = [point(100, 200, 1000), point(200, 300, 0)];
        assert_eq!(growth(&anew, 1.0).expect("two samples").mean, 0.0);
        let extreme = [point(100, 200, i64::MIN), point(200, 300, i64::MAX)];
        assert!(growth(&extreme, 1.0).expect("two samples").mean.is_finite());
        assert_eq!(growth(&[point(200, 300, 1), point(200, 300, 2)], 1.0), None);
    }

    #[test]
    fn a_summary_weighs_by_time_within_the_window() {
        let step = |start_ns, end_ns, mean| Step {
            start_ns,
            end_ns,
            low: mean,
            mean,
            high: mean,
        };
        let steps = [step(0, 100, 1.0), step(100, 200, 0.0), step(200, 300, 9.0)];
        let sum = summary(&steps, (50, 150)).expect("something");
        assert_eq!((sum.low, sum.mean, sum.high), (0.0, 0.5, 1.0));
        assert_eq!(summary(&steps, (300, 400)), None);
    }

    #[test]
    fn limits_are_round() {
        assert_eq!(limits(Shape::Share, 0.0, 0.0), (0.0, 0.01));
        assert_eq!(limits(Shape::Share, 0.0, 0.17), (0.0, 0.2));
        assert_eq!(limits(Shape::Share, 0.0, 1.03), (0.0, 1.0));
        assert_eq!(limits(Shape::Value, 1.0, 1.0), (0.0, 1.0));
        assert_eq!(limits(Shape::Value, -30.0, 0.0), (-50.0, 0.0));
        assert_eq!(limits(Shape::Rate, 0.0, 1000.0), (0.0, 1000.0));
    }

    #[test]
    fn numbers_are_short() {
        let written = [0.0, 1.0, 12.34, 9_999.0, 12_345.0, 4_500_000.0, 2e12].map(short);
        assert_eq!(written, ["0", "1", "12.3", "9999", "12.3 k", "4.5 M", "2 T"]);
    }

    #[test]
    fn values_are_written_in_their_units() {
        let counter = |name, unit| Counter {
            name,
            cgroup: "",
            unit,
            cpu: None,
        };
        assert_eq!(counter("psi.cpu.some", "ns").written(0.034), "3.4 %");
        assert_eq!(counter("cgroup.throttled", "count").written(10.0), "10 /s");
        assert_eq!(counter("cpu.online", "state").written(0.0), "offline");
        assert_eq!(counter("heap", "bytes").written(4.5e6), "4.5 M bytes");
        assert_eq!(counter("disk.vda.read_bytes", "bytes").written(4.5e6), "4.5 M bytes/s");
        assert_eq!(counter("jvm.compile_time", "ns").label(), "compile time");
    }
}
