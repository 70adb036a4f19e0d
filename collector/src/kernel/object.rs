//! Objects, programs and what differs between kernels.

use super::counters::COUNTERS_MAX;
use super::probes::Probes;
use super::scope::cgroup_version;
use super::{Extras, KernelOptions, Scope};
use crate::CollectorError;
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned};
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};

static RICH: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sched_rich.o"));
static OPTIONS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/options.o"));
static CGROUPS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sched_cgroups.o"));
static PLAIN: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sched_plain.o"));
static PROBE: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe.o"));

/// Programs and their tracepoints. Forks first, so that no child of a traced process is missed; switches last, so that who is seen to run is known.
const PROGRAMS: [(&str, &str); 7] = [
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    ("on_exit", "sched_process_exit"),
    ("on_free", "sched_process_free"),
    ("on_rename", "task_rename"),
    ("on_waking", "sched_waking"),
    ("on_switch", "sched_switch"),
];

/// Where the kernel keeps no books of waiting: the queueing is recorded.
const WAKEUPS: [(&str, &str); 2] = [("on_wakeup_new", "sched_wakeup_new"), ("on_wakeup", "sched_wakeup")];

/// What is left out of a kernel that does not take the object with all options.
pub(super) const OPTIONS_NOTE: &str = "this machine does not take the programs for what the rules ask for beside the scheduler (interrupts, faults, disk, calls, safepoints, parks, stacks, counters): none of it is recorded";

/// What is left out of a kernel that does not take the rich object.
const PLAIN_NOTE: &str = "this kernel does not give the blocking system call, I/O wait and throttling of a thread: time off the CPU has no cause where the JVM does not say it";

/// An error that names the step.
pub(super) fn bpf_error(what: &str, cause: &(impl Display + ?Sized)) -> CollectorError {
    // The verifier's log has hundreds of lines; its end says what was wrong.
    let cause = cause.to_string();
    let last: Vec<&str> = cause.lines().filter(|line| !line.trim().is_empty()).collect();
    let cause = last
        .last()
        .map_or_else(String::new, |line| line.chars().take(300).collect());
    CollectorError::Bpf {
        what: what.to_owned(),
        cause,
    }
}

/// An error with all of its sources in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{}: {error}", text.lines().next().unwrap_or_default());
        source = error.source();
    }
    text
}

/// The objects to be tried in order, with what the user should know of each.
fn candidates(by_cgroup: bool, with_options: bool) -> Vec<Candidate> {
    // A kernel that does not tell a thread's cgroup cannot do what was asked for.
    let without: &[(&'static [u8], Option<&str>)] = match by_cgroup {
        true => &[(CGROUPS, None)],
        false => &[(RICH, None), (PLAIN, Some(PLAIN_NOTE))],
    };
    let first = with_options.then(|| Candidate {
        object: OPTIONS,
        has_options: true,
        notes: Vec::new(),
    });
    let missing = with_options.then_some(OPTIONS_NOTE);
    let others = without.iter().map(|&(object, note)| Candidate {
        object,
        has_options: false,
        notes: note.into_iter().chain(missing).map(str::to_owned).collect(),
    });
    first.into_iter().chain(others).collect()
}

/// An object, and what the user should know of it.
struct Candidate {
    object: &'static [u8],
    has_options: bool,
    notes: Vec<String>,
}

/// Programs that are loaded, to be attached.
pub(super) struct Loaded {
    pub bpf: Ebpf,
    programs: Vec<(&'static str, &'static str)>,
    pub has_options: bool,
    pub notes: Vec<String>,
    /// Where probes of libjvm are asked for and can be had.
    pub probes: Option<Probes>,
}

/// The newest form that this kernel takes.
pub(super) fn load(cpus: u32, bits: u32, options: &KernelOptions) -> Result<Loaded, CollectorError> {
    lift_memory_limit();
    let btf = Btf::from_sys_fs().map_err(|error| bpf_error("/sys/kernel/btf/vmlinux", &chain(&error)))?;
    let by_cgroup = cgroup_version(options.scope, &options.selectors)?;
    let calls = options.extras.call_bits()?;
    let counters = u32::try_from(options.extras.counters.len().min(COUNTERS_MAX)).unwrap_or_default();
    let keeps_waits = keeps_waits(&btf);
    let mut first_error = None;
    for candidate in candidates(by_cgroup != 0, !options.extras.is_empty()) {
        for switch_has_state in [1, 0] {
            let globals = Globals {
                switch_has_state,
                by_cgroup,
                options,
                calls: candidate.has_options.then_some(&calls),
                counters,
                keeps_waits,
            };
            match load_object(&candidate, &btf, cpus, bits, &globals) {
                Ok(loaded) => return Ok(loaded),
                Err(error) => first_error.get_or_insert(error),
            };
        }
    }
    Err(first_error.unwrap_or_else(|| bpf_error("the programs", &"no object")))
}

/// What the programs' constants are made of.
struct Globals<'a> {
    switch_has_state: u8,
    by_cgroup: u8,
    options: &'a KernelOptions,
    /// Which system calls are recorded, where the object can.
    calls: Option<&'a [u64; 8]>,
    /// How many counters are read.
    counters: u32,
    /// Whether who comes to a CPU tells how long it has waited.
    keeps_waits: bool,
}

