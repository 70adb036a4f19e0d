//! What a call costs each way, held against what is promised.

use super::ways::{BARE, FLOOR, JFR, LEFT, MIN, PLUMB, THREADS};
use crate::bench::median;
use std::fmt::Write;

/// Most of the floor that enter and exit cost.
const OF_FLOOR_MAX: f64 = 1.2;
/// Most of the floor that a filtered call costs.
const MIN_OF_FLOOR_MAX: f64 = 1.3;
/// Most of a JFR event.
const OF_JFR_MAX: f64 = 1.0 / 3.0;
/// Most that a call costs when plumb has left, ns.
const LEFT_NS_MAX: f64 = 1.0;
/// Most that a call costs in many threads, of what it costs in one.
const THREADS_MAX: f64 = 1.2;

/// Figures of all ways, one a turn, ns a call.
pub struct Figures(Vec<(&'static str, Vec<f64>)>);

impl Figures {
    /// None yet.
    pub fn new(names: impl Iterator<Item = &'static str>) -> Figures {
        Figures(names.map(|name| (name, Vec::new())).collect())
    }

    /// Takes one of the way at this place.
    pub fn add(&mut self, way: usize, ns: f64) {
        self.0[way].1.push(ns);
    }

    fn median(&self, way: usize) -> f64 {
        median(&mut self.0[way].1.clone())
    }

    fn added(&self, way: usize) -> f64 {
        self.median(way) - self.median(BARE)
    }

    /// A line for each way.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<40} {:>9} {:>9} {:>9} {:>9}\n",
            "ns of CPU time a call", "median", "least", "added", "× floor"
        );
        for (way, (name, figures)) in self.0.iter().enumerate() {
            let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
            // A string takes all that is written into it.
            let _ = writeln!(
                text,
                "{name:<40} {:>9.2} {least:>9.2} {:>9.2} {:>9.2}",
                self.median(way),
                self.added(way),
                self.added(way) / self.added(FLOOR)
            );
        }
        text
    }

    /// A line for each promise.
    pub fn verdicts(&self) -> String {
        let of = |way, other| self.added(way) / self.added(other);
        let threads = |way| self.median(way) / self.median(PLUMB);
        let promises = [
            ("enter and exit, of the floor", of(PLUMB, FLOOR), OF_FLOOR_MAX),
            ("enter and exit, of a JFR event", of(PLUMB, JFR), OF_JFR_MAX),
            ("a filtered call, of the floor", of(MIN, FLOOR), MIN_OF_FLOOR_MAX),
            ("after plumb has left, ns added", self.added(LEFT), LEFT_NS_MAX),
            ("2 threads, of one", threads(THREADS[0]), THREADS_MAX),
            ("8 threads, of one", threads(THREADS[1]), THREADS_MAX),
        ];
        let line = |(what, is, most): &(&str, f64, f64)| {
            let verdict = if is <= most { "holds" } else { "BAD  " };
            format!("{verdict}  {what}: {is:.2} (at most {most:.2})")
        };
        promises.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_judged() {
        let mut figures = Figures::new(super::super::ways::all().iter().map(|way| way.name));
        for (way, ns) in [2.0, 22.0, 24.0, 29.0, 2.5, 92.0, 25.0, 40.0].into_iter().enumerate() {
            figures.add(way, ns);
        }
        let verdicts: Vec<bool> = figures
            .verdicts()
            .lines()
            .map(|line| line.starts_with("holds"))
            .collect();
        assert_eq!(verdicts, [true, true, false, true, true, false]);
        assert!(figures.table().contains("1.10"), "{}", figures.table());
    }
}
