//! What a running slice lasted by the clock, less what the kernel charged for it: the switch's delay, or stolen time.
//!
//! The kernel reads its accounting clock when it begins to choose the next thread, and the switch is recorded some µs later (0.3 to 10, more where the
//! choice takes long). Both threads of a switch are charged up to and from that earlier instant, and so does run_delay count. The charge tells it: what
//! a slice lasted longer than it was charged, if less than [`DELAY_MAX_NS`], is the delay of the switch that ended it; the slice ends and
//! the successor's begins that much before the record. What it lasted shorter is the delay of the switch that began it, where that was not known (the
//! idle task, which leaves before, has no charge): it began that much before. From [`DELAY_MAX_NS`] on it is stolen time, of this slice.
//!
//! So running without stolen time is what the kernel charged, slice by slice, and thefts too small to be told from delays go over into the next slice of
//! the CPU until they are large enough.

/// From here on a difference is theft, ns.
const DELAY_MAX_NS: u64 = 10_000;
/// No switch is delayed longer: what lies beyond is a mistake, ns.
const EARLY_MAX_NS: u64 = 1_000_000;

/// How a slice's length compares with its charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The charge is not known.
    Unknown,
    /// It began so much before it was recorded, ns.
    Early(u64),
    /// It ended so much before it was recorded, ns; less than its length.
    Late(u64),
    /// So much of it was stolen, ns; at most its length.
    Stolen(u64),
}

/// One thread's account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charge {
    at_switch_in: Option<u64>,
    at_switch_out: Option<u64>,
}

impl Charge {
    /// The thread came to a CPU, with so much charged so far.
    pub(crate) fn comes(&mut self, charged_ns: u64) {
        self.at_switch_in = Some(charged_ns);
    }

    /// What came before is not known: the next slice's charge is not either.
    pub(crate) fn forget(&mut self) {
        *self = Charge::default();
    }

    /// What was charged since the thread last left a CPU, ns: how long it ran where its coming was not recorded.
    pub(crate) fn since_switch_out(&self, charged_ns: u64) -> Option<u64> {
        charged_ns.checked_sub(self.at_switch_out?)
    }

    /// The thread left after `wall_ns` on the CPU.
    pub(crate) fn leaves(&mut self, wall_ns: u64, charged_ns: u64) -> Balance {
        // Nothing charged at all: the collector could not read it.
        self.at_switch_out = Some(charged_ns).filter(|&charged| charged > 0);
        let before = self.at_switch_in.take();
        let charged = before.and_then(|before| self.at_switch_out?.checked_sub(before));
        match charged {
            None => Balance::Unknown,
            Some(charged) if charged > wall_ns => Balance::Early((charged - wall_ns).min(EARLY_MAX_NS)),
            Some(charged) if wall_ns - charged < DELAY_MAX_NS => {
                Balance::Late((wall_ns - charged).min(wall_ns.saturating_sub(1)))
            }
            Some(charged) => Balance::Stolen(wall_ns - charged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(before: u64, wall: u64, after: u64) -> Balance {
        let mut charge = Charge::default();
        charge.comes(before);
        charge.leaves(wall, after)
    }

    #[test]
    fn a_delay_or_a_theft() {
        assert_eq!(balance(50, 1_000_000, 700_050), Balance::Stolen(300_000));
        assert_eq!(balance(50, 20_000, 10_050), Balance::Stolen(10_000));
        assert_eq!(balance(50, 20_000, 14_050), Balance::Late(6_000));
        assert_eq!(balance(50, 20_000, 20_050), Balance::Late(0));
        assert_eq!(balance(50, 20_000, 23_050), Balance::Early(3_000));
        // A slice is never empty.
        assert_eq!(balance(50, 3_000, 50), Balance::Late(2_999));
        assert_eq!(balance(50, 0, 50), Balance::Late(0));
    }

    #[test]
    fn without_books_nothing_is_said() {
        assert_eq!(Charge::default().leaves(1_000_000, 5), Balance::Unknown);
        assert_eq!(balance(0, 1_000_000, 0), Balance::Unknown);
        assert_eq!(balance(10, 1_000_000, 5), Balance::Unknown);
        assert_eq!(balance(0, 0, u64::MAX), Balance::Early(EARLY_MAX_NS));
    }
}
