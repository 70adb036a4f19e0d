//! How long a thread waited for the CPU that it comes to, by the kernel's own books: `run_delay`, which every switch tells of who comes, as far as its
//! low 32 bits go. Its growth since the thread last came is this wait, also where the thread was moved from queue to queue meanwhile.

/// A wait that began before its waking was recorded, by the delay of records, ns.
const SLACK_NS: u64 = 1_000_000;

/// One thread's book.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    /// What it said when the thread last came to a CPU.
    before: Option<u32>,
}

impl Waits {
    /// A thread is born: it has not waited yet.
    pub(crate) fn born() -> Waits {
        Waits { before: Some(0) }
    }

    /// It may have come to a CPU unseen.
    pub(crate) fn forget(&mut self) {
        *self = Waits::default();
    }

    /// The thread comes, with this in its book. Gives the wait's length modulo 2^32, ns; `None` where it is not known.
    pub(crate) fn comes(&mut self, now: Option<u32>) -> Option<u32> {
        let before = std::mem::replace(&mut self.before, now)?;
        Some(now?.wrapping_sub(before))
    }
}

/// The length of a wait of which the low 32 bits are known, ns, if the thread was woken so long ago (`None`: that was not recorded).
pub(crate) fn whole(low: u32, since_waking_ns: Option<u64>) -> u64 {
    let least = u64::from(low);
    let most = since_waking_ns.map_or(least, |ns| ns.saturating_add(SLACK_NS));
    least + (most.saturating_sub(least) & !u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_what_the_book_grew_by() {
        let mut waits = Waits::default();
        assert_eq!(waits.comes(Some(u32::MAX - 4)), None);
        assert_eq!(waits.comes(Some(5)), Some(10));
        assert_eq!(waits.comes(None), None);
        assert_eq!(waits.comes(Some(7)), None);
        assert_eq!(Waits::born().comes(Some(7)), Some(7));
    }

    #[test]
    fn a_long_wait_is_as_long_as_its_waking_allows() {
        assert_eq!(whole(5, None), 5);
        assert_eq!(whole(5, Some(1)), 5);
        assert_eq!(whole(5, Some((3 << 32) + 4)), (3 << 32) + 5);
        assert_eq!(whole(2_000_000, Some((3 << 32) + 4)), (2 << 32) + 2_000_000);
    }
}
