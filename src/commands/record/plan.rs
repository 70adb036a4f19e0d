//! From the arguments to what the recorder is to do.

use super::Arguments;
use crate::{
    commands::{kernel_options, merge, rules},
    failure::OrRemedy,
};
use anyhow::{Context, Result, anyhow};
use plumb_collector::{
    Interface, KernelOptions, Options, Scope, Selectors,
    flight::{Flight, Keep},
    proc,
    trigger::{Condition, Trigger},
};
use plumb_filters::{KernelRules, KernelScope, Place, Rules};
use plumb_trace::recording::{Group, RuleSource};
use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What is recorded, and what becomes of it.
pub struct Plan {
    /// For the recorder.
    pub options: Options,
    /// Compiled rules for agents; `None` where nothing inside JVMs is wanted.
    pub matcher: Option<Vec<u8>>,
    /// Where the timeline goes, unless it is left to later.
    pub timeline: Option<PathBuf>,
}

impl Plan {
    /// Reads the rules and checks what can be checked before anything is begun.
    pub fn of(arguments: &Arguments) -> Result<Plan> {
        let rules = rules::read(&rule_names(arguments))?;
        let (kernel, kernel_absent) = kernel(arguments, &rules)?;
        let matcher = (!arguments.no_jvm && !arguments.all && rules.want_jvm()).then(|| rules.compile());
        if kernel.is_none() && matcher.is_none() {
            let cause = Err(anyhow!("these rules and options leave nothing to record"));
            return cause.remedy("use the presets: -f jvm for JVMs, -f kernel for the scheduler");
        }
        let dir = match &arguments.output {
            Some(dir) => dir.clone(),
            None => default_dir(arguments)?,
        };
        let flight = flight(arguments, &rules);
        let timeline = (!arguments.no_merge).then(|| merge::default_output(&dir));
        refuse_existing(&dir)?;
        timeline.as_deref().map_or(Ok(()), refuse_existing)?;
        Ok(Plan {
            options: Options {
                flight,
                ..options(arguments, &rules, dir, kernel, kernel_absent)
            },
            matcher,
            timeline,
        })
    }
}

/// What the rules say now, where they are read again during a recording.
pub struct Again {
    /// Compiled, for agents.
    pub matcher: Vec<u8>,
    /// For the manifest.
    pub groups: Vec<Group>,
    /// For the manifest.
    pub units: Vec<String>,
    /// For the manifest.
    pub sources: Vec<RuleSource>,
}

/// Reads the rules again.
pub fn rules_again(arguments: &Arguments) -> Result<Again> {
    let rules = rules::read(&rule_names(arguments))?;
    Ok(Again {
        matcher: rules.compile(),
        groups: groups(&rules),
        units: units(&rules),
        sources: sources(&rules),
    })
}

fn groups(rules: &Rules) -> Vec<Group> {
    let group = |group: &plumb_filters::Group| Group {
        name: group.name.clone(),
        threads: group.threads.clone(),
    };
    rules.groups.iter().map(group).collect()
}

fn units(rules: &Rules) -> Vec<String> {
    rules.units().into_iter().map(str::to_owned).collect()
}

fn sources(rules: &Rules) -> Vec<RuleSource> {
    let source = |source: &plumb_filters::Source| RuleSource {
        name: source.name.clone(),
        text: source.text.clone(),
    };
    rules.sources.iter().map(source).collect()
}

fn rule_names(arguments: &Arguments) -> Vec<String> {
    match (arguments.rules.is_empty(), arguments.all) {
        (false, _) => arguments.rules.clone(),
        (true, true) => vec!["kernel".to_owned()],
        (true, false) => vec!["jvm".to_owned(), "kernel".to_owned()],
    }
}

/// The kernel side, or why there is none.
fn kernel(arguments: &Arguments, rules: &Rules) -> Result<(Option<KernelOptions>, Option<String>)> {
    let rules = match &rules.kernel {
        _ if arguments.no_kernel => return Ok((None, Some("--no-kernel was given".to_owned()))),
        None if !arguments.all => return Ok((None, Some("the rules ask for no kernel events".to_owned()))),
        Some(rules) if !arguments.all => rules.clone(),
        Some(rules) => of_everybody(rules.clone()),
        None => KernelRules::default(),
    };
    let extras = kernel_options::extras(&rules)?;
    let selectors = Selectors {
        users: rules.users.iter().map(user_id).collect::<Result<_>>()?,
        cgroups: rules.cgroups,
        threads: rules.threads,
    };
    let scope = match rules.scope {
        KernelScope::System => Scope::System,
        KernelScope::Tree => Scope::Tree,
        KernelScope::Selected => Scope::Selected,
    };
    let options = KernelOptions {
        scope,
        selectors,
        extras,
        interface: match arguments.all {
            true => Interface::BestOfEverybody,
            false => Interface::Best,
        },
        ..KernelOptions::default()
    };
    Ok((Some(options), None))
}

