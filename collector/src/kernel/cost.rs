//! What the programs cost, by the kernel's own statistics.

use super::object::bpf_error;
use crate::CollectorError;
use aya::Ebpf;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The kernel's figures of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCost {
    /// Name of the program.
    pub name: String,
    /// Time spent in it, ns; 0 unless the statistics are on ([`enable_statistics`], or the sysctl kernel.bpf_stats_enabled).
    pub run_ns: u64,
    /// Times it ran; 0 unless the statistics are on.
    pub runs: u64,
    /// Times it could not run, because it was running on that CPU already.
    pub missed: u64,
}

impl ProgramCost {
    /// Mean time of one run, ns.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        if self.runs == 0 {
            0.0
        } else {
            self.run_ns as f64 / self.runs as f64
        }
    }
}

/// Switches the kernel's statistics on as long as the result is held. They cost every BPF program of the machine some 50 ns a run themselves.
///
/// # Errors
/// [`CollectorError::Bpf`] where the kernel (before 5.8) cannot, or may not.
pub fn enable_statistics() -> Result<OwnedFd, CollectorError> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(|error| bpf_error("BPF statistics", &error.io_error))
}

/// The figures of all loaded programs of an object, in the order of their names.
#[must_use]
pub fn costs(bpf: &Ebpf) -> Vec<ProgramCost> {
    let mut costs: Vec<ProgramCost> = bpf
        .programs()
        .filter_map(|(name, program)| cost(name, program))
        .collect();
    costs.sort_by(|a, b| a.name.cmp(&b.name));
    costs
}

fn cost(name: &str, program: &aya::programs::Program) -> Option<ProgramCost> {
    let fd = program.fd().ok()?.as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let field = |wanted: &str| {
        let line = info.lines().find(|line| line.split(':').next() == Some(wanted))?;
        line.split(':').nth(1)?.trim().parse().ok()
    };
    Some(ProgramCost {
        name: name.to_owned(),
        run_ns: field("run_time_ns").unwrap_or(0),
        runs: field("run_cnt").unwrap_or(0),
        missed: field("recursion_misses").unwrap_or(0),
    })
}
