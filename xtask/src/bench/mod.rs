//! Benchmarks: what one recorded event costs, beside what others pay for the same event, in turns within the same run.

pub mod agent;
pub mod attach;
pub mod kernel;
mod mean;
mod recording;
pub mod startup;
pub mod tomcat;

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

/// Runs all ways in turns, and prints of each figure the median over the turns, what it adds to the first way's, and that as a
/// multiple of what the second way, plumb's, adds.
fn compare(ways: &[Way], figures: &[&str]) -> Result<()> {
    let mut printed = vec![Vec::new(); ways.len()];
    for turn in 0..TURNS {
        for (way, printed) in ways.iter().zip(&mut printed) {
            printed.push(process::output(&mut (way.command)(turn)?)?);
        }
    }
    figures
        .iter()
        .try_for_each(|figure| print_table(ways, &printed, figure))
}

fn print_table(ways: &[Way], printed: &[Vec<String>], figure: &str) -> Result<()> {
    let mut medians = Vec::new();
    for (way, printed) in ways.iter().zip(printed) {
        let read = printed
            .iter()
            .map(|printed| read_figure(printed, figure))
            .collect::<Option<Vec<f64>>>();
        medians.push(median(
            &mut read.with_context(|| format!("{} printed no {figure}", way.name))?,
        ));
    }
    println!(
        "\n{figure}, median of {TURNS} turns\n{:<44} {:>9} {:>9} {:>9}",
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
