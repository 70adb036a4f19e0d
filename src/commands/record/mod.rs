//! `plumb record`.

mod agents;
mod change;
mod flight;
mod plan;
mod progress;
mod subject;

use super::merge;
use crate::{
    failure::OrRemedy,
    interrupt,
    time::{parse_length, shown},
};
pub use agents::with_remedy;

use agents::Agents;
use anyhow::{Result, anyhow};
use change::ChangeSignal;
use clap::ArgGroup;
use flight::SaveSignal;
use plan::Plan;
use plumb_collector::{Capabilities, Recorder, Summary, flight::Keep};
use progress::Progress;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use subject::Subject;

/// Record a command, running JVMs or the whole system, and merge into a timeline
#[derive(clap::Args)]
#[command(override_usage = USAGE, after_long_help = HELP, group(ArgGroup::new("what").required(true).args(["pid", "all", "command"])))]
pub struct Arguments {
    /// Rule file or preset (jvm, kernel, netty, tomcat); may be given several times, later ones win [default: jvm and kernel]
    #[arg(short = 'f', long = "rules", value_name = "RULES")]
    rules: Vec<String>,
    /// Directory of the recording, which must not exist [default: plumb-NAME-PID-TIME in the current directory]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Stop after this time, as in 30s or 1.5m [default: when the command or the JVMs end, or at Ctrl-C]
    #[arg(short, long, value_name = "TIME", value_parser = parse_length)]
    duration: Option<u64>,
    /// Attach to these running JVMs
    #[arg(long, value_name = "PID", num_args = 1..)]
    pid: Vec<u32>,
    /// The kernel side of the whole system, no JVM
    #[arg(long)]
    all: bool,
    /// Record nothing of the kernel: states are then those that the JVM tells
    #[arg(long, conflicts_with = "all")]
    no_kernel: bool,
    /// Record nothing inside the JVM
    #[arg(long)]
    no_jvm: bool,
    /// Leave the merging to a later `plumb merge`
    #[arg(long)]
    no_merge: bool,
    /// Write nothing but keep the last SIZE (as in 64M) or TIME (as in 30s) in memory; a trigger of the rules, `plumb save`, SIGUSR1 or the end saves it
    #[arg(long, value_name = "SIZE|TIME", value_parser = flight::parse_keep)]
    flight: Option<Keep>,
    /// The command to start, with its arguments; a JVM in it gets the agent at its start
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

const USAGE: &str = "\
plumb record [OPTIONS] --pid <PID>...
       plumb record [OPTIONS] --all
       plumb record [OPTIONS] -- <CMD>...";

const HELP: &str = "\
One of `-- CMD…`, `--pid` and `--all` says what is recorded. The result is the directory DIR and, merged from it, the timeline \
DIR.plumb. Both are readable by their owner only: they hold names and paths of production.

Ctrl-C ends the recording cleanly and keeps everything, also while a JVM is being attached to; so does SIGTERM. A JVM that was attached to gets its original bytecode back. \
When plumb itself is killed, all but about the last second is kept: `plumb merge DIR` makes the timeline.

A flight recorder (--flight, or rules with a [[trigger]]) keeps the last of everything in memory and goes on until it is ended. Each window that is saved becomes \
DIR/window-0001, -0002, ..., and at the end a timeline beside each. --flight TIME takes the memory that the time needs at the rate that is measured, which is told, but never more than an \
eighth of what is available; --flight SIZE whatever that is. Where that was less than was asked for, it is told. \
When a trigger's window has ended, no trigger saves another before its `keep` has gone by once more, so that what lasts fills no disk, and triggers save 100 windows at the most; \
who asks by `plumb save` or SIGUSR1 always gets one.

SIGUSR2 has the files of -f read again and the JVMs go by what they say now: methods, units and [jvm] settings may change during a recording.

Examples:
  plumb record -f tomcat --pid 4711 -d 30s -o slow       a Tomcat, for 30 s
  plumb record -f tomcat -f shop.toml --pid 4711 -d 30s  with rules of one's own
  plumb record -- java -jar shop.jar                     a JVM from start to end
  plumb record --all -d 10s -o host                      who had the CPUs
  plumb record --no-merge -f jvm --pid 4711 -o there     merge elsewhere
  plumb record --flight 30s -f shop.toml --pid 4711      a flight recorder

What may go wrong: `plumb doctor` tells what this machine allows; `plumb rules check` what rules would match.";

/// How often is looked whether the recording should end.
const TURN: Duration = Duration::from_millis(20);

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let plan = Plan::of(arguments)?;
    // Before anything else: unless it is caught, a signal that somebody sends as soon as we record would end us.
    let stop = interrupt::stop_flag()?;
    let (save, change) = (SaveSignal::catch()?, ChangeSignal::catch()?);
    let mut recorder =
        Recorder::start(plan.options.clone()).or_remedy("`plumb doctor` tells what this machine allows")?;
    let (subject, agents) = match begin(arguments, &plan, &mut recorder, &stop) {
        Ok(begun) => begun,
        Err(error) => {
            // Nothing was recorded: what lies there is only what we have made ourselves. Stopped, not dropped, so that nobody writes there any more.
            let _ = recorder.stop();
            let _ = std::fs::remove_dir_all(&plan.options.dir);
            return Err(error);
        }
    };
    // JVMs that the command starts connect by themselves, but their counters are read from outside.
    let later_jvms = plan.matcher.is_some() && !arguments.command.is_empty();
    tell_kept(recorder.drop_privileges(later_jvms)?);
    match stop.load(Ordering::Relaxed) {
        false => eprintln!("{}", announcement(&plan, &subject)),
        true => eprintln!("interrupted at the beginning: what was recorded so far is kept"),
    }
    let (summary, windows_failed) = follow((arguments, &plan), recorder, (subject, agents), &stop, (&save, &change))?;
    finish(&plan, &summary, windows_failed)
}

