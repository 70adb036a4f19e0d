//! What is flat: samples of a run judged by quarters.

/// How much more something may be at the end than after warming up.
#[derive(Clone, Copy, Debug)]
pub struct Slack {
    /// A part of what it was.
    pub part: f64,
    /// And so much on top, in its own unit.
    pub more: f64,
}

/// What was judged, a line each.
#[derive(Debug, Default)]
pub struct Verdicts(Vec<(bool, String)>);

impl Verdicts {
    /// Notes what holds, or does not.
    pub fn note(&mut self, holds: bool, line: impl Into<String>) {
        self.0.push((holds, line.into()));
    }

    /// Judges samples: the least of the last quarter against the least of the second, because what is collected now and then has teeth like a saw, and a
    /// leak lifts their feet. What shrinks is flat.
    pub fn flat(&mut self, name: &str, unit: &str, samples: &[f64], slack: Slack) {
        let (Some(before), Some(after)) = (quarter(samples, 1), quarter(samples, 3)) else {
            self.note(false, format!("{name}: {} samples are too few to judge", samples.len()));
            return;
        };
        let limit = before * (1.0 + slack.part) + slack.more;
        let line =
            format!("{name}: {before:.0} {unit} after warming up, {after:.0} at the end (up to {limit:.0} is flat)");
        self.note(after <= limit, line);
    }

    /// Prints them.
    pub fn print(&self) {
        for (holds, line) in &self.0 {
            println!("{}  {line}", if *holds { "flat" } else { "BAD " });
        }
    }

    /// Takes those of a part in.
    pub fn extend(&mut self, part: &str, other: Verdicts) {
        self.0.extend(
            other
                .0
                .into_iter()
                .map(|(holds, line)| (holds, format!("{part}: {line}"))),
        );
    }

    /// Those that do not hold.
    pub fn bad(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(holds, _)| !holds)
            .map(|(_, line)| line.as_str())
            .collect()
    }
}

/// The least of a quarter (0 to 3) of samples; `None` of less than four samples.
pub fn quarter(samples: &[f64], number: usize) -> Option<f64> {
    let edge = |number: usize| samples.len() * number / 4;
    let part = samples.get(edge(number)..edge(number + 1))?;
    part.iter().copied().min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Slack = Slack { part: 0.1, more: 2.0 };

    #[test]
    fn growth_is_bad_and_warming_up_is_not() {
        let mut verdicts = Verdicts::default();
        verdicts.flat(
            "warm",
            "KiB",
            &[1.0, 5.0, 100.0, 100.0, 101.0, 99.0, 104.0, 102.0],
            SLACK,
        );
        verdicts.flat("less", "KiB", &[9.0, 9.0, 9.0, 1.0], SLACK);
        assert!(verdicts.bad().is_empty(), "{verdicts:?}");
        verdicts.flat(
            "leak",
            "KiB",
            &[100.0, 110.0, 120.0, 130.0, 140.0, 150.0, 160.0, 170.0],
            SLACK,
        );
        verdicts.flat("nothing", "KiB", &[], SLACK);
        assert_eq!(verdicts.bad().len(), 2, "{verdicts:?}");
    }
}