impl Globals<'_> {
    /// Constants of one byte, by name.
    fn bytes(&self) -> [(&'static str, u8); 7] {
        let KernelOptions { scope, selectors, .. } = self.options;
        [
            ("whole_system", u8::from(*scope == Scope::System)),
            ("by_tree", u8::from(*scope == Scope::Tree)),
            ("by_thread", u8::from(!selectors.threads.is_empty())),
            ("by_user", u8::from(!selectors.users.is_empty())),
            ("by_cgroup", self.by_cgroup),
            ("switch_has_state", self.switch_has_state),
            ("keeps_waits", u8::from(self.keeps_waits)),
        ]
    }
}

fn load_object(
    candidate: &Candidate,
    btf: &Btf,
    cpus: u32,
    bits: u32,
    globals: &Globals<'_>,
) -> Result<Loaded, CollectorError> {
    let bytes = globals.bytes();
    let count_faults = u8::from(globals.options.extras.faults);
    let stack_secret = secret();
    let load = || {
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(btf))
            .map_max_entries("heads", cpus)
            .map_max_entries("records", cpus << bits)
            .override_global("ring_bits", &bits, true);
        for (name, value) in &bytes {
            // Without CGROUPS the compiler leaves `by_cgroup` out.
            loader.override_global(name, value, *name != "by_cgroup");
        }
        if let Some(calls) = globals.calls {
            loader.override_global("wanted_calls", &calls[..], true);
            loader.override_global("count_faults", &count_faults, true);
            loader.override_global("stack_secret", &stack_secret, true);
            loader.override_global("counters", &globals.counters, true);
        }
        loader.load(candidate.object)
    };
    // aya 0.14 panics where a bitfield of the kernel differs in size from ours.
    let mut bpf = catch_unwind(AssertUnwindSafe(load))
        .map_err(|_| bpf_error("the object", &"a field of this kernel cannot be relocated"))?
        .map_err(|error| bpf_error("the object", &chain(&error)))?;
    let mut notes = candidate.notes.clone();
    let mut programs = Vec::new();
    if candidate.has_options {
        // One that the kernel does not take (a tracepoint that it has not) takes none of the others with it.
        for (name, tracepoint) in globals.options.extras.programs() {
            match program(&mut bpf, name)?.load(tracepoint, btf) {
                Ok(()) => programs.push((name, tracepoint)),
                Err(error) => notes.push(format!(
                    "what {name} records at {tracepoint} is missing, though the rules ask for it: {}",
                    cause(&bpf_error(name, &chain(&error)))
                )),
            }
        }
    }
    let Extras { safepoints, parks, .. } = globals.options.extras;
    let mut probes = None;
    if candidate.has_options && (safepoints || parks) {
        match Probes::load(&mut bpf, safepoints, parks) {
            Ok(loaded) => probes = Some(loaded),
            Err(error) => notes.push(format!(
                "probes of JVMs are not recorded, though the rules ask for them: {}",
                cause(&error)
            )),
        }
    }
    let wakeups = (!globals.keeps_waits).then_some(WAKEUPS).into_iter().flatten();
    for (name, tracepoint) in wakeups.chain(PROGRAMS) {
        program(&mut bpf, name)?
            .load(tracepoint, btf)
            .map_err(|error| bpf_error(name, &chain(&error)))?;
        programs.push((name, tracepoint));
    }
    Ok(Loaded {
        bpf,
        programs,
        has_options: candidate.has_options,
        notes,
        probes,
    })
}

