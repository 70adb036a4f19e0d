//! Benchmarks: what one recorded event costs, beside what others pay for the same event, in turns within the same run.

pub mod agent;
pub mod kernel;

use crate::process;
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

/// Turns that each way takes; the ways alternate, so that a machine that slows down slows all of them.
const TURNS: usize = 5;

/// One way of doing the same thing.
struct Way {
    name: &'static str,
    /// Makes the command for a turn; its output holds one line of JSON with the figure.
    command: Box<dyn Fn(usize) -> Result<Command>>,
}

/// Runs all ways in turns and prints medians, what they add to the first way, and that as a ratio to the second way's.
fn compare(ways: &[Way], figure: &str) -> Result<()> {
    let mut figures = vec![Vec::new(); ways.len()];
    for turn in 0..TURNS {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let printed = process::output(&mut (way.command)(turn)?)?;
            figures.push(read_figure(&printed, figure).with_context(|| format!("{} printed no {figure}", way.name))?);
        }
    }
    let medians: Vec<f64> = figures.iter_mut().map(|figures| median(figures)).collect();
    println!(
        "{figure}, median of {TURNS} turns\n{:<44} {:>9} {:>9} {:>9}",
        "", "median", "added", "× plumb"
    );
    for (way, median) in ways.iter().zip(&medians) {
        let (added, of_plumb) = (median - medians[0], medians[1] - medians[0]);
        println!("{:<44} {median:>9.1} {added:>9.1} {:>9.2}", way.name, added / of_plumb);
    }
    Ok(())
}

/// The figure in the last line of JSON that has it.
fn read_figure(printed: &str, figure: &str) -> Option<f64> {
    printed
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line).ok()?.get(figure)?.as_f64())
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figure_counts() {
        assert_eq!(
            read_figure("noise\n{\"ns\": 1}\n{\"ns\": 2.5}\n{\"other\": 3}\n", "ns"),
            Some(2.5)
        );
        assert_eq!(read_figure("noise", "ns"), None);
    }

    #[test]
    fn medians() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
