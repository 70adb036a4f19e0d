//! How much memory a time needs: as much as comes in that time, at the rate that is measured. The bound follows that rate, with room to spare, as far as the machine has memory.

/// The begin of a recording describes everybody who is there: that is no measure of what follows.
const WARM_UP_NS: u64 = 1_000_000_000;
/// How long is measured at first, and then again and again.
const FIRST_NS: u64 = 2_000_000_000;
const STEP_NS: u64 = 5_000_000_000;
/// Earlier, where what is held comes near the bound, but not at once: segments come in lumps.
const SHORTEST_NS: u64 = 1_000_000_000;
/// Bound until something is measured, and where the system does not say how much memory there is, bytes.
const UNMEASURED: u64 = 256 << 20;
/// To spare beside half as much again: what comes in a moment in which the rate rises, bytes.
const SPARE: u64 = 16 << 20;

/// What a window has taken in and holds, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// All that has come.
    pub come: u64,
    pub held: u64,
}

/// The measure.
#[derive(Debug)]
pub(crate) struct Sizer {
    keep_ns: u64,
    /// When the measuring began, and what had come until then.
    since_ns: u64,
    come: u64,
    step_ns: u64,
    /// Most that segments may take, bytes.
    pub bound: u64,
    /// What was told last.
    told: Option<Need>,
}

/// What a time needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    keep_ns: u64,
    /// What comes in a second, bytes.
    rate: u64,
    /// What comes in the time, bytes.
    bytes: u64,
    /// What there is for it, bytes.
    most: u64,
}

impl Sizer {
    /// For what is not older than `keep_ns`. `most`: what segments may take of the memory that there is.
    pub fn new(keep_ns: u64, now_ns: u64, most: Option<u64>) -> Sizer {
        Sizer {
            keep_ns,
            since_ns: now_ns.saturating_add(WARM_UP_NS),
            come: 0,
            step_ns: FIRST_NS,
            bound: most.map_or(UNMEASURED, |most| most.min(UNMEASURED)),
            told: None,
        }
    }

    /// Measures, if it is time to, and sets the bound. `most`: what segments may take of the memory that there is. Returns what the user should hear.
    pub fn look(&mut self, now_ns: u64, load: Load, most: impl FnOnce() -> Option<u64>) -> Option<Need> {
        let Some(elapsed_ns) = now_ns.checked_sub(self.since_ns) else {
            self.come = load.come;
            return None;
        };
        let is_tight = elapsed_ns >= SHORTEST_NS && load.held > self.bound / 4 * 3;
        if elapsed_ns < self.step_ns && !is_tight {
            return None;
        }
        let need = Need::of(
            load.come.saturating_sub(self.come),
            elapsed_ns,
            self.keep_ns,
            most().unwrap_or(UNMEASURED),
        );
        (self.since_ns, self.come, self.step_ns) = (now_ns, load.come, STEP_NS);
        self.bound = need.bound(load.held);
        self.is_news(&need).then(|| *self.told.insert(need))
    }

    /// A rate that was told as half as much is, that a time cannot be kept or can be again (with room to spare: at the border it would be told every few seconds), and that only half of what was
    /// told can be.
    fn is_news(&self, need: &Need) -> bool {
        self.told.is_none_or(|told| {
            need.rate / 2 >= told.rate.max(1)
                || told.is_kept() && !need.is_kept()
                || !told.is_kept() && need.bytes <= need.most / 4 * 3
                || need.kept_ns() <= told.kept_ns() / 2
        })
    }
}

