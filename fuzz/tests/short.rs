//! Each target with its seeds, and with a few thousand mutations of them: seconds of what `cargo xtask fuzz` does for hours.

use plumb_fuzz::mutate::{Random, mutate};
use plumb_fuzz::{TARGETS, target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Mutations of each target.
const MUTATIONS: u64 = 4_000;

fn check(name: &str) {
    let target = target(name).expect("a target of this name");
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{name} has seeds");
    for seed in &seeds {
        assert!(seed.len() <= target.bytes_max, "a seed of {name} is too long");
        (target.run)(seed);
    }
    for number in 0..MUTATIONS {
        let input = mutate(&seeds, target.bytes_max, &mut Random::new(number));
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{number}"));
            std::fs::write(&kept, &input).expect("the input can be kept");
            panic!(
                "{name} fails\nto see it again: cargo xtask fuzz {name} --replay {}",
                kept.display()
            );
        }
    }
}

#[test]
fn classfile() {
    check("classfile");
}

#[test]
fn segment() {
    check("segment");
}

#[test]
fn payload() {
    check("payload");
}

#[test]
fn kernel_columns() {
    check("kernel-columns");
}

#[test]
fn timeline() {
    check("timeline");
}

#[test]
fn rules() {
    check("rules");
}

#[test]
fn matcher() {
    check("matcher");
}

#[test]
fn attach() {
    check("attach");
}

#[test]
fn usdt() {
    check("usdt");
}

#[test]
fn perfdata() {
    check("perfdata");
}

#[test]
fn elf() {
    check("elf");
}

#[test]
fn maps() {
    check("maps");
}

#[test]
fn kallsyms() {
    check("kallsyms");
}

#[test]
fn perf_map() {
    check("perf-map");
}

#[test]
fn perf_ring() {
    check("perf-ring");
}

#[test]
fn tracepoints() {
    check("tracepoints");
}

#[test]
fn no_target_is_left_out() {
    let (source, help) = (include_str!("short.rs"), include_str!("../../xtask/src/fuzz.rs"));
    for target in TARGETS {
        let name = target.name;
        assert!(source.contains(&format!("check(\"{name}\")")), "{name} is not tested");
        assert!(
            help.contains(&format!("\n  {name} ")),
            "{name} is not in the help of cargo xtask fuzz"
        );
    }
}
