//! The targets, a file for each part of plumb.

mod attach;
mod classfile;
mod matcher;
mod perf;
mod perfdata;
mod rules;
mod segment;
mod symbols;
mod timeline;
mod usdt;

/// Something that reads bytes of others.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// Takes any bytes. Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with: good ones.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longest input that is worth trying, bytes.
    pub bytes_max: usize,
}

/// All of them.
pub const TARGETS: [Target; 16] = [
    Target {
        name: "classfile",
        what: "the rewriter of class files, with a probe in every method",
        run: classfile::run,
        seeds: classfile::seeds,
        bytes_max: 1 << 16,
    },
    Target {
        name: "segment",
        what: "segments of a recording, as they lie in its files",
        run: segment::run_file,
        seeds: segment::seeds_of_files,
        bytes_max: 1 << 14,
    },
    Target {
        name: "payload",
        what: "what a segment holds, of every kind, decompressed and with the right checksum",
        run: segment::run_payload,
        seeds: segment::seeds_of_payloads,
        bytes_max: 1 << 14,
    },
    Target {
        name: "kernel-columns",
        what: "the columns of kernel records",
        run: segment::run_kernel,
        seeds: segment::seeds_of_kernel,
        bytes_max: 1 << 14,
    },
    Target {
        name: "timeline",
        what: "a timeline's file and every question to it, all checksums right",
        run: timeline::run,
        seeds: timeline::seeds,
        bytes_max: 1 << 15,
    },
    Target {
        name: "rules",
        what: "rule files, what they compile to, and what that matches",
        run: rules::run,
        seeds: rules::seeds,
        bytes_max: 1 << 13,
    },
    Target {
        name: "matcher",
        what: "compiled rules, as the agent gets them",
        run: matcher::run,
        seeds: matcher::seeds,
        bytes_max: 1 << 14,
    },
    Target {
        name: "attach",
        what: "what agent and recorder say to each other, through a socket",
        run: attach::run,
        seeds: attach::seeds,
        bytes_max: 1 << 13,
    },
    Target {
        name: "usdt",
        what: "the probes that a library's notes tell of",
        run: usdt::run,
        seeds: usdt::seeds,
        bytes_max: 1 << 13,
    },
    Target {
        name: "perfdata",
        what: "the file that a JVM counts in",
        run: perfdata::run,
        seeds: perfdata::seeds,
        bytes_max: 1 << 12,
    },
    Target {
        name: "elf",
        what: "symbols and build ids of a file of code",
        run: symbols::run_elf,
        seeds: symbols::seeds_of_elf,
        bytes_max: 1 << 13,
    },
    Target {
        name: "maps",
        what: "what a process has mapped",
        run: symbols::run_maps,
        seeds: symbols::seeds_of_maps,
        bytes_max: 1 << 12,
    },
    Target {
        name: "kallsyms",
        what: "the kernel's symbols",
        run: symbols::run_kallsyms,
        seeds: symbols::seeds_of_kallsyms,
        bytes_max: 1 << 12,
    },
    Target {
        name: "perf-map",
        what: "what a runtime says that it compiled",
        run: symbols::run_perf_map,
        seeds: symbols::seeds_of_perf_map,
        bytes_max: 1 << 12,
    },
    Target {
        name: "perf-ring",
        what: "records of perf events, and the books that are kept of them",
        run: perf::run_ring,
        seeds: perf::seeds_of_ring,
        bytes_max: 1 << 12,
    },
    Target {
        name: "tracepoints",
        what: "where the fields of tracepoints lie, and what is read there",
        run: perf::run_formats,
        seeds: perf::seeds_of_formats,
        bytes_max: 1 << 12,
    },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
