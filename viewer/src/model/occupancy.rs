//! Who had the CPUs, summed up by columns of pixels and shades of processes.

use super::source::Source;
use super::tree::Tree;
use crate::palette::SHADES;
use plumb_trace::timeline::{Occupancy, TimelineError, TrackId};

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

    /// Adds a stretch that a process of this shade had.
    pub fn add(&mut self, from_ns: f64, to_ns: f64, shade: usize) {
        let end = self.columns.len() as f64;
        let from = ((from_ns - self.from_ns) / self.step_ns).clamp(0.0, end);
        let to = ((to_ns - self.from_ns) / self.step_ns).clamp(0.0, end);
        let mut at = from;
        while at < to {
            let number = at as usize;
            let next = ((number + 1) as f64).min(to);
            if let Some(part) = self.columns.get_mut(number).and_then(|column| column.get_mut(shade)) {
                *part += (next - at) as f32;
            }
            at = next;
        }
    }

    /// Adds what a CPU's track says.
    pub fn add_all(&mut self, occupancy: &[Occupancy], source: &Source, shades: &[usize]) {
        for each in occupancy {
            if let Some(shade) = each.track.and_then(|track| shade_of(source, shades, track)) {
                self.add(
                    source.since_start_ns(each.start_ns),
                    source.since_start_ns(each.end_ns),
                    shade,
                );
            }
        }
    }
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

/// The whole timeline's CPUs, summed up piece by piece, so that a long one does not hold up the window.
pub struct Overview {
    /// Every CPU's columns, by its track; all together for the strip at the top.
    pub cpus: Vec<(usize, TrackId, Columns)>,
    next_piece: usize,
}

/// Columns of an overview.
const OVERVIEW_COLUMNS: usize = 2048;
/// Pieces in which it is made.
const PIECES: usize = 256;

impl Overview {
    /// An overview of nothing yet.
    pub fn new(sources: &[Source], tree: &Tree) -> Overview {
        let lanes = tree.nodes.iter().filter_map(|node| match node.lane {
            super::tree::Lane::Cpu(cpu) => Some((node.key.source(), cpu)),
            _ => None,
        });
        let empty = |source: usize| Columns::empty(0.0, sources[source].total_ns() as f64, OVERVIEW_COLUMNS);
        Overview {
            cpus: lanes.map(|(source, cpu)| (source, cpu, empty(source))).collect(),
            next_piece: 0,
        }
    }

    /// Nothing is left to sum up.
    pub fn is_complete(&self) -> bool {
        self.cpus.is_empty() || self.next_piece >= PIECES
    }

    /// Sums up the next piece of all CPUs.
    ///
    /// # Errors
    /// The timeline is damaged there; the piece stays empty and the next call goes on behind it.
    pub fn advance(&mut self, sources: &[Source], tree: &Tree) -> Result<(), TimelineError> {
        let piece = self.next_piece as u64;
        self.next_piece += 1;
        for (number, cpu, columns) in &mut self.cpus {
            let (source, shades) = (&sources[*number], &tree.shades[*number]);
            let begin_ns = source.query.info().from_ns;
            let edge =
                |piece: u64| begin_ns + (u128::from(source.total_ns()) * u128::from(piece) / PIECES as u128) as u64;
            let (from_ns, to_ns) = (edge(piece), edge(piece + 1));
            let mut occupancy = source.query.occupancy(*cpu, from_ns, to_ns)?;
            for each in &mut occupancy {
                each.start_ns = each.start_ns.max(from_ns);
                each.end_ns = each.end_ns.min(to_ns).max(each.start_ns);
            }
            columns.add_all(&occupancy, source, shades);
        }
        Ok(())
    }

    /// Columns of one CPU.
    pub fn of(&self, source: usize, cpu: TrackId) -> Option<&Columns> {
        self.cpus
            .iter()
            .find(|(number, track, _)| (*number, *track) == (source, cpu))
            .map(|(_, _, columns)| columns)
    }

    /// A column of all CPUs of a source together.
    pub fn mean(&self, source: usize, column: usize) -> Column {
        let mut sum = [0.0; SHADES];
        let mut count = 0.0;
        for (number, _, columns) in &self.cpus {
            if *number == source {
                count += 1.0;
                for (total, part) in sum.iter_mut().zip(columns.columns[column]) {
                    *total += part;
                }
            }
        }
        sum.map(|part| if count > 0.0 { part / count } else { 0.0 })
    }

    /// How many columns it has.
    pub fn len(&self) -> usize {
        OVERVIEW_COLUMNS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_shared_out_over_its_columns() {
        let mut columns = Columns::empty(0.0, 100.0, 10);
        columns.add(5.0, 25.0, 1);
        columns.add(-50.0, 5.0, 2);
        columns.add(95.0, 500.0, 0);
        let part = |column: usize, shade: usize| (columns.columns[column][shade] * 100.0).round() as u32;
        assert_eq!([part(0, 1), part(1, 1), part(2, 1), part(3, 1)], [50, 100, 50, 0]);
        assert_eq!([part(0, 2), part(1, 2), part(9, 0)], [50, 0, 50]);
    }

    #[test]
    fn a_shade_that_does_not_exist_is_nobodys() {
        let mut columns = Columns::empty(0.0, 10.0, 1);
        columns.add(0.0, 10.0, SHADES);
        assert_eq!(columns.columns, [[0.0; SHADES]]);
    }
}