/// What `--all` makes of the rules: their scope does not count.
fn of_everybody(rules: KernelRules) -> KernelRules {
    KernelRules {
        scope: KernelScope::System,
        cgroups: Vec::new(),
        users: Vec::new(),
        threads: Vec::new(),
        ..rules
    }
}

fn user_id((name, place): &(String, Place)) -> Result<u32> {
    let known = proc::user_id(name).with_context(|| format!("{place}: there is no user `{}`", name.escape_debug()));
    known.remedy("write a name that /etc/passwd has, or a number")
}

fn options(
    arguments: &Arguments,
    rules: &Rules,
    dir: PathBuf,
    kernel: Option<KernelOptions>,
    kernel_absent: Option<String>,
) -> Options {
    Options {
        dir,
        targets: arguments.pid.clone(),
        groups: groups(rules),
        units: units(rules),
        rules: sources(rules),
        kernel,
        kernel_absent,
        flight: None,
    }
}

/// What a flight recorder keeps and watches for. Rules with triggers make one by themselves.
fn flight(arguments: &Arguments, rules: &Rules) -> Option<Flight> {
    let longest_ns = rules
        .triggers
        .iter()
        .map(|rule| rule.keep_ns.saturating_add(rule.after_ns))
        .max();
    let trigger = |rule: &plumb_filters::Trigger| Trigger {
        text: rule.text.clone(),
        when: condition(&rule.when, rules),
        keep_ns: rule.keep_ns,
        after_ns: rule.after_ns,
    };
    Some(Flight {
        keep: arguments.flight.or(longest_ns.map(Keep::Time))?,
        triggers: rules.triggers.iter().map(trigger).collect(),
    })
}

fn condition(when: &plumb_filters::Condition, rules: &Rules) -> Condition {
    let threads = |name: &String| match rules.groups.iter().find(|group| group.name == *name) {
        Some(group) => group.threads.clone(),
        // The rules were checked: it is `*`.
        None => vec![name.clone()],
    };
    match when {
        plumb_filters::Condition::Ready { group, over_ns } => Condition::Ready {
            threads: threads(group),
            over_ns: *over_ns,
        },
        plumb_filters::Condition::Monitor { group, over_ns } => Condition::Monitor {
            threads: threads(group),
            over_ns: *over_ns,
        },
        plumb_filters::Condition::Unit { unit, over_ns } => Condition::Unit {
            unit: unit.clone(),
            over_ns: *over_ns,
        },
        plumb_filters::Condition::RunQueue { over } => Condition::RunQueue { over: *over },
    }
}

fn refuse_existing(path: &Path) -> Result<()> {
    // A link is not followed, so that one that points nowhere is in the way as well.
    match path.symlink_metadata() {
        Ok(_) => Err(anyhow!("{} exists already", path.display())).remedy("name another with -o, or move it away"),
        Err(_) => Ok(()),
    }
}

/// plumb-NAME-PID-TIME: of the first process, the command, or the host.
fn default_dir(arguments: &Arguments) -> Result<PathBuf> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock stands before 1970")?;
    let (name, pid) = match (arguments.command.first(), arguments.pid.first()) {
        (Some(program), _) => (file_name(program), std::process::id()),
        (None, Some(&pid)) => (comm(pid).unwrap_or_else(|| "process".to_owned()), pid),
        (None, None) => ("host".to_owned(), std::process::id()),
    };
    Ok(PathBuf::from(format!(
        "plumb-{}-{pid}-{}",
        harmless(&name),
        now.as_secs()
    )))
}

fn file_name(program: &str) -> String {
    Path::new(program)
        .file_name()
        .map_or_else(|| program.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn comm(pid: u32) -> Option<String> {
    Some(
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()?
            .trim_end()
            .to_owned(),
    )
}

/// A process may call itself anything, slashes included.
fn harmless(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect()
}
