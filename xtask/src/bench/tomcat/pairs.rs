//! The pairs of one way, and what their ratios come to.

use super::turn::Turn;
use crate::bench::mean::Mean;
use std::fmt;

/// The pairs of one way.
#[derive(Clone, Debug, Default)]
pub struct Ratios {
    throughput: Vec<f64>,
    cpu: Vec<f64>,
    p99: Vec<f64>,
}

impl Ratios {
    pub fn add(&mut self, bare: &Turn, recorded: &Turn) {
        self.throughput
            .push((recorded.requests_a_second / bare.requests_a_second).ln());
        self.cpu.push((recorded.cpu_ns_a_request / bare.cpu_ns_a_request).ln());
        self.p99.push((recorded.p99_ms / bare.p99_ms).ln());
    }

    pub fn pairs(&self) -> usize {
        self.throughput.len()
    }

    /// The widest half of an interval.
    pub fn half_width(&self) -> f64 {
        let all = [&self.throughput, &self.cpu, &self.p99];
        all.map(|of| Mean::of(of).half_width()).into_iter().fold(0.0, f64::max)
    }

    /// The last pair, in words.
    pub fn last(&self) -> String {
        let last = |of: &[f64]| of.last().copied().unwrap_or(f64::NAN).exp();
        format!(
            "requests a second × {:.3}, CPU a request × {:.3}, 99th percentile × {:.3}",
            last(&self.throughput),
            last(&self.cpu),
            last(&self.p99)
        )
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [throughput, cpu, p99] = [&self.throughput, &self.cpu, &self.p99].map(|of| Mean::of(of));
        write!(f, "{:>5} {throughput} {cpu} {p99} {:>9.4}", self.pairs(), p99.to)
    }
}
