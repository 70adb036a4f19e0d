//! The manifest: who, where, when and by which rules. JSON, so that it can be read without plumb.

use serde::{Deserialize, Serialize};

/// Version of the recording's format.
pub const MANIFEST_VERSION: u32 = 4;

/// `manifest.json`
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`]
    pub version: u32,
    /// Version of plumb that wrote it.
    pub plumb_version: String,
    /// The machine.
    pub host: Host,
    /// CLOCK_MONOTONIC at the start, ns.
    pub started_ns: u64,
    /// CLOCK_REALTIME at the start, ns.
    pub started_realtime_ns: u64,
    /// CLOCK_MONOTONIC at the end, ns; `None`: the recorder did not come to its end.
    pub ended_ns: Option<u64>,
    /// Pid of the recorder.
    pub recorder_pid: u32,
    /// Whether the kernel's records were taken, and if not, why.
    pub kernel: bool,
    /// Why there are no kernel records, where there are none.
    pub kernel_absent: Option<String>,
    /// `system` or `tree`.
    pub scope: String,
    /// The processes that the recording is about (attached to or started).
    pub targets: Vec<u32>,
    /// JVMs whose agent was recorded.
    pub jvms: Vec<Jvm>,
    /// Groups of the rules, in their order: the first that matches a thread's name has it.
    pub groups: Vec<Group>,
    /// Names of units.
    pub units: Vec<String>,
    /// The rules as they were given.
    pub rules: Vec<RuleSource>,
    /// Why the recording ended early (disk full), if it did.
    pub cut_short: Option<String>,
    /// What a reader should know of how it was recorded: what this machine did not give, for one.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The machine of a recording.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// /proc/sys/kernel/random/boot_id
    pub boot_id: String,
    /// `uname -r`
    pub kernel: String,
    /// Number of possible CPUs.
    pub cpus: u32,
    /// CPUs that were online at the start. Where the kernel's records are taken, each of them has a file with a segment in it, be it empty.
    #[serde(default)]
    pub online: Vec<u32>,
    /// The kernel's clocksource: `tsc` where probes read the TSC.
    pub clocksource: String,
}

/// A JVM of a recording.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Jvm {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Process id in its own namespace.
    pub ns_pid: u32,
    /// Start time, clock ticks since boot.
    pub start_ticks: u64,
}

/// A group of threads that play one role.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Globs (`*`, `?`) over thread names.
    pub threads: Vec<String>,
}

/// One rule file.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct RuleSource {
    /// File or preset.
    pub name: String,
    /// Its text.
    pub text: String,
}
