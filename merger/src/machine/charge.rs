//! What the hypervisor took from a running slice: what the slice lasted, less what the kernel charged for it.
//!
//! Both ends of a slice and its charge are read from the same clock ([`super::accounting`]); the charge leaves out what was stolen. So the difference is what was stolen, to the nanosecond (and, on
//! kernels with CONFIG_IRQ_TIME_ACCOUNTING, what interrupts took). Where the accounting clock is not known, a slice
//! lasts from record to record, and only a difference that no switch's own delay makes counts as stolen.

use super::accounting::between;

/// Delay of a switch's record that is no theft, where delays are not recorded, ns.
const DELAY_MAX_NS: u64 = 10_000;

/// What a thread had been charged when it came, ns.
#[derive(Clone, Copy, Debug)]
enum Charged {
    /// So much.
    Whole(u64),
    /// What it was when it last left is not known: low 32 bits.
    Low(u32),
}

/// One thread's account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charge {
    /// When it came, as (time, lag), and what it had been charged then.
    came: Option<((u64, u32), Charged)>,
    at_switch_out: Option<u64>,
}

impl Charge {
    /// A thread is born: nothing has been charged yet.
    pub(crate) fn born() -> Charge {
        Charge {
            came: None,
            at_switch_out: Some(0),
        }
    }

    /// The thread came to a CPU at (time, lag), with so much charged so far, low 32 bits. Tells whether it has not run since it last left one, as far as that is known.
    pub(crate) fn comes(&mut self, at: (u64, u32), charged: u32) -> bool {
        let whole = self
            .at_switch_out
            .and_then(|left| left.checked_add(u64::from(charged.wrapping_sub(left as u32))));
        self.came = Some((at, whole.map_or(Charged::Low(charged), Charged::Whole)));
        whole.is_some_and(|whole| self.at_switch_out == Some(whole))
    }

    /// What came before is not known: the next slice's charge is not either.
    pub(crate) fn forget(&mut self) {
        *self = Charge::default();
    }

    /// What was charged since the thread last left a CPU, ns: how long it ran where its coming was not recorded.
    pub(crate) fn since_switch_out(&self, charged_ns: u64) -> Option<u64> {
        charged_ns.checked_sub(self.at_switch_out?)
    }

    /// The thread leaves at (time, lag); gives what was stolen from the slice, ns.
    pub(crate) fn leaves(&mut self, at: (u64, u32), charged_ns: u64) -> u64 {
        // Nothing charged at all: the collector could not read it.
        self.at_switch_out = Some(charged_ns).filter(|&charged| charged > 0);
        let Some((came, before)) = self.came.take().filter(|_| charged_ns > 0) else {
            return 0;
        };
        let lasted = between(came, at);
        let charged = match before {
            Charged::Whole(before) => charged_ns.checked_sub(before),
            Charged::Low(low) => Some(since(low, charged_ns, lasted.unwrap_or(at.0.saturating_sub(came.0)))),
        };
        let Some(charged) = charged else {
            return 0;
        };
        match lasted {
            Some(lasted) => lasted.saturating_sub(charged),
            None => Some(at.0.saturating_sub(came.0).saturating_sub(charged))
                .filter(|&stolen| stolen >= DELAY_MAX_NS)
                .unwrap_or(0),
        }
    }
}

/// What was charged in a slice that lasted so long, if of the charge before only the low 32 bits are known: the most that fits.
fn since(low: u32, charged_ns: u64, lasted_ns: u64) -> u64 {
    let least = u64::from((charged_ns as u32).wrapping_sub(low));
    least + (lasted_ns.saturating_sub(least) & !u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_slices_are_charged_whole() {
        let long = 3 << 32;
        assert_eq!(
            stolen((1_000, 300), u32::MAX, (1_000 + long, 300), long + 0xffff_fff0),
            15
        );
        let mut charge = Charge::default();
        charge.leaves((500, 300), 7 << 32 | 5);
        assert!(charge.comes((1_000, 300), 5));
        assert_eq!(charge.leaves((1_000 + long, 300), 9 << 32 | 5), 1 << 32);
        assert!(!charge.comes((1_000 + long, 300), 6));
    }

    fn stolen(came: (u64, u32), before: u32, left: (u64, u32), after: u64) -> u64 {
        let mut charge = Charge::default();
        charge.comes(came, before);
        charge.leaves(left, after)
    }

    #[test]
    fn stolen_is_what_the_accounting_clock_went_on_and_nobody_was_charged_for() {
        assert_eq!(stolen((1_000, 300), 50, (1_001_000, 300), 700_050), 300_000);
        assert_eq!(stolen((1_000, 300), 50, (1_001_000, 40_300), 960_050), 0);
        assert_eq!(stolen((1_000, 40_300), 50, (1_001_000, 300), 1_040_049), 1);
    }

    #[test]
    fn without_the_clock_small_differences_are_delays() {
        assert_eq!(stolen((1_000, 0), 50, (21_000, 0), 10_050), 10_000);
        assert_eq!(stolen((1_000, 0), 50, (21_000, 0), 10_051), 0);
        assert_eq!(stolen((1_000, 0), 50, (21_000, 0), 90_050), 0);
    }

    #[test]
    fn without_books_nothing_is_said() {
        assert_eq!(Charge::default().leaves((1_000_000, 1), 5), 0);
        assert_eq!(stolen((0, 1), 0, (1_000_000, 1), 0), 0);
        assert_eq!(stolen((0, 1), 10, (1_000_000, 1), 5), 0);
    }
}
