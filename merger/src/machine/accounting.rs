//! When the scheduler did what a record tells: by the clock that it accounts with.
//!
//! The scheduler reads its clock (`rq->clock`) when it queues a thread or begins to choose the next one, and charges run time and waiting time between such readings. The
//! record is written later: 0.3 µs as a rule, but as much as an inter-processor interrupt takes to a CPU whose clock was read by whoever woke the
//! thread that preempts. [`KernelRecord::lag`] is that delay plus what lies between the two clocks, which is the same for all CPUs and moves by some µs a second: the least lag of a while is
//! taken for it. So every instant of the timeline is the one that the kernel's own books know.
//!
//! [`KernelRecord::lag`]: plumb_trace::record::KernelRecord::lag

/// The least lag is looked for in this time and the one before, ns. Clocks that differ by 50 millionths part by 1.7 µs in both.
const WHILE_NS: u64 = 1 << 24;

/// A host's accounting clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccountingClock {
    /// Number of the while, the least lag in it.
    current: Option<(u64, u32)>,
    /// The least lag of the one before, if there was any.
    before: Option<u32>,
}

impl AccountingClock {
    /// The instant, in ns of the recording's clock, at which the scheduler read its clock for what was recorded at `at` with this lag. Lag 0: not known, that is `at`.
    pub(crate) fn instant(&mut self, at: u64, lag: u32) -> u64 {
        if lag == 0 {
            return at;
        }
        let number = at / WHILE_NS;
        self.current = match self.current {
            Some((of, least)) if of == number => Some((of, smaller(least, lag))),
            current => {
                self.before = current.filter(|&(of, _)| of + 1 == number).map(|(_, least)| least);
                Some((number, lag))
            }
        };
        let least = self.current.map_or(lag, |(_, least)| least);
        let least = self.before.map_or(least, |before| smaller(before, least));
        at.saturating_sub(u64::from(lag.wrapping_sub(least)))
    }
}

/// Lags count modulo 2^32.
fn smaller(one: u32, other: u32) -> u32 {
    if (one.wrapping_sub(other) as i32) < 0 {
        one
    } else {
        other
    }
}

/// Ns by the accounting clock between two records, (time, lag) each; `None` where a lag is not known or the clock did not go on.
pub(crate) fn between(from: (u64, u32), to: (u64, u32)) -> Option<u64> {
    if from.1 == 0 || to.1 == 0 {
        return None;
    }
    let more_lag = i64::from(to.1.wrapping_sub(from.1) as i32);
    to.0.checked_sub(from.0)?.checked_add_signed(-more_lag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_lag_is_the_clocks_distance() {
        let mut clock = AccountingClock::default();
        let apart = u32::MAX - 5_000;
        let lag = |delay: u32| apart.wrapping_add(delay);
        assert_eq!(clock.instant(1_000_000, lag(300)), 1_000_000);
        assert_eq!(clock.instant(1_100_000, lag(40_300)), 1_060_000);
        assert_eq!(clock.instant(1_200_000, lag(200)), 1_200_000);
        assert_eq!(clock.instant(1_300_000, lag(300)), 1_299_900);
        // In the next while the one before still counts; after a pause nothing does.
        assert_eq!(clock.instant(WHILE_NS + 1_000_000, lag(300)), WHILE_NS + 999_900);
        assert_eq!(clock.instant(9 * WHILE_NS, lag(300)), 9 * WHILE_NS);
        assert_eq!(clock.instant(9 * WHILE_NS, 0), 9 * WHILE_NS);
    }

    #[test]
    fn time_between_records_by_the_accounting_clock() {
        assert_eq!(between((1_000, 50), (9_000, 300)), Some(7_750));
        assert_eq!(between((1_000, u32::MAX), (9_000, 3)), Some(7_996));
        assert_eq!(between((1_000, 50), (1_100, 300)), None);
        assert_eq!(between((1_000, 0), (9_000, 300)), None);
    }
}
