//! What works on this machine, what does not, why, and what to do about it. Nothing is guessed: what can be tried is tried.

use crate::kernel::{Counter, Extras, Interface, Kernel, KernelOptions, Scope, Stacks, probe_cost};
use crate::libjvm::{self, Libjvm};
use crate::proc;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};

/// One thing that plumb needs or can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Short, stable name.
    pub name: &'static str,
    /// It works.
    pub ok: bool,
    /// What was found.
    pub why: String,
    /// What to do about it; empty where it works.
    pub remedy: String,
    /// Nobody needs it who does not ask for it.
    pub optional: bool,
}

impl Check {
    fn new(name: &'static str, found: Result<String, String>, remedy: &str) -> Check {
        match found {
            Ok(why) => Check {
                name,
                ok: true,
                why,
                remedy: String::new(),
                optional: false,
            },
            Err(why) => Check {
                name,
                ok: false,
                why,
                remedy: remedy.to_owned(),
                optional: false,
            },
        }
    }

    fn optional(self) -> Check {
        Check { optional: true, ..self }
    }
}

/// Name of the check that says whether the kernel side can be recorded.
pub const KERNEL: &str = "kernel-events";
/// Name of the check that says whether what rules may ask for beside the scheduler can be recorded.
pub const EXTRAS: &str = "kernel-extras";
/// Name of the check that says whether perf counts what the kernel itself counts.
pub const COUNTERS: &str = "counters";
/// Name of the check that says whether the fallback knows wakers.
pub const PERF_TRACEPOINTS: &str = "perf-tracepoints";
/// Name of the check that says whether the fallback works without any right, for processes of one's own.
pub const PERF_OWN: &str = "perf-own";
/// Name of the check that says whether the hardware's counters can be had.
pub const HARDWARE_COUNTERS: &str = "hardware-counters";

/// Name of the check that says whether probes of libjvm can be recorded.
pub const JVM_PROBES: &str = "jvm-probes";

