//! Which of the JVM's own events are wanted, in whatever form: as a file says it, settled, or as bits.

/// How many there are.
pub const FEATURES: usize = 9;

/// What they are called in rules, in the order of [`Features::into_array`].
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "threads",
    "monitors",
    "waits",
    "gc",
    "parks",
    "sleeps",
    "virtual_threads",
    "exceptions",
    "allocations",
];

/// Something for each of the JVM's own events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features<T> {
    /// Starts, ends and names of threads.
    pub threads: T,
    /// Contended Java monitors.
    pub monitors: T,
    /// `Object.wait`.
    pub waits: T,
    /// Pauses of the garbage collector.
    pub gc: T,
    /// `LockSupport.park`, and the pool workers of the JDK that have nothing to do.
    pub parks: T,
    /// `Thread.sleep`.
    pub sleeps: T,
    /// Virtual threads: their lives, and which carrier runs them when.
    pub virtual_threads: T,
    /// Exceptions that are made, counted by class and place.
    pub exceptions: T,
    /// Samples of what is allocated, counted by class and place.
    pub allocations: T,
}

/// Which of them are wanted.
pub type JvmFeatures = Features<bool>;

impl<T> Features<T> {
    /// One after the other; their places are part of the format of compiled rules.
    pub fn into_array(self) -> [T; FEATURES] {
        let Features {
            threads,
            monitors,
            waits,
            gc,
            parks,
            sleeps,
            virtual_threads,
            exceptions,
            allocations,
        } = self;
        [
            threads,
            monitors,
            waits,
            gc,
            parks,
            sleeps,
            virtual_threads,
            exceptions,
            allocations,
        ]
    }

    /// The reverse of [`Features::into_array`].
    pub fn from_array(array: [T; FEATURES]) -> Features<T> {
        let [
            threads,
            monitors,
            waits,
            gc,
            parks,
            sleeps,
            virtual_threads,
            exceptions,
            allocations,
        ] = array;
        Features {
            threads,
            monitors,
            waits,
            gc,
            parks,
            sleeps,
            virtual_threads,
            exceptions,
            allocations,
        }
    }

    /// Each as something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Features<U> {
        Features::from_array(self.into_array().map(change))
    }
}

impl<T: Copy> Features<T> {
    /// Each with its like in `others`.
    pub fn with(self, others: Features<T>, join: impl Fn(T, T) -> T) -> Features<T> {
        let (mine, theirs) = (self.into_array(), others.into_array());
        Features::from_array(std::array::from_fn(|place| join(mine[place], theirs[place])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names_agree() {
        let numbered = Features::from_array(std::array::from_fn(|place| place));
        let Features {
            threads,
            waits,
            allocations,
            ..
        } = numbered;
        assert_eq!(numbered.into_array(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let named = [(threads, "threads"), (waits, "waits"), (allocations, "allocations")];
        assert!(named.iter().all(|(place, name)| FEATURE_NAMES[*place] == *name));
    }
}
