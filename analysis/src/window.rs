//! A stretch of a timeline.

use plumb_trace::timeline::Query;

/// A half-open stretch of time, CLOCK_MONOTONIC ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From, included.
    pub from_ns: u64,
    /// To, excluded; not before `from_ns`.
    pub to_ns: u64,
}

impl Window {
    /// The part of a timeline between two times; `None` stands for its start and its end. What lies outside the timeline is cut
    /// off.
    pub fn of(query: &dyn Query, from_ns: Option<u64>, to_ns: Option<u64>) -> Self {
        let info = query.info();
        let to = info.to_ns.max(info.from_ns);
        let from_ns = from_ns.unwrap_or(info.from_ns).clamp(info.from_ns, to);
        let to_ns = to_ns.unwrap_or(to).clamp(from_ns, to);
        Self { from_ns, to_ns }
    }

    /// Length, ns.
    pub fn length_ns(self) -> u64 {
        self.to_ns - self.from_ns
    }

    /// The part of `start..end` that lies within, if any does.
    pub(crate) fn clip(self, start_ns: u64, end_ns: u64) -> Option<Window> {
        let clipped = Window {
            from_ns: start_ns.max(self.from_ns),
            to_ns: end_ns.min(self.to_ns),
        };
        (clipped.from_ns < clipped.to_ns).then_some(clipped)
    }
}

/// A sum that stops at the largest number: only a hostile file gets there.
pub(crate) fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}
