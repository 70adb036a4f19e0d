//! `plumb rules check`.

use super::kernel_options;
use super::record::with_remedy;
use crate::failure::OrRemedy;
use anyhow::{Result, bail};
use plumb_agent::client::{self, AttachOptions, Loaded, LoadedClass, SessionConfig, agent_library};
use plumb_filters::{
    CheckReport, Diagnostic, Place, Rules, check,
    classpath::{self, ClassMethod, ClassMethods},
    load,
    matcher::{FEATURE_NAMES, Matcher},
};
use std::{
    io::{self, Write},
    time::Duration,
};

/// Work on rule files.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Check rule files and presets: every mistake with line and column, and what the rules would match
    #[command(after_long_help = CHECK_HELP)]
    Check(CheckArguments),
}

const CHECK_HELP: &str = "\
Without --classpath and --pid the rules are only read. With --classpath every class on the path is looked at, with --pid every class that \
the JVM has loaded by now; for each rule it is said how many classes and methods it matches, and for all what they would cost. A rule that \
matches nothing is told with its line and column. Nothing in the JVM is changed.

Examples:
  plumb rules check shop.toml
  plumb rules check tomcat                       a preset that ships with plumb
  plumb rules check shop.toml --classpath 'lib/*:shop.war'
  plumb rules check tomcat shop.toml --pid 4711  in a JVM that runs

