//! Search by name: of processes, groups and threads among the rows, and of methods among their calls.

use super::source::Source;
use super::tree::{Key, Lane, Tree};
use plumb_trace::timeline::{Slice, StringId, TrackId};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// What is searched for, and what of it was found.
#[derive(Default)]
pub struct Search {
    text: String,
    needle: String,
    rows: Option<HashSet<Key>>,
    direct: Vec<Key>,
    names: RefCell<HashMap<(usize, StringId), bool>>,
}

/// Slices looked at by one jump at the most: a few seconds' worth of work.
const SLICES_MAX: usize = 20_000_000;
/// First stretch of time in which a jump looks, ns; it doubles until something is found.
const STRETCH_NS: u64 = 50_000_000;

impl Search {
    /// The text as it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Nothing is searched for.
    pub fn is_empty(&self) -> bool {
        self.needle.is_empty()
    }

    /// Searches for another text.
    pub fn set(&mut self, text: String, tree: &Tree) {
        self.needle = text.trim().to_lowercase();
        self.text = text;
        self.names.get_mut().clear();
        self.direct.clear();
        self.rows = None;
        if self.needle.is_empty() {
            return;
        }
        let hits: Vec<usize> = (0..tree.nodes.len())
            .filter(|&number| tree.nodes[number].words.contains(&self.needle))
            .collect();
        self.direct = hits.iter().map(|&number| tree.nodes[number].key).collect();
        if !hits.is_empty() {
            let below = hits
                .iter()
                .flat_map(|&number| &tree.nodes[number..tree.nodes[number].end]);
            self.rows = Some(below.map(|node| node.key).collect());
        }
    }

    /// The rows to which the window is narrowed: found ones, and what is under found headings. `None`: all (nothing is searched for, or no row has such a name).
    pub fn rows(&self) -> Option<&HashSet<Key>> {
        self.rows.as_ref()
    }

    /// Rows found by their own names, from the top.
    pub fn direct(&self) -> &[Key] {
        &self.direct
    }

    /// Whether a name has what is searched for.
    pub fn names(&self, source: usize, name: StringId, text: &str) -> bool {
        let needle = &self.needle;
        !needle.is_empty()
            && *self
                .names
                .borrow_mut()
                .entry((source, name))
                .or_insert_with(|| text.to_lowercase().contains(needle))
    }

    /// The row after (or before) `current` that was found by its name, going round at the end.
    pub fn next_row(&self, current: Option<Key>, back: bool) -> Option<Key> {
        let count = self.direct.len();
        let place = current.and_then(|key| self.direct.iter().position(|found| *found == key));
        let next = match (place, back) {
            (None, false) => 0,
            (None, true) => count.checked_sub(1)?,
            (Some(place), false) => (place + 1) % count,
            (Some(place), true) => (place + count - 1) % count,
        };
        self.direct.get(next).copied()
    }

    /// The first call of a method with such a name that begins after `after_ns` (absolute), going round at the end.
    pub fn next_call(&self, number: usize, source: &Source, tree: &Tree, after_ns: u64) -> Option<(TrackId, Slice)> {
        if self.is_empty() {
            return None;
        }
        let (begin_ns, end_ns) = (source.query.info().from_ns, source.query.info().to_ns);
        let threads: Vec<TrackId> = java_threads(number, source, tree);
        let mut budget = SLICES_MAX;
        let after_ns = after_ns.clamp(begin_ns, end_ns);
        self.first_call(number, source, &threads, (after_ns + 1, end_ns), &mut budget)
            .or_else(|| self.first_call(number, source, &threads, (begin_ns, after_ns + 1), &mut budget))
    }

    fn first_call(
        &self,
        number: usize,
        source: &Source,
        threads: &[TrackId],
        (mut from_ns, end_ns): (u64, u64),
        budget: &mut usize,
    ) -> Option<(TrackId, Slice)> {
        let mut stretch_ns = STRETCH_NS;
        while from_ns < end_ns && *budget > 0 {
            let to_ns = from_ns.saturating_add(stretch_ns).min(end_ns);
            let mut first: Option<(TrackId, Slice)> = None;
            for &thread in threads {
                let slices = source.query.slices(thread, from_ns, to_ns, 0).unwrap_or_default();
                *budget = budget.saturating_sub(slices.len() + 1);
                let fits = |slice: &&Slice| slice.start_ns >= from_ns;
                let hit = slices
                    .iter()
                    .filter(fits)
                    .find(|slice| self.names(number, slice.name, source.query.string(slice.name)));
                if let Some(slice) = hit
                    && first.is_none_or(|(_, best)| slice.start_ns < best.start_ns)
                {
                    first = Some((thread, *slice));
                }
            }
            if first.is_some() {
                return first;
            }
            from_ns = to_ns;
            stretch_ns *= 2;
        }
        None
    }
}

fn java_threads(number: usize, source: &Source, tree: &Tree) -> Vec<TrackId> {
    let threads = tree.nodes.iter().filter_map(|node| match node.lane {
        Lane::Thread(thread, _) if node.key.source() == number => Some(thread),
        _ => None,
    });
    threads
        .filter(|thread| source.track(*thread).is_some_and(|track| track.java))
        .collect()
}