/// All checks of the kernel side and the recorder.
#[must_use]
pub fn checks() -> Vec<Check> {
    vec![
        Check::new(
            "root",
            root(),
            "run plumb as root, or give it what is missing: CAP_BPF and CAP_PERFMON record the kernel, CAP_SYS_NICE drains at real-time priority; to attach to JVMs of other users CAP_SYS_PTRACE, CAP_KILL, CAP_SETUID and CAP_SETGID. All are given up when the recording runs",
        ),
        Check::new(
            "btf",
            btf(),
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF (every current distribution's is)",
        ),
        Check::new(
            "bpf",
            bpf(),
            "run as root, outside a container that forbids bpf(2); kernel 5.8 or later",
        ),
        Check::new(
            KERNEL,
            kernel(),
            "see the check `bpf` (CAP_BPF and CAP_PERFMON bring it back); without, perf events tell who ran when, if the check `perf-events` is good: else record with --no-kernel",
        ),
        Check::new(
            EXTRAS,
            extras(),
            "see the check `bpf`; without, rules may not ask for interrupts, faults, disk and calls in [kernel]. What is recorded by itself does not need it",
        ),
        Check::new(
            JVM_PROBES,
            jvm_probes(),
            "see the check `bpf`; the kernel asks for CAP_SYS_ADMIN for uprobes (it is given up when the recording runs); a libjvm without probes was built without DTrace support: another vendor's has them. Without, rules may not ask for safepoints and parks in [kernel]; agents tell of collections all the same",
        ),
        Check::new(
            COUNTERS,
            counters(&SOFTWARE),
            "give CAP_PERFMON; without, rules may not ask for counters in [kernel]",
        )
        .optional(),
        Check::new(
            HARDWARE_COUNTERS,
            counters(&HARDWARE),
            "record on a machine that has them, or a virtual one whose hypervisor hands them on; task-clock, faults and migrations do not need them",
        )
        .optional(),
        Check::new(
            "real-time",
            real_time(),
            "give CAP_SYS_NICE, or a real-time budget to the cgroup (cpu.rt_runtime_us); without, a busy machine may lose events",
        ),
        Check::new(
            "clock",
            clock(),
            "boot with clocksource=tsc where the machine's TSC is stable; without, probes in a JVM cost about 20 ns more each",
        ),
        Check::new(
            "memfd",
            memfd(),
            "allow memfd_create with sealing; without, JVMs cannot be recorded",
        ),
        Check::new("disk", disk(), "free space, or record into another file system with -o"),
        Check::new(
            "perf-events",
            perf_events(
                Interface::PerfSwitches,
                "switches of all CPUs can be had without BPF, too: who ran when, but no cause of a sleep and no waker",
            ),
            "give CAP_PERFMON, or sysctl kernel.perf_event_paranoid=-1; only a machine that refuses BPF needs it",
        ),
        Check::new(
            PERF_TRACEPOINTS,
            perf_tracepoints(),
            "give CAP_PERFMON and, for tracefs, CAP_DAC_READ_SEARCH (or remount it with gid= of a group of yours); without, a recording without BPF knows no wakers",
        )
        .optional(),
        Check::new(
            PERF_OWN,
            perf_events(
                Interface::PerfOwn,
                "switches of one's own processes can be had without any right: when they ran, but not who else did",
            ),
            "sysctl kernel.perf_event_paranoid=2; without, nobody records anything of the kernel who has not CAP_PERFMON",
        )
        .optional(),
    ]
}

/// The check of this name, for tests that must not skip what works.
#[must_use]
pub fn check(name: &str) -> Option<Check> {
    match name {
        // Most of the tests ask for this one: the others need not be made for it.
        KERNEL => Some(Check::new(KERNEL, kernel(), "")),
        _ => checks().into_iter().find(|check| check.name == name),
    }
}

const CAPABILITIES: [(u32, &str); 7] = [
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (19, "CAP_SYS_PTRACE"),
    (23, "CAP_SYS_NICE"),
    (38, "CAP_PERFMON"),
    (39, "CAP_BPF"),
];

fn root() -> Result<String, String> {
    let status = proc::read_trimmed("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap_or_default();
    let held = u64::from_str_radix(line.trim(), 16).map_err(|_| "/proc/self/status cannot be read".to_owned())?;
    let missing: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(bit, _)| held & (1 << bit) == 0)
        .map(|&(_, name)| name)
        .collect();
    if missing.is_empty() {
        Ok("all capabilities are there; a recording that runs keeps none of them".into())
    } else {
        Err(format!("missing: {}", missing.join(", ")))
    }
}

fn btf() -> Result<String, String> {
    let path = "/sys/kernel/btf/vmlinux";
    let bytes = std::fs::metadata(path)
        .map_err(|error| format!("{path}: {error}"))?
        .len();
    Ok(format!("{path}, {bytes} bytes"))
}

/// The cause of an error, without its remedy: a check has its own.
fn cause(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn bpf() -> Result<String, String> {
    probe_cost("empty", || {})
        .map(|_| "a program was loaded and attached to sched_switch".into())
        .map_err(|error| cause(&error))
}

fn kernel() -> Result<String, String> {
    let options = KernelOptions {
        scope: Scope::System,
        ring_bytes: Some(0),
        interface: Interface::Bpf,
        ..KernelOptions::default()
    };
    let attached = Kernel::attach(&options).map_err(|error| cause(&error))?;
    let notes = attached.kernel.notes.join("; ");
    Ok(if notes.is_empty() {
        "all programs were attached, the rings mapped".into()
    } else {
        notes
    })
}

fn extras() -> Result<String, String> {
    let options = KernelOptions {
        ring_bytes: Some(0),
        interface: Interface::Bpf,
        extras: Extras {
            interrupts: true,
            faults: true,
            disk: true,
            calls: vec![0],
            stacks: Stacks {
                block: true,
                wakeup: true,
            },
            ..Extras::default()
        },
        ..KernelOptions::default()
    };
    let attached = Kernel::attach(&options).map_err(|error| cause(&error))?;
    let notes = attached.kernel.notes.join("; ");
    match notes.is_empty() {
        true => Ok(
            "interrupts, page faults, disk requests, system calls and stacks can be recorded where rules ask for them"
                .into(),
        ),
        false => Err(notes),
    }
}

/// Probes of libjvm: tried on those that run, and on those that are installed.
fn jvm_probes() -> Result<String, String> {
    let options = KernelOptions {
        ring_bytes: Some(0),
        interface: Interface::Bpf,
        extras: Extras {
            safepoints: true,
            parks: true,
            ..Extras::default()
        },
        ..KernelOptions::default()
    };
    let mut kernel = Kernel::attach(&options).map_err(|error| cause(&error))?.kernel;
    if !kernel.has_probes() {
        return Err(kernel.notes.join("; "));
    }
    let running = proc::pids()
        .into_iter()
        .filter_map(|pid| Libjvm::of_process(pid).ok().flatten());
    let installed = libjvm::installed()
        .into_iter()
        .filter_map(|path| Libjvm::open(&path).ok());
    let mut tried = BTreeMap::new();
    for libjvm in running.chain(installed) {
        let attached = kernel.probe(&libjvm);
        tried.entry(libjvm.path).or_insert(attached);
    }
    let refused: Vec<String> = tried.values().filter_map(|attached| attached.clone().err()).collect();
    let works: Vec<String> = (tried.iter().filter(|(_, attached)| attached.is_ok()))
        .map(|(path, _)| path.display().to_string())
        .collect();
    match (works.is_empty(), refused.is_empty()) {
        (true, true) => {
            Ok("programs for safepoints and parks of JVMs can be had; there is no libjvm to try them on".into())
        }
        (true, false) => Err(refused.join("; ")),
        (false, true) => Ok(format!("safepoints and parks can be told of {}", works.join(", "))),
        (false, false) => Ok(format!(
            "safepoints and parks can be told of {}, but {}",
            works.join(", "),
            refused.join("; ")
        )),
    }
}

/// What every kernel counts.
const SOFTWARE: [&str; 3] = ["task-clock", "page-faults", "cpu-migrations"];
/// What most hardware counts.
const HARDWARE: [&str; 3] = ["cycles", "instructions", "cache-misses"];

fn counters(names: &[&str]) -> Result<String, String> {
    for counter in names.iter().filter_map(|name| Counter::named(name)) {
        counter.try_out()?;
    }
    Ok(format!("{} can be counted where rules ask for it", names.join(", ")))
}

fn real_time() -> Result<String, String> {
    let tried = std::thread::spawn(crate::drain::real_time).join();
    match tried {
        Ok(Ok(())) => Ok("SCHED_FIFO can be had".into()),
        Ok(Err(error)) => Err(format!("SCHED_FIFO: {error}")),
        Err(_) => Err("SCHED_FIFO could not be tried".into()),
    }
}

fn clock() -> Result<String, String> {
    let source =
        proc::read_trimmed("/sys/devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default();
    if source == "tsc" {
        Ok("the kernel's clocksource is tsc".into())
    } else {
        Err(format!("the kernel's clocksource is {source}"))
    }
}

fn memfd() -> Result<String, String> {
    let name = c"plumb-doctor";
    #[expect(unsafe_code, reason = "memfd_create")]
    // SAFETY: `name` is a string with its NUL; a descriptor that is returned is ours alone.
    let fd = unsafe {
        let fd = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    };
    fd.map(|_| "sealed memory can be shared".into())
        .ok_or_else(|| format!("memfd_create: {}", std::io::Error::last_os_error()))
}

/// Less than this is soon full, bytes.
const DISK_MIN: u64 = 1 << 30;

fn disk() -> Result<String, String> {
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    let here = CString::new(".").unwrap_or_default();
    #[expect(unsafe_code, reason = "statvfs")]
    // SAFETY: `here` is a string with its NUL, `stat` has room for the answer and is zeroed, which is a valid statvfs.
    let stat = unsafe {
        if libc::statvfs(here.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
        stat.assume_init()
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let text = format!("{} MiB free in the current directory", free >> 20);
    if free >= DISK_MIN { Ok(text) } else { Err(text) }
}

/// The fallback, which the check before makes needless: what it would give is said where that one fails.
fn perf_events(interface: Interface, works: &str) -> Result<String, String> {
    let options = KernelOptions {
        interface,
        ..KernelOptions::default()
    };
    Kernel::attach(&options).map_err(|error| cause(&error))?;
    Ok(works.to_owned())
}

fn perf_tracepoints() -> Result<String, String> {
    let works = "wakers, and since when a thread waits for a CPU, can be had without BPF, too";
    perf_events(Interface::PerfTracepoints, works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_has_a_remedy_exactly_where_it_fails() {
        for check in checks() {
            println!("{check:?}");
            assert_eq!(check.ok, check.remedy.is_empty(), "{}", check.name);
            assert!(!check.why.is_empty(), "{}", check.name);
        }
    }
}
