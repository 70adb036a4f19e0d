//! Who had the CPUs, summed up by columns of pixels and shades of processes.

use super::source::Source;
use super::tree::Tree;
use crate::palette::SHADES;
use plumb_trace::timeline::{CoarseOccupancy, TimelineError, TrackId};

/// Parts of a column's time by shade, 0 to 1; what lacks to 1 is idle.
pub type Column = [f32; SHADES];

/// Columns of one CPU over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// Begin, ns from the start.
    pub from_ns: f64,
    /// Length of a column, ns.
    pub step_ns: f64,
    /// The columns.
    pub columns: Vec<Column>,
}

impl Columns {
    /// Empty columns over a window.
    pub fn empty(from_ns: f64, to_ns: f64, count: usize) -> Columns {
        let count = count.max(1);
        Columns {
            from_ns,
            step_ns: (to_ns - from_ns).max(1.0) / count as f64,
            columns: vec![[0.0; SHADES]; count],
        }
    }

    /// Adds a stretch of which a process of this shade had a part, 0 to 1.
    pub fn add(&mut self, from_ns: f64, to_ns: f64, shade: usize, share: f32) {
        let end = self.columns.len() as f64;
        let from = ((from_ns - self.from_ns) / self.step_ns).clamp(0.0, end);
        let to = ((to_ns - self.from_ns) / self.step_ns).clamp(0.0, end);
        let mut at = from;
        while at < to {
            let number = at as usize;
            let next = ((number + 1) as f64).min(to);
            if let Some(part) = self.columns.get_mut(number).and_then(|column| column.get_mut(shade)) {
                *part += (next - at) as f32 * share;
            }
            at = next;
        }
    }
}

/// What part of a stretch was not idle, 0 to 1.
pub fn busy(stretch: &CoarseOccupancy) -> f32 {
    f32::from(stretch.busy) / 255.0
}

/// The shade of a thread's process; `None`: the idle task.
pub fn shade_of(source: &Source, shades: &[usize], track: TrackId) -> Option<usize> {
    let process = source.track(track)?.process.0 as usize;
    let idle = source
        .query
        .processes()
        .get(process)
        .is_none_or(|process| process.pid == 0);
    if idle { None } else { shades.get(process).copied() }
}

/// The whole timeline's CPUs, summed up piece by piece, so that a long one on a large machine does not hold up the window.
pub struct Overview {
    /// The source that is shown: several are laid over each other in the rows, the overview shows the first that has CPUs.
    source: usize,
    cpus: Vec<TrackId>,
    columns: Columns,
    next_piece: usize,
}

/// Columns of an overview.
const OVERVIEW_COLUMNS: usize = 2048;
/// Buckets asked for a column: in each one thread stands for all.
const BUCKETS_OF_A_COLUMN: u64 = 16;
/// Pieces in which it is made.
const PIECES: usize = 256;

impl Overview {
    /// An overview of nothing yet.
    pub fn new(sources: &[Source], tree: &Tree) -> Overview {
        let lanes = tree.nodes.iter().filter_map(|node| match node.lane {
            super::tree::Lane::Cpu(cpu) => Some((node.key.source(), cpu)),
            _ => None,
        });
        let lanes: Vec<_> = lanes.collect();
        let source = lanes.first().map_or(0, |(source, _)| *source);
        let total_ns = sources.get(source).map_or(0, Source::total_ns);
        Overview {
            source,
            cpus: lanes
                .iter()
                .filter(|lane| lane.0 == source)
                .map(|lane| lane.1)
                .collect(),
            columns: Columns::empty(0.0, total_ns as f64, OVERVIEW_COLUMNS),
            next_piece: 0,
        }
    }

    /// There is no CPU to sum up.
    pub fn is_empty(&self) -> bool {
        self.cpus.is_empty()
    }

    /// Nothing is left to sum up.
    pub fn is_complete(&self) -> bool {
        self.is_empty() || self.next_piece >= PIECES
    }

    /// Sums up the next piece of all CPUs.
    ///
    /// # Errors
    /// The timeline is damaged there; the piece stays empty and the next call goes on behind it.
    pub fn advance(&mut self, sources: &[Source], tree: &Tree) -> Result<(), TimelineError> {
        let piece = self.next_piece as u64;
        self.next_piece += 1;
        let (source, shades) = (&sources[self.source], &tree.shades[self.source]);
        let begin_ns = source.query.info().from_ns;
        let edge = |piece: u64| begin_ns + (u128::from(source.total_ns()) * u128::from(piece) / PIECES as u128) as u64;
        let (from_ns, to_ns) = (edge(piece), edge(piece + 1));
        let bucket_ns = (self.columns.step_ns as u64 / BUCKETS_OF_A_COLUMN).max(1);
        let share = 1.0 / self.cpus.len() as f32;
        for cpu in &self.cpus {
            for each in source.query.coarse_occupancy(*cpu, from_ns, to_ns, bucket_ns)? {
                let Some(shade) = each.track.and_then(|track| shade_of(source, shades, track)) else {
                    continue;
                };
                // The answer's buckets reach beyond the piece.
                let (start_ns, end_ns) = (each.start_ns.max(from_ns), each.end_ns.min(to_ns));
                let place = |ns| source.since_start_ns(ns);
                self.columns
                    .add(place(start_ns), place(end_ns), shade, busy(&each) * share);
            }
        }
        Ok(())
    }

    /// The columns so far.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_shared_out_over_its_columns() {
        let mut columns = Columns::empty(0.0, 100.0, 10);
        columns.add(5.0, 25.0, 1, 1.0);
        columns.add(-50.0, 5.0, 2, 0.5);
        columns.add(95.0, 500.0, 0, 1.0);
        let part = |column: usize, shade: usize| (columns.columns[column][shade] * 100.0).round() as u32;
        assert_eq!([part(0, 1), part(1, 1), part(2, 1), part(3, 1)], [50, 100, 50, 0]);
        assert_eq!([part(0, 2), part(1, 2), part(9, 0)], [25, 0, 50]);
    }

    #[test]
    fn a_shade_that_does_not_exist_is_nobodys() {
        let mut columns = Columns::empty(0.0, 10.0, 1);
        columns.add(0.0, 10.0, SHADES, 1.0);
        assert_eq!(columns.columns, [[0.0; SHADES]]);
    }
}
