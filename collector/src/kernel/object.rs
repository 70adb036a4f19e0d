//! Objects, programs and what differs between kernels.

use super::Scope;
use crate::CollectorError;
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

static RICH: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sched_rich.o"));
static PLAIN: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sched_plain.o"));
static PROBE: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe.o"));

/// Programs and their tracepoints. Forks first, so that no child of a traced process is missed; switches last, so that who is seen to run is known.
const PROGRAMS: [(&str, &str); 8] = [
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    ("on_exit", "sched_process_exit"),
    ("on_rename", "task_rename"),
    ("on_wakeup_new", "sched_wakeup_new"),
    ("on_wakeup", "sched_wakeup"),
    ("on_waking", "sched_waking"),
    ("on_switch", "sched_switch"),
];

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
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{}: {error}", text.lines().next().unwrap_or_default());
        source = error.source();
    }
    text
}

/// The newest form that this kernel takes.
pub(super) fn load(cpus: u32, bits: u32, scope: Scope) -> Result<(Ebpf, Vec<String>), CollectorError> {
    lift_memory_limit();
    let btf = Btf::from_sys_fs().map_err(|error| bpf_error("/sys/kernel/btf/vmlinux", &chain(&error)))?;
    let mut first_error = None;
    for (object, notes) in [(RICH, Vec::new()), (PLAIN, vec![PLAIN_NOTE.to_owned()])] {
        for switch_has_state in [1, 0] {
            match load_object(object, &btf, cpus, bits, scope, switch_has_state) {
                Ok(bpf) => return Ok((bpf, notes)),
                Err(error) => first_error.get_or_insert(error),
            };
        }
    }
    Err(first_error.unwrap_or_else(|| bpf_error("the programs", &"no object")))
}

fn load_object(
    object: &[u8],
    btf: &Btf,
    cpus: u32,
    bits: u32,
    scope: Scope,
    switch_has_state: u8,
) -> Result<Ebpf, CollectorError> {
    let whole_system = u8::from(scope == Scope::System);
    let load = || {
        EbpfLoader::new()
            .btf(Some(btf))
            .map_max_entries("heads", cpus)
            .map_max_entries("records", cpus << bits)
            .override_global("ring_bits", &bits, true)
            .override_global("whole_system", &whole_system, true)
            .override_global("switch_has_state", &switch_has_state, true)
            .load(object)
    };
    // aya 0.14 panics where a bitfield of the kernel differs in size from ours.
    let mut bpf = catch_unwind(AssertUnwindSafe(load))
        .map_err(|_| bpf_error("the object", &"a field of this kernel cannot be relocated"))?
        .map_err(|error| bpf_error("the object", &chain(&error)))?;
    for (name, tracepoint) in PROGRAMS {
        program(&mut bpf, name)?
            .load(tracepoint, btf)
            .map_err(|error| bpf_error(name, &chain(&error)))?;
    }
    Ok(bpf)
}

/// Attaches all programs; on an error those attached so far are detached with `bpf`.
pub(super) fn attach(bpf: &mut Ebpf) -> Result<(), CollectorError> {
    for (name, tracepoint) in PROGRAMS {
        program(bpf, name)?
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