/// Whether the kernel keeps books of how long each thread has waited for a CPU, and the programs can read them: then whoever comes to a CPU tells. It takes CONFIG_SCHED_INFO for the books,
/// and CONFIG_FAIR_GROUP_SCHED for the way from a thread to the clock of its queue.
fn keeps_waits(btf: &Btf) -> bool {
    // Before 5.14 they can be switched off, and stand still then. The recorder itself has used the CPU already.
    let books = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let slices = books.split_whitespace().nth(2);
    slices.is_some_and(|slices| slices != "0") && is_taken(btf, "waits")
}

/// Whether the kernel takes this program of [`PROBE`], which reads some fields: where one is not there it does not.
fn is_taken(btf: &Btf, name: &str) -> bool {
    let load = || {
        let mut bpf = EbpfLoader::new().btf(Some(btf)).load(PROBE).ok()?;
        program(&mut bpf, name).ok()?.load("sched_switch", btf).ok()
    };
    catch_unwind(AssertUnwindSafe(load)).is_ok_and(|loaded| loaded.is_some())
}

/// A number that nobody else knows.
fn secret() -> u64 {
    // The library's hash tables are keyed by the kernel's random numbers.
    RandomState::new().hash_one(std::process::id())
}

/// An error without its remedy.
fn cause(error: &CollectorError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Attaches all programs; on an error those attached so far are detached with `bpf`.
pub(super) fn attach(loaded: &mut Loaded) -> Result<(), CollectorError> {
    for (name, tracepoint) in &loaded.programs {
        program(&mut loaded.bpf, name)?
            .attach()
            .map_err(|error| bpf_error(tracepoint, &chain(&error)))?;
    }
    Ok(())
}

fn program<'a>(bpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, CollectorError> {
    let program = bpf
        .program_mut(name)
        .ok_or_else(|| bpf_error(name, &"the object has no such program"))?;
    program.try_into().map_err(|error| bpf_error(name, &error))
}

/// Loads and attaches a program that does nothing, by which `doctor` and the benchmark learn what is possible.
pub(crate) fn check_load(name: &str) -> Result<Ebpf, CollectorError> {
    lift_memory_limit();
    let btf = Btf::from_sys_fs().map_err(|error| bpf_error("/sys/kernel/btf/vmlinux", &chain(&error)))?;
    let mut bpf = EbpfLoader::new()
        .btf(Some(&btf))
        .load(PROBE)
        .map_err(|error| bpf_error("the object", &chain(&error)))?;
    let program = program(&mut bpf, name)?;
    program
        .load("sched_switch", &btf)
        .map_err(|error| bpf_error(name, &chain(&error)))?;
    program
        .attach()
        .map_err(|error| bpf_error("sched_switch", &chain(&error)))?;
    Ok(bpf)
}

/// Kernels before 5.11 count maps against RLIMIT_MEMLOCK. Where this is refused and needed, loading says so.
fn lift_memory_limit() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    #[expect(unsafe_code, reason = "setrlimit")]
    // SAFETY: `limit` is a valid rlimit.
    unsafe {
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_reads_a_field_that_is_not_there_is_not_taken() {
        lift_memory_limit();
        let Ok(btf) = Btf::from_sys_fs() else {
            return println!("left out: this kernel tells no types");
        };
        if !is_taken(&btf, "empty") {
            return println!("left out: this machine takes no programs");
        }
        assert!(!is_taken(&btf, "refused") && !is_taken(&btf, "no such program"));
    }
}
