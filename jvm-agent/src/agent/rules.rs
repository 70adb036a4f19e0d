//! The rules that a session goes by. They may be others later: a live change puts a new set in the place of the old one ([`super::change`]).

use plumb_filters::matcher::{JvmFeatures, MINIMUMS_MAX, Matcher};

/// Compiled rules, and what follows from them.
pub struct RuleSet {
    /// Which classes and methods get probes.
    pub matcher: Matcher,
    /// Which of the JVM's events are recorded.
    pub features: JvmFeatures,
    /// Lengths below which calls leave no record, ns. Probe ids know one by its place: a length keeps it as long as the session lasts.
    pub minimums: Vec<u64>,
    /// Tasks that are handed from one thread to another are told, since units are to be followed through them.
    pub hands_over: bool,
}

impl RuleSet {
    /// The first rules of a session.
    ///
    /// # Errors
    /// Bytes that this agent cannot read: one line of reason.
    pub fn first(bytes: &[u8]) -> Result<RuleSet, String> {
        let matcher = Matcher::parse(bytes).map_err(|error| error.to_string())?;
        Ok(RuleSet {
            features: wanted(&matcher),
            minimums: matcher.minimums(),
            hands_over: matcher.hands_over(),
            matcher,
        })
    }

    /// Rules that take the place of these. What tells of the states of threads stays on, so that no state is left open.
    ///
    /// # Errors
    /// As [`RuleSet::first`]; more lengths in one session than probe ids can tell apart.
    pub fn followed_by(&self, bytes: &[u8]) -> Result<RuleSet, String> {
        let RuleSet {
            matcher,
            features,
            minimums: new,
            hands_over,
        } = RuleSet::first(bytes)?;
        let mut minimums = self.minimums.clone();
        for minimum in new {
            if !minimums.contains(&minimum) {
                minimums.push(minimum);
            }
        }
        if minimums.len() > MINIMUMS_MAX {
            return Err(format!(
                "rules of one recording have more than {MINIMUMS_MAX} different minimum durations"
            ));
        }
        Ok(RuleSet {
            matcher,
            features: with_states_of(features, self.features),
            minimums,
            // Tasks that wait will run.
            hands_over: hands_over || self.hands_over,
        })
    }
}

/// Whose stack is taken is told by the name of the thread. A call with a minimum duration may go on on another carrier than it began on, and a unit in a virtual thread: who is mounted where must be known then.
fn wanted(matcher: &Matcher) -> JvmFeatures {
    let features = matcher.features();
    JvmFeatures {
        threads: features.threads || matcher.wants_stacks(),
        virtual_threads: features.virtual_threads || !matcher.minimums().is_empty() || matcher.hands_over(),
        ..features
    }
}

fn with_states_of(new: JvmFeatures, old: JvmFeatures) -> JvmFeatures {
    JvmFeatures {
        exceptions: new.exceptions,
        allocations: new.allocations,
        ..new.with(old, |new, old| new || old)
    }
}

/// The features that only the first has.
pub fn only_in(some: JvmFeatures, others: JvmFeatures) -> JvmFeatures {
    some.with(others, |mine, theirs| mine && !theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(rules: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().expect("a directory for rules");
        let file = directory.path().join("rules.toml");
        std::fs::write(&file, rules).expect("rules are written");
        plumb_filters::load(&[file.display().to_string()])
            .expect("good rules")
            .compile()
    }

    #[test]
    fn a_change_keeps_the_places_of_lengths_and_what_tells_of_states() {
        let method = |min: &str| format!("[[method]]\nmatch = \"a.B.c\"\nmin = \"{min}\"\n");
        let first = RuleSet::first(&compiled(&format!(
            "[jvm]\nmonitors = true\nexceptions = true\n{}",
            method("1ms")
        )));
        let first = first.expect("rules");
        let next = first
            .followed_by(&compiled(&format!("[jvm]\nwaits = true\n{}", method("50us"))))
            .expect("rules");
        assert_eq!(next.minimums, [1_000_000, 50_000]);
        let JvmFeatures {
            monitors,
            waits,
            exceptions,
            parks,
            ..
        } = next.features;
        assert_eq!((monitors, waits, exceptions, parks), (true, true, false, false));
        let new = only_in(next.features, first.features);
        assert!(new.waits && !new.monitors && !new.virtual_threads);
        assert!(first.followed_by(b"no rules").is_err());
    }
}