A rule file is TOML:
  use = [\"tomcat\"]                 # presets or files that this one builds on

  [[group]]                        # threads that play one role
  name = \"checkout\"
  threads = \"checkout-*\"

  # In patterns * stays within a name or package level, ** crosses packages.
  [[method]]
  match = \"com.shop.**.*Service.*\"
  # code_bytes_min = 0             # getters too: what a * matches with less
                                   # than 6 bytes of code is else left alone,
                                   # and so are lambdas: match \"**.lambda$*\"

  [[method]]
  match = \"com.shop.Order.place\"
  unit = \"order\"                   # each call is one unit of work
  key = 1                          # its first argument says what it is about
  handover = true                  # it goes on in tasks that it hands to pools

  [[method]]
  match = \"com.shop.**.*Dao.*\"
  min = \"50us\"                     # shorter calls leave no record
  code_bytes_min = 40              # methods with less bytecode get no probes

  # + subclasses and implementers too; @Annotation: annotated classes, methods
  [[method]]
  match = \"+java.sql.Statement.execute*\"

  [[exclude]]                      # wins over every match
  match = \"**.get*\"

  [[method]]
  match = \"com.shop.Worker.nextJob\"
  idle = true                      # has nothing to do (JDK's pools are known)

  # What the JVM itself tells; the preset jvm turns on what is true here.
  [jvm]
  threads = true
  monitors = true
  waits = true
  gc = true
  parks = true                     # LockSupport.park; idle workers of pools
  sleeps = true
  virtual_threads = false
  exceptions = false               # by class and place; some us of each
  allocations = false              # by class and place, sampled

  # The Java stack of a thread that has waited longer, once in each such wait.
  [[stack]]
  threads = \"checkout-*\"
  longer = \"100ms\"

  # Who ran, who waited for a CPU; the preset kernel is scope = \"system\" alone.
  [kernel]
  scope = \"tree\"                   # the traced process, its children;
                                   # \"system\": everybody, without what follows
  cgroup = \"/system.slice/shop*\"   # and who is in such a cgroup,
  user = [\"root\"]                  # of such a user,
  threads = \"http-nio-*\"           # or has such a name
  interrupts = false               # time in interrupts, of CPUs and threads
  faults = false                   # page faults of each thread
  disk = false                     # requests to block devices
  safepoints = false               # what JVMs stop all their threads for
  parks = false                    # of JVMs without an agent; 3 us of each
  calls = [\"openat\", \"write\"]    # system calls as slices; \"*\": all
  stacks = \"block\"                 # where threads block; \"wakeup\", \"both\"
  counters = [\"task-clock\"]        # what perf counts, of each thread

  # A flight recorder: nothing is written until this happens. * is any thread.
  [[trigger]]
  when = \"ready(checkout) > 100ms\" # a thread of the group had no CPU so long
  keep = \"30s\"                     # what is saved from before it,
  after = \"1s\"                     # and from after it; then no trigger
                                   # saves until keep has gone by again

  [[trigger]]
  when = \"monitor(checkout) > 1s\"  # a thread of it waits for a Java monitor

  [[trigger]]
  when = \"unit(order) > 2s\"        # a unit takes longer

  [[trigger]]
  when = \"runqueue > 20\"           # more threads wait for a CPU at a time

Exit status 1 where there are mistakes or a rule of a file (not of a preset) matches nothing.";

/// What a probe costs, as `cargo xtask bench agent` measures it.
const COST: &str = "each call of these methods costs some 30 ns, and 32 bytes of the JVM's ring; one that is shorter than its rule's `min` leaves no bytes";

/// Most rules without a match that are told one by one: generated files have thousands.
const UNMATCHED_MAX: usize = 20;

/// How long a JVM may take to tell its classes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
struct CheckArguments {
    /// A rule file or the name of a preset
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Say what the rules match in these jars, wars, directories and class files, joined by colons
    #[arg(long, value_name = "JARS")]
    classpath: Option<String>,
    /// Say what the rules match in this JVM, of the classes that it has loaded
    #[arg(long, value_name = "PID", conflicts_with = "classpath")]
    pid: Option<u32>,
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Action::Check(arguments) = &arguments.action;
    let rules = read(&arguments.files)?;
    rules.kernel.as_ref().map(kernel_options::extras).transpose()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: no mistakes", arguments.files.join(", "))?;
    write!(out, "{}", shown(&rules))?;
    match (&arguments.classpath, arguments.pid) {
        (Some(path), _) => check_against(&rules, path, &mut out),
        (None, Some(pid)) => check_in(&rules, pid, &mut out),
        (None, None) => Ok(()),
    }
}

/// Reads rules; all their mistakes are the error.
pub fn read(files: &[String]) -> Result<Rules> {
    load(files).remedy("correct the rules; `plumb rules check --help` shows the language")
}

fn shown(rules: &Rules) -> String {
    let groups: Vec<&str> = rules.groups.iter().map(|group| group.name.as_str()).collect();
    let kernel = rules.kernel.as_ref().map_or("nothing".to_owned(), |kernel| {
        let scope = format!("scope {:?}", kernel.scope).to_lowercase();
        std::iter::once(scope)
            .chain(kernel_options::shown(kernel))
            .collect::<Vec<_>>()
            .join(", ")
    });
    let wanted = FEATURE_NAMES.into_iter().zip(rules.jvm.into_array());
    let events: Vec<&str> = wanted.filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect();
    let stacks: Vec<&str> = rules
        .stacks
        .iter()
        .flat_map(|stack| stack.threads.iter().map(String::as_str))
        .collect();
    let triggers: Vec<&str> = rules.triggers.iter().map(|trigger| trigger.text.as_str()).collect();
    format!(
        "groups   {}\nmethods  {} rules, {} exclusions\nunits    {}\njvm      {}\nstacks   {}\ntriggers {}\nkernel   {kernel}\n",
        or_none(&groups),
        rules.methods.len(),
        rules.excludes.len(),
        or_none(&rules.units()),
        or_none(&events),
        or_none(&stacks),
        or_none(&triggers),
    )
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

fn check_against(rules: &Rules, path: &str, out: &mut impl Write) -> Result<()> {
    let listing = classpath::list(path).or_remedy("name jars, wars, class files or directories, joined by colons")?;
    for skipped in &listing.skipped {
        eprintln!("skipped: {skipped}");
    }
    let report = check(rules, listing.classes);
    tell(&report, out)?;
    tell_unmatched(&report.unmatched, "correct the patterns or the class path")
}

/// What matches in a JVM that runs.
fn check_in(rules: &Rules, pid: u32, out: &mut impl Write) -> Result<()> {
    let library = agent_library().map_err(|error| with_remedy(&error))?;
    let mut options = AttachOptions::new(library, SessionConfig::new(rules.compile()));
    options.timeout = PATIENCE;
    let Loaded { classes, named } = client::look(pid, &options).map_err(|error| with_remedy(&error))?;
    let (linked, unlinked): (Vec<_>, Vec<_>) = named.into_iter().partition(|class| class.linked);
    writeln!(
        out,
        "\nJVM {pid} has {classes} classes loaded, of which the rules name {}",
        linked.len() + unlinked.len()
    )?;
    if !unlinked.is_empty() {
        let count = unlinked.len();
        writeln!(
            out,
            "{count} of these are not linked yet: their methods are not told, and not in this table"
        )?;
    }
    let report = check(rules, linked.into_iter().map(class_of));
    tell(&report, out)?;
    let mut unmatched = report.unmatched;
    for (place, text, alone) in each_alone(rules) {
        let is_it = |diagnostic: &Diagnostic| diagnostic.place.as_ref() == Some(place);
        let why = if text.starts_with('@') {
            "is about annotations, which a running JVM does not tell: try --classpath"
        } else if unmatched.iter().any(is_it) && names_any(&alone, &unlinked) {
            "names classes that are not linked yet: what it matches in them is not known"
        } else {
            continue;
        };
        eprintln!("note: {place}: `{text}` {why}");
        unmatched.retain(|diagnostic| !is_it(diagnostic));
    }
    tell_unmatched(
        &unmatched,
        "correct the patterns, or look again when the classes are loaded",
    )
}

/// Each rule and each exclusion as rules of its own.
fn each_alone(rules: &Rules) -> impl Iterator<Item = (&Place, &str, Rules)> {
    let nothing = Rules {
        methods: Vec::new(),
        excludes: Vec::new(),
        ..rules.clone()
    };
    let without = nothing.clone();
    let methods = rules.methods.iter().map(move |rule| {
        let methods = vec![rule.clone()];
        (
            &rule.place,
            rule.text.as_str(),
            Rules {
                methods,
                ..nothing.clone()
            },
        )
    });
    let excludes = rules.excludes.iter().map(move |rule| {
        let excludes = vec![rule.clone()];
        (
            &rule.place,
            rule.text.as_str(),
            Rules {
                excludes,
                ..without.clone()
            },
        )
    });
    methods.chain(excludes)
}

fn names_any(rules: &Rules, classes: &[LoadedClass]) -> bool {
    let names = |matcher: &Matcher, class: &LoadedClass| matcher.names_class(&class.name, &class.supertypes);
    Matcher::parse(&rules.compile()).is_ok_and(|matcher| classes.iter().any(|class| names(&matcher, class)))
}

fn class_of(class: LoadedClass) -> ClassMethods {
    let methods = class.methods.into_iter().map(|method| ClassMethod {
        name: method.name,
        descriptor: method.descriptor,
        code_bytes: method.code_bytes,
        annotations: Vec::new(),
    });
    ClassMethods {
        name: class.name,
        supertypes: class.supertypes,
        annotations: Vec::new(),
        methods: methods.collect(),
    }
}

fn tell(report: &CheckReport, out: &mut impl Write) -> Result<()> {
    writeln!(out, "\n{report}")?;
    if report.methods_probed > 0 {
        writeln!(out, "{COST}")?;
    }
    Ok(())
}

fn tell_unmatched(unmatched: &[Diagnostic], remedy: &str) -> Result<()> {
    if unmatched.is_empty() {
        return Ok(());
    }
    let mut told: Vec<String> = unmatched.iter().take(UNMATCHED_MAX).map(ToString::to_string).collect();
    if unmatched.len() > told.len() {
        told.push(format!("and {} more", unmatched.len() - told.len()));
    }
    bail!(
        "{} rules match nothing\n{}\nremedy: {remedy}",
        unmatched.len(),
        told.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_rules_of_the_help_are_rules() -> Result<()> {
        let (_, shown) = CHECK_HELP
            .split_once("A rule file is TOML:\n")
            .context("rules are shown")?;
        let (shown, _) = shown.split_once("\nExit status").context("they end")?;
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("rules.toml");
        std::fs::write(&file, shown)?;
        let rules = read(&[file.to_string_lossy().into_owned()])?;
        assert_eq!((rules.triggers.len(), rules.stacks.len()), (4, 1));
        rules.kernel.as_ref().map(kernel_options::extras).transpose()?;
        Ok(())
    }
}