fn announcement(plan: &Plan, subject: &Subject) -> String {
    let (subject, dir) = (subject.shown(), plan.options.dir.display());
    match &plan.options.flight {
        None => format!("recording {subject} into {dir}; Ctrl-C ends it and keeps everything"),
        Some(flight) => format!(
            "keeping the last {} of {subject} in memory; `plumb save --pid {}`, and Ctrl-C at the end, save it in {dir}",
            flight::shown_keep(flight.keep),
            std::process::id()
        ),
    }
}

fn tell_kept(kept: Capabilities) {
    if kept != Capabilities::default() {
        let names = kept.names().join(", ");
        eprintln!("note: {names} is kept for this recording, all other rights are given up");
    }
}

fn begin(
    arguments: &Arguments,
    plan: &Plan,
    recorder: &mut Recorder,
    stop: &Arc<AtomicBool>,
) -> Result<(Subject, Agents)> {
    let mut agents = Agents::default();
    if let (Some(matcher), false) = (&plan.matcher, arguments.pid.is_empty()) {
        agents.attach(&arguments.pid, matcher, recorder, stop)?;
    }
    if let Some(program) = arguments.command.first() {
        recorder.expect_jvms(program);
    }
    recorder.adopt_children(!arguments.command.is_empty())?;
    let subject = Subject::begin(arguments, plan.matcher.as_ref())?;
    if let Some(pid) = subject.started_pid() {
        // It may have ended by now, which is no fault.
        let _ = recorder.add_target(pid);
    }
    recorder.adopt_children(false)?;
    Ok((subject, agents))
}

/// Until the time is over, the subject has ended or nothing of it is recorded any more, somebody asks to stop, or nothing more can be stored. Returns how many windows could not be saved meanwhile, too.
fn follow(
    (arguments, plan): (&Arguments, &Plan),
    mut recorder: Recorder,
    (mut subject, mut agents): (Subject, Agents),
    stop: &AtomicBool,
    (save, change): (&SaveSignal, &ChangeSignal),
) -> Result<(Summary, usize)> {
    let mut windows_failed = 0;
    // Nobody but these JVMs is recorded, and none of them joins again.
    let only_agents = plan.options.kernel.is_none() && !arguments.pid.is_empty();
    let deadline = arguments.duration.map(|ns| Instant::now() + Duration::from_nanos(ns));
    let mut progress = Progress::new();
    loop {
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over || stop.load(Ordering::Relaxed) || subject.has_ended() || recorder.ended_early().is_some() {
            break;
        }
        subject.wait(TURN, &mut recorder, &mut agents);
        agents.forget_ended();
        if only_agents && agents.is_empty() {
            break;
        }
        agents.hear();
        progress.tell(&recorder);
        if change.take() {
            change::change(arguments, &mut recorder, &mut subject, &mut agents);
        }
        if save.take() {
            flight::save(&recorder);
        }
        windows_failed += flight::tell(&recorder.take_saved());
        recorder.take_news().iter().for_each(|news| eprintln!("{news}"));
    }
    progress.clear();
    agents.stop();
    subject.note_refused(&recorder);
    recorder.save("the end of the recording");
    subject.tell_end();
    let summary = recorder
        .stop()
        .or_remedy("what was written before stays: `plumb merge` makes a timeline of it")?;
    Ok((summary, windows_failed))
}

fn finish(plan: &Plan, summary: &Summary, windows_failed: usize) -> Result<()> {
    tell_summary(summary);
    if plan.options.flight.is_some() {
        let windows_failed = windows_failed + flight::tell(&summary.saved);
        return flight::merge_all(plan).and(flight::all_saved(windows_failed));
    }
    if let Some(timeline) = &plan.timeline {
        merge::merge(std::slice::from_ref(&summary.dir), timeline)?;
    }
    match &summary.cut_short {
        None => Ok(()),
        Some(reason) => Err(anyhow!("the recording ended early: {reason}"))
            .remedy("what was written before that is kept; free space, or record elsewhere with -o"),
    }
}

fn tell_summary(summary: &Summary) {
    let Summary {
        dir,
        counts,
        duration_ns,
        cut_short: _,
        notes,
        saved: _,
    } = summary;
    eprintln!(
        "recorded {} into {}: {} records of the kernel, {} of JVMs, {} lost, {:.1} MB",
        shown(*duration_ns),
        dir.display(),
        counts.kernel_stored,
        counts.jvm_stored,
        counts.kernel_lost + counts.jvm_lost + counts.definitions_lost,
        counts.bytes as f64 / 1e6,
    );
    for note in notes {
        eprintln!("note: {note}");
    }
}
