//! The targets, one file each.

mod attach;
mod classfile;
mod matcher;
mod perfdata;
mod rules;
mod segment;
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
pub const TARGETS: [Target; 10] = [
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
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