impl Need {
    fn of(come: u64, elapsed_ns: u64, keep_ns: u64, most: u64) -> Need {
        let in_time = |ns: u64| {
            let bytes = u128::from(come) * u128::from(ns) / u128::from(elapsed_ns.max(1));
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        Need {
            keep_ns,
            rate: in_time(1_000_000_000),
            bytes: in_time(keep_ns),
            most,
        }
    }

    /// What is held may have come at a higher rate, and is as old as it may be.
    fn bound(&self, held: u64) -> u64 {
        let bytes = self.bytes.max(held);
        bytes.saturating_add(bytes / 2).saturating_add(SPARE).min(self.most)
    }

    /// Whether the memory is enough for all of the time.
    pub fn is_kept(&self) -> bool {
        self.bytes <= self.most
    }

    /// How long can be kept, ns.
    fn kept_ns(&self) -> u64 {
        let kept_ns = u128::from(self.keep_ns) * u128::from(self.most) / u128::from(self.bytes.max(1));
        self.keep_ns.min(u64::try_from(kept_ns).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let keep = seconds(self.keep_ns);
        let rate = match self.rate >> 20 {
            0 => format!("{} KiB/s", self.rate >> 10),
            _ => format!("{:.1} MiB/s", mib(self.rate)),
        };
        match self.is_kept() {
            true => write!(
                f,
                "keeping the last {keep:.1} s: about {:.1} MiB at {rate}",
                mib(self.bytes)
            ),
            false => write!(
                f,
                "keeping the last {:.1} s, not {keep:.1} s: at {rate} the {:.1} MiB that may be taken, an eighth of the memory that is available, hold no more (--flight SIZE takes more)",
                seconds(self.kept_ns()),
                mib(self.most)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    /// Looks at these times, in s, with so many MiB come and held.
    fn look(sizer: &mut Sizer, second: u64, (come, held): (u64, u64), most: u64) -> Option<String> {
        let load = Load {
            come: come * MIB,
            held: held * MIB,
        };
        let need = sizer.look(second * SECOND, load, || Some(most * MIB));
        need.map(|need| need.to_string())
    }

    #[test]
    fn the_bound_follows_the_rate_after_the_first_seconds() {
        let mut sizer = Sizer::new(60 * SECOND, 0, None);
        // What comes in the first second does not count.
        assert_eq!(look(&mut sizer, 0, (50, 50), 1000), None);
        assert_eq!((look(&mut sizer, 2, (52, 52), 1000), sizer.bound), (None, 256 * MIB));
        let told = look(&mut sizer, 3, (54, 54), 1000);
        assert_eq!(
            told.as_deref(),
            Some("keeping the last 60.0 s: about 120.0 MiB at 2.0 MiB/s")
        );
        assert_eq!(sizer.bound, (180 + 16) * MIB);
        // The same is no news, nor is less.
        assert_eq!(look(&mut sizer, 8, (64, 64), 1000), None);
        assert_eq!(look(&mut sizer, 13, (69, 69), 1000), None);
        assert_eq!(sizer.bound, (69 + 34) * MIB + MIB / 2 + 16 * MIB, "what is held stays");
        let told = look(&mut sizer, 18, (89, 89), 1000);
        assert_eq!(
            told.as_deref(),
            Some("keeping the last 60.0 s: about 240.0 MiB at 4.0 MiB/s")
        );
    }

    #[test]
    fn a_rate_that_rises_is_seen_before_the_bound_is_reached() {
        let mut sizer = Sizer::new(10 * SECOND, 0, None);
        look(&mut sizer, 0, (0, 0), 10_000);
        look(&mut sizer, 3, (2, 2), 10_000);
        assert_eq!(sizer.bound, (10 + 5 + 16) * MIB);
        look(&mut sizer, 4, (27, 27), 10_000);
        assert_eq!(sizer.bound, (250 + 125 + 16) * MIB);
    }

    #[test]
    fn what_can_be_kept_is_told_when_it_changes() {
        let mut sizer = Sizer::new(60 * SECOND, 0, None);
        let mut come = 0;
        let mut next = |second: u64, rate: u64, most: u64| {
            come += rate * 5;
            look(&mut sizer, second, (come, 0), most)
        };
        assert_eq!(next(0, 0, 1000), None);
        assert!(next(6, 10, 1000).is_some_and(|told| told.starts_with("keeping the last 60.0 s: ")));
        assert!(next(11, 10, 300).is_some_and(|told| told.starts_with("keeping the last 30.0 s, not ")));
        assert_eq!(next(16, 10, 200), None, "two thirds of it");
        assert!(next(21, 10, 150).is_some_and(|told| told.starts_with("keeping the last 15.0 s, not ")));
        assert!(next(26, 1, 150).is_some_and(|told| told.starts_with("keeping the last 60.0 s: ")));
        assert_eq!(next(31, 1, 150), None);
        assert!(next(36, 1, 50).is_some_and(|told| told.starts_with("keeping the last 50.0 s, not ")));
        assert_eq!(next(41, 1, 62), None, "just enough again");
        assert_eq!(next(46, 1, 50), None);
        assert!(next(51, 1, 80).is_some_and(|told| told.starts_with("keeping the last 60.0 s: ")));
    }

    #[test]
    fn no_more_is_taken_than_there_is_and_that_is_told() {
        let mut sizer = Sizer::new(60 * SECOND, 0, None);
        look(&mut sizer, 0, (0, 0), 100);
        let told = look(&mut sizer, 3, (20, 20), 100).expect("news");
        assert!(
            told.starts_with("keeping the last 10.0 s, not 60.0 s: at 10.0 MiB/s the 100.0 MiB "),
            "{told}"
        );
        assert_eq!(sizer.bound, 100 * MIB);
        // The system does not say.
        sizer.look(
            60 * SECOND,
            Load {
                come: 9000 * MIB,
                held: 100 * MIB,
            },
            || None,
        );
        assert_eq!(sizer.bound, UNMEASURED);
        assert_eq!(Need::of(u64::MAX, 0, u64::MAX, 1).kept_ns(), 1);
        assert!(Need::of(0, 0, SECOND, 0).is_kept());
    }
}
