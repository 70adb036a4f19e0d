//! Stolen time: what a running slice lasted by the clock, less what the kernel charged for it.
//!
//! Switch-in and switch-out are recorded a little after the kernel read its own accounting clock, so each slice's difference is off by a few µs either way.
//! A difference of [`OFFSET_NS`] and more is theft and is the slice's own. Smaller ones are carried from slice to slice: offsets cancel out, thefts too
//! small to be told from them add up and are given to the slice at which the sum passes [`OFFSET_NS`]. So running time without stolen time
//! follows the kernel's own books (schedstat) to within the carry, however many slices there are, and offsets alone never look like theft.

/// Below this, a difference may be the offset between the two clocks, ns.
const OFFSET_NS: i64 = 10_000;

/// One thread's account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charge {
    at_switch_in: Option<u64>,
    at_switch_out: Option<u64>,
    carry_ns: i64,
}

impl Charge {
    /// The thread came to a CPU, with so much charged so far.
    pub(crate) fn comes(&mut self, charged_ns: u64) {
        self.at_switch_in = Some(charged_ns);
    }

    /// What came before is not known: the next slice's charge is not either.
    pub(crate) fn forget(&mut self) {
        self.at_switch_in = None;
        self.at_switch_out = None;
    }

    /// What was charged since the thread last left a CPU, ns: how long it ran where its coming was not recorded.
    pub(crate) fn since_switch_out(&self, charged_ns: u64) -> Option<u64> {
        charged_ns.checked_sub(self.at_switch_out?)
    }

    /// The thread left after `wall_ns` on the CPU: how much of it was stolen, ns (at most `wall_ns`).
    pub(crate) fn leaves(&mut self, wall_ns: u64, charged_ns: u64) -> u64 {
        self.at_switch_out = Some(charged_ns).filter(|&charged| charged > 0);
        let Some(before) = self.at_switch_in.take() else {
            return 0;
        };
        // Nothing charged at all, or less than before: the collector could not read it.
        if charged_ns == 0 || charged_ns < before {
            return 0;
        }
        let wall = i64::try_from(wall_ns).unwrap_or(i64::MAX);
        let difference = wall.saturating_sub(i64::try_from(charged_ns - before).unwrap_or(i64::MAX));
        if difference >= OFFSET_NS {
            return difference as u64;
        }
        self.carry_ns = self.carry_ns.saturating_add(difference);
        if self.carry_ns < OFFSET_NS {
            return 0;
        }
        let stolen = self.carry_ns.min(wall);
        self.carry_ns -= stolen;
        stolen as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Running without stolen time, of slices of (wall, charged).
    fn running(slices: impl IntoIterator<Item = (u64, u64)>) -> (u64, u64, u64) {
        let (mut charge, mut sum, mut books, mut stolen) = (Charge::default(), 0, 0, 0);
        for (wall, charged) in slices {
            charge.comes(books);
            books += charged;
            let part = charge.leaves(wall, books);
            assert!(part <= wall);
            sum += wall - part;
            stolen += part;
        }
        (sum, books, stolen)
    }

    #[test]
    fn offsets_either_way_are_not_theft() {
        let (sum, books, stolen) =
            running((0..10_000u64).map(|n| (50_000 + n * 7919 % 9_000, 50_000 + (n * 7919 + 4_500) % 9_000)));
        assert!(sum.abs_diff(books) < 100_000, "{sum} {books}");
        assert!(stolen < 100_000, "{stolen}");
    }

    #[test]
    fn a_theft_is_its_slices_own_and_small_ones_add_up() {
        assert_eq!(running([(1_000_000, 700_000)]), (700_000, 700_000, 300_000));
        let (sum, books, _) = running((0..1000).map(|_| (100_000, 98_000)));
        assert!(sum.abs_diff(books) <= 10_000, "{sum} {books}");
    }

    #[test]
    fn without_books_nothing_is_stolen() {
        let mut charge = Charge::default();
        assert_eq!(charge.leaves(1_000_000, 5), 0);
        charge.comes(0);
        assert_eq!(charge.leaves(1_000_000, 0), 0);
        charge.comes(10);
        assert_eq!(charge.leaves(1_000_000, 5), 0);
        charge.comes(0);
        assert_eq!(charge.leaves(u64::MAX, u64::MAX), 0);
    }
}
