//! Where a wait counts: everywhere in a window, or only within the units of work of the thread that waits.

use std::collections::HashMap;

use plumb_trace::timeline::TrackId;

use crate::Window;

/// The threads of a group, and which of their time is meant.
pub(crate) struct Stretches<'a> {
    pub threads: &'a [TrackId],
    pub window: Window,
    units: Option<&'a UnitStretches>,
}

impl<'a> Stretches<'a> {
    /// All of their time in the window.
    pub fn all(threads: &'a [TrackId], window: Window) -> Self {
        Self {
            threads,
            window,
            units: None,
        }
    }

    /// Their time within units of work; all of it where there are none.
    pub fn within(units: Option<&'a UnitStretches>, threads: &'a [TrackId], window: Window) -> Self {
        Self { threads, window, units }
    }

    /// The parts of `start..end` that count for this thread, in order.
    pub fn parts(&self, thread: TrackId, start_ns: u64, end_ns: u64) -> impl Iterator<Item = Window> {
        let part = self.window.clip(start_ns, end_ns);
        let of_units = part.zip(self.units).map(|(part, units)| units.parts(thread, part));
        let whole = part.filter(|_| self.units.is_none());
        whole.into_iter().chain(of_units.into_iter().flatten())
    }

    /// How much of `start..end` counts for this thread, ns.
    pub fn part_ns(&self, thread: TrackId, start_ns: u64, end_ns: u64) -> u64 {
        self.parts(thread, start_ns, end_ns).map(Window::length_ns).sum()
    }
}

/// When each thread was at work on a unit: stretches in order that do not overlap.
#[derive(Default)]
pub(crate) struct UnitStretches(HashMap<TrackId, Vec<Window>>);

impl UnitStretches {
    pub fn add(&mut self, thread: TrackId, stretch: Window) {
        self.0.entry(thread).or_default().push(stretch);
    }

    /// After the last one was added: an instant within two units is one instant.
    pub fn finish(&mut self) {
        for stretches in self.0.values_mut() {
            stretches.sort_by_key(|stretch| stretch.from_ns);
            stretches.dedup_by(|next, kept| {
                let is_apart = next.from_ns > kept.to_ns;
                if !is_apart {
                    kept.to_ns = kept.to_ns.max(next.to_ns);
                }
                !is_apart
            });
        }
    }

    fn parts(&self, thread: TrackId, part: Window) -> impl Iterator<Item = Window> {
        let stretches = self.0.get(&thread).map_or(&[][..], Vec::as_slice);
        let first = stretches.partition_point(|stretch| stretch.to_ns <= part.from_ns);
        stretches[first..]
            .iter()
            .map_while(move |stretch| part.clip(stretch.from_ns, stretch.to_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_counts_once_and_only_within_units_of_its_own_thread() {
        let (one, other) = (TrackId(1), TrackId(2));
        let mut units = UnitStretches::default();
        for (from_ns, to_ns) in [(60, 80), (10, 30), (20, 40), (25, 26), (40, 45)] {
            units.add(one, Window { from_ns, to_ns });
        }
        units.finish();
        let window = Window { from_ns: 0, to_ns: 100 };
        let work = Stretches::within(Some(&units), &[], window);
        let part_ns = |thread, from_ns, to_ns| work.part_ns(thread, from_ns, to_ns);
        assert_eq!(part_ns(one, 0, 100), 35 + 20);
        assert_eq!(part_ns(one, 44, 61), 1 + 1);
        assert_eq!(
            (part_ns(one, 45, 60), part_ns(one, 80, 90), part_ns(other, 0, 100)),
            (0, 0, 0)
        );
        let whole = Stretches::all(&[], window);
        assert_eq!((whole.part_ns(other, 90, 200), whole.part_ns(other, 100, 200)), (10, 0));
    }
}
