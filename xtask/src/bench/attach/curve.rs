//! Answers as a curve: requests and latencies of each second, as text.

use super::load::Answer;
use std::{fmt::Write, time::Duration};

/// Characters of the longest bar.
const BAR: usize = 50;

/// One second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    pub requests: usize,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    pub longest_ms: f64,
}

/// Each whole second of the answers.
pub fn seconds(answers: &[Answer]) -> Vec<Second> {
    let last = answers.iter().map(|answer| answer.at.as_secs()).max().unwrap_or(0);
    let mut took = vec![Vec::new(); last as usize];
    for answer in answers {
        if let Some(second) = took.get_mut(answer.at.as_secs() as usize) {
            second.push(answer.took);
        }
    }
    took.into_iter().map(second).collect()
}

fn second(mut took: Vec<Duration>) -> Second {
    took.sort_unstable();
    let ms = |index: usize| took.get(index).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    Second {
        requests: took.len(),
        p99_ms: ms(took.len() * 99 / 100),
        longest_ms: ms(took.len().saturating_sub(1)),
    }
}

/// Mean requests a second of a stretch, in whole seconds; 0 of none.
pub fn mean(seconds: &[Second], from: usize, to: usize) -> f64 {
    let stretch = seconds.get(from..to.min(seconds.len())).unwrap_or_default();
    let sum: usize = stretch.iter().map(|second| second.requests).sum();
    sum as f64 / stretch.len().max(1) as f64
}

/// A line a second, with what happened in it.
pub fn drawn(seconds: &[Second], happened: &[(Duration, &str)]) -> String {
    let most = seconds.iter().map(|second| second.requests).max().unwrap_or(0).max(1);
    let mut text = String::new();
    for (number, second) in seconds.iter().enumerate() {
        let bar = "#".repeat(second.requests * BAR / most);
        let what: Vec<&str> = happened
            .iter()
            .filter(|(at, _)| at.as_secs() == number as u64)
            .map(|(_, what)| *what)
            .collect();
        let Second {
            requests,
            p99_ms,
            longest_ms,
        } = second;
        // A string takes all that is written into it.
        let _ = writeln!(
            text,
            "{number:>4} s {requests:>6} {bar:<BAR$} p99 {p99_ms:>7.1} ms, longest {longest_ms:>7.1} ms  {}",
            what.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_hold_their_answers() {
        let answer = |at_ms, took_ms| Answer {
            at: Duration::from_millis(at_ms),
            took: Duration::from_millis(took_ms),
        };
        let seconds = seconds(&[answer(100, 1), answer(900, 7), answer(1500, 2), answer(2500, 3)]);
        assert_eq!(seconds.len(), 2, "the last is not whole");
        assert_eq!((seconds[0].requests, seconds[0].longest_ms), (2, 7.0));
        assert!((mean(&seconds, 0, 9) - 1.5).abs() < 1e-9);
        let text = drawn(&seconds, &[(Duration::from_millis(1200), "attach")]);
        assert!(
            text.lines().nth(1).is_some_and(|line| line.contains("attach")),
            "{text}"
        );
        assert_eq!(super::seconds(&[]), []);
    }
}
