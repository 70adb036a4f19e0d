//! All lanes in one order of time: a k-way merge that takes runs, not records.
//!
//! The lane whose next record is the earliest gives records until another lane's next one is earlier, so that the heap is touched once a run.

use super::lane::{Consumer, Lane};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Records between two calls of the progress function.
const PROGRESS_EVERY: u64 = 1 << 18;

/// Gives everything in `lanes` to `consumer`, in order of time; at one instant definitions before the kernel's records before the JVM's.
/// `progress` is told how many records have been given.
pub(crate) fn run<C: Consumer>(
    lanes: &mut [Lane],
    consumer: &mut C,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, C::Error> {
    let mut heap = BinaryHeap::with_capacity(lanes.len());
    for (index, lane) in lanes.iter_mut().enumerate() {
        if let Some(time) = lane.peek() {
            heap.push(Reverse((time, lane.rank(), index)));
        }
    }
    let (mut given, mut told) = (0, 0);
    while let Some(mut top) = heap.pop() {
        let Reverse((_, rank, index)) = top;
        // Of two lanes at one instant the lower in (rank, index) is first: the run ends before the other's time if that is not this one.
        let until = heap.peek().map_or(u64::MAX, |&Reverse((time, other_rank, other))| {
            if (rank, index) < (other_rank, other) {
                time
            } else {
                time.saturating_sub(1)
            }
        });
        let lane = &mut lanes[index];
        given += lane.drain(until, consumer)?;
        if let Some(time) = lane.peek() {
            top = Reverse((time, rank, index));
            heap.push(top);
        }
        if given - told >= PROGRESS_EVERY {
            told = given;
            progress(given);
        }
    }
    Ok(given)
}
