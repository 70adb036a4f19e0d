//! `plumb rules check`.

use super::kernel_options;
use crate::failure::OrRemedy;
use anyhow::{Result, bail};
use plumb_filters::{Rules, check, classpath, load};
use std::io::{self, Write};

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
Without --classpath the rules are only read. With it, every class on the path is looked at, and for each rule it is said how many
classes and methods it matches; a rule that matches nothing is told with its line and column.

Examples:
  plumb rules check shop.toml
  plumb rules check tomcat                                     a preset that ships with plumb
  plumb rules check shop.toml --classpath 'lib/*:shop.war'

A rule file is TOML:
  use = [\"tomcat\"]                        # presets or files that this one builds on

  [[group]]                               # threads that play one role
  name = \"checkout\"
  threads = \"checkout-*\"

  [[method]]                              # * stays within a name or package level, ** crosses packages
  match = \"com.shop.**.*Service.*\"

  [[method]]
  match = \"com.shop.Order.place\"
  unit = \"order\"                          # each call is one unit of work, whose latency is reported
  key = 1                                 # its first argument, a String or an integer, says what it is about
  handover = true                         # it goes on in tasks that it hands to pools, and in virtual threads that it starts

  [[method]]
  match = \"com.shop.**.*Dao.*\"
  min = \"50us\"                            # shorter calls leave no record

  [[method]]                              # + subclasses and implementers too; @Annotation: annotated classes or methods
  match = \"+java.sql.Statement.execute*\"

  [[exclude]]                             # wins over every match
  match = \"**.get*\"

  [[method]]
  match = \"com.shop.Worker.nextJob\"
  idle = true                             # a thread in it has nothing to do (the JDK's own pools are known)

  [jvm]                                   # what the JVM itself tells: the preset `jvm` turns on what stands as true here
  threads = true
  monitors = true
  waits = true
  gc = true
  parks = true                            # LockSupport.park, and idle workers of the JDK's pools
  sleeps = true
  virtual_threads = false
  exceptions = false                      # counted by class and place; an exception costs some microseconds more
  allocations = false                     # one object of each 512 KiB or so, counted by class and place

  [kernel]                                # who ran, who waited for a CPU: the preset `kernel` is this
  scope = \"system\"                        # or \"tree\": the traced process and its children
  interrupts = false                      # time in interrupts, of each CPU and taken from each thread
  faults = false                          # page faults of each thread
  disk = false                            # requests to block devices: number, bytes, latency
  calls = [\"openat\", \"write\"]           # every such system call becomes a slice; \"*\": all

Exit status 1 where there are mistakes or a rule matches nothing.";

#[derive(clap::Args)]
struct CheckArguments {
    /// A rule file or the name of a preset
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Say what the rules match in these jars, wars, directories and class files, joined by colons
    #[arg(long, value_name = "JARS")]
    classpath: Option<String>,
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Action::Check(arguments) = &arguments.action;
    let rules = read(&arguments.files)?;
    rules.kernel.as_ref().map(kernel_options::extras).transpose()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: no mistakes", arguments.files.join(", "))?;
    write!(out, "{}", shown(&rules))?;
    match &arguments.classpath {
        Some(path) => check_against(&rules, path, &mut out),
        None => Ok(()),
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
    let jvm = rules.jvm;
    let wanted = [
        ("threads", jvm.threads),
        ("monitors", jvm.monitors),
        ("waits", jvm.waits),
        ("gc", jvm.gc),
        ("parks", jvm.parks),
        ("sleeps", jvm.sleeps),
        ("virtual_threads", jvm.virtual_threads),
        ("exceptions", jvm.exceptions),
        ("allocations", jvm.allocations),
    ];
    let events: Vec<&str> = wanted.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    format!(
        "groups   {}\nmethods  {} rules, {} exclusions\nunits    {}\njvm      {}\nkernel   {kernel}\n",
        or_none(&groups),
        rules.methods.len(),
        rules.excludes.len(),
        or_none(&rules.units()),
        or_none(&events),
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
    writeln!(out, "\n{report}")?;
    if report.unmatched.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = report.unmatched.iter().map(ToString::to_string).collect();
    bail!(
        "{} rules match nothing\n{}\nremedy: correct the patterns or the class path",
        told.len(),
        told.join("\n")
    )
}
