//! What the rules ask for of the kernel beside the scheduler, as the collector takes it.

use crate::failure::OrRemedy;
use anyhow::{Context, Result, anyhow};
use plumb_collector::{COUNTERS_MAX, Counter, Extras, Stacks};
use plumb_filters::{KernelRules, KernelStacks, Place};
use plumb_trace::syscalls;

/// Resolves the names of system calls: which there are the rules' reader does not know.
pub fn extras(rules: &KernelRules) -> Result<Extras> {
    let mut calls = Vec::new();
    for call in &rules.calls {
        match call.0.as_str() {
            "*" => calls.extend(syscalls::all().map(|(number, _)| number)),
            _ => calls.push(call_number(call)?),
        }
    }
    Ok(Extras {
        interrupts: rules.interrupts,
        faults: rules.faults,
        disk: rules.disk,
        calls,
        safepoints: rules.safepoints,
        parks: rules.parks,
        stacks: Stacks {
            block: matches!(rules.stacks, KernelStacks::Block | KernelStacks::Both),
            wakeup: matches!(rules.stacks, KernelStacks::Wakeup | KernelStacks::Both),
        },
        counters: counters(&rules.counters)?,
    })
}

fn counters(names: &[(String, Place)]) -> Result<Vec<Counter>> {
    if let Some((name, place)) = names.get(COUNTERS_MAX) {
        let cause = Err(anyhow!("{place}: `{name}` is one counter too many"));
        return cause.remedy(&format!("ask for {COUNTERS_MAX} counters at the most"));
    }
    let counter = |(name, place): &(String, Place)| {
        let known = Counter::named(name).with_context(|| format!("{place}: there is no counter `{name}`"));
        known.remedy(&format!("take one of these: {}", Counter::names().join(" ")))
    };
    names.iter().map(counter).collect()
}

fn call_number((name, place): &(String, Place)) -> Result<u16> {
    let known = syscalls::number(name).with_context(|| format!("{place}: there is no system call `{name}`"));
    known.remedy("write it as `man 2 syscalls` does; the list is that of x86-64")
}

/// What is recorded beside the scheduler, in words; empty where nothing is.
pub fn shown(rules: &KernelRules) -> Vec<String> {
    let flags = [
        ("interrupts", rules.interrupts),
        ("faults", rules.faults),
        ("disk", rules.disk),
        ("safepoints", rules.safepoints),
        ("parks", rules.parks),
    ];
    let mut shown: Vec<String> = (flags.iter().filter(|(_, is_on)| *is_on))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    if !rules.calls.is_empty() {
        let calls: Vec<&str> = rules.calls.iter().map(|(name, _)| name.as_str()).collect();
        shown.push(format!("calls of {}", calls.join(" ")));
    }
    if !rules.counters.is_empty() {
        let counters: Vec<&str> = rules.counters.iter().map(|(name, _)| name.as_str()).collect();
        shown.push(format!("counters {}", counters.join(" ")));
    }
    let stacks = match rules.stacks {
        KernelStacks::None => return shown,
        KernelStacks::Block => "stacks of who blocks",
        KernelStacks::Wakeup => "stacks of who wakes somebody",
        KernelStacks::Both => "stacks of who blocks and of who wakes somebody",
    };
    shown.push(stacks.to_owned());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<Extras> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("rules.toml");
        std::fs::write(&file, text)?;
        let rules = plumb_filters::load(&[file.to_string_lossy().into_owned()])?;
        extras(&rules.kernel.unwrap_or_default())
    }

    #[test]
    fn calls_are_known_by_name_and_a_wrong_one_by_its_place() -> Result<()> {
        let found = rules("[kernel]\nfaults = true\ncalls = [\"read\", \"futex\"]\n")?;
        assert_eq!((found.calls, found.faults, found.disk), (vec![0, 202], true, false));
        assert!(rules("[kernel]\ncalls = \"*\"\n")?.calls.len() > 350);
        let error = rules("[kernel]\ncalls = [\"read\", \"raed\"]\n").map_err(|error| format!("{error:#}"));
        assert!(error.is_err_and(|error| error.contains("rules.toml:2:18") && error.contains("raed")));
        Ok(())
    }

    #[test]
    fn counters_have_the_names_that_perf_gives_them() -> Result<()> {
        let found = rules("[kernel]\ncounters = [\"task-clock\", \"cycles\"]\n")?;
        let names: Vec<&str> = found.counters.iter().map(|counter| counter.name()).collect();
        assert_eq!(names, ["task-clock", "cycles"]);
        let wrong = |counters: &str| {
            let error = rules(&format!("[kernel]\ncounters = {counters}\n")).map_err(|error| format!("{error:#}"));
            error.err().unwrap_or_default()
        };
        assert!(wrong("[\"cycles\", \"cicles\"]").contains("rules.toml:2:23: there is no counter `cicles`"));
        assert!(wrong("[\"cycles\", \"cycles\"]").contains("rules.toml:2:23"));
        let all: Vec<String> = Counter::names().iter().map(|name| format!("{name:?}")).collect();
        assert!(wrong(&format!("[{}]", all[..9].join(", "))).contains("too many"));
        Ok(())
    }
}
