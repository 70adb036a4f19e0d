//! What JVMs count about themselves: read from outside, from the file of their performance counters ([`perfdata`]).
//!
//! | counter | unit | from |
//! | --- | --- | --- |
//! | `jvm.compilations` | count, cumulative | methods that the JIT compilers have finished |
//! | `jvm.compile_time` | ns, cumulative | time that their threads took for it |
//! | `jvm.compile_bailouts`, `jvm.invalidations` | count, cumulative | compilations given up; compiled methods that had to be thrown away |
//! | `jvm.classes_loaded`, `jvm.classes_unloaded` | count, cumulative | classes, those of the shared archive included |
//! | `jvm.class_load_time` | ns, cumulative | time that threads took to load, link and initialise them |
//! | `jvm.safepoints` | count, cumulative | times that all threads were stopped, for whatever reason |
//! | `jvm.safepoint_time`, `jvm.safepoint_sync_time` | ns, cumulative | for how long; and the part of it until the last thread had stopped |
//! | `jvm.threads` | state | Java threads that are alive |
//!
//! A JVM with -XX:-UsePerfData or -XX:+PerfDisableSharedMem has no such file.

use super::Counters;
use crate::live::Live;
use crate::proc;
use plumb_trace::definition::Definition;
use plumb_trace::perfdata;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

/// Longest list of mappings that is read, bytes.
const MAPS_BYTES_MAX: u64 = 64 << 20;
/// Most JVMs that are sampled.
const JVMS_MAX: usize = 256;
/// Looks for a JVM's file: one that starts has it after a moment.
const LOOKS_MAX: u32 = 30;
/// How many of the ticks in the JVM's counters a second has.
const FREQUENCY: &str = "sun.os.hrt.frequency";

struct Kind {
    name: &'static str,
    /// Of `ns`, the JVM's numbers are its ticks.
    unit: &'static str,
    /// What is added up.
    of: &'static [&'static str],
}

const fn kind(name: &'static str, unit: &'static str, of: &'static [&'static str]) -> Kind {
    Kind { name, unit, of }
}

const KINDS: [Kind; 11] = [
    kind("jvm.compilations", "count", &["sun.ci.totalCompiles"]),
    kind("jvm.compile_time", "ns", &["java.ci.totalTime"]),
    kind("jvm.compile_bailouts", "count", &["sun.ci.totalBailouts"]),
    kind("jvm.invalidations", "count", &["sun.ci.totalInvalidates"]),
    kind(
        "jvm.classes_loaded",
        "count",
        &["java.cls.loadedClasses", "java.cls.sharedLoadedClasses"],
    ),
    kind(
        "jvm.classes_unloaded",
        "count",
        &["java.cls.unloadedClasses", "java.cls.sharedUnloadedClasses"],
    ),
    kind("jvm.class_load_time", "ns", &["sun.cls.time"]),
    kind("jvm.safepoints", "count", &["sun.rt.safepoints"]),
    kind("jvm.safepoint_time", "ns", &["sun.rt.safepointTime"]),
    kind("jvm.safepoint_sync_time", "ns", &["sun.rt.safepointSyncTime"]),
    kind("jvm.threads", "state", &["java.threads.live"]),
];

/// A process that is a JVM: this one, not a later one with its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JvmInstance {
    pub pid: u32,
    pub start_ticks: u64,
}

/// The JVMs of a recording.
#[derive(Default)]
pub(super) struct Jvms {
    /// Their files are not there yet; and how often was looked.
    awaited: Vec<(JvmInstance, u32)>,
    sampled: Vec<Jvm>,
}

struct Jvm {
    instance: JvmInstance,
    file: File,
    buffer: Vec<u8>,
    ticks_per_second: u64,
    /// Numbers of the counters, and where their parts stand in the file.
    counters: Vec<(u32, &'static Kind, Vec<usize>)>,
}

impl Jvms {
    pub fn add(&mut self, instance: JvmInstance) {
        if self.awaited.len() + self.sampled.len() < JVMS_MAX {
            self.awaited.push((instance, 0));
        }
    }

    /// Whether there is one whose file was not there yet.
    pub fn awaits(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Looks for files that were not there yet, and which JVMs have ended.
    pub fn look(&mut self, counters: &mut Counters, live: &Live) {
        self.sampled.retain(|jvm| is_there(jvm.instance));
        let Jvms { awaited, sampled } = self;
        awaited.retain_mut(|(instance, looks)| {
            *looks += 1;
            if let Some(jvm) = Jvm::open(*instance, counters) {
                sampled.push(jvm);
                return false;
            }
            let goes_on = is_there(*instance);
            if goes_on && *looks == LOOKS_MAX {
                let pid = instance.pid;
                live.note(format!(
                    "JVM {pid} tells no counters of compilations, classes and safepoints: it runs with -XX:-UsePerfData or -XX:+PerfDisableSharedMem"
                ));
            }
            goes_on && *looks < LOOKS_MAX
        });
    }

    pub fn sample(&mut self, counters: &mut Counters) {
        for jvm in &mut self.sampled {
            jvm.sample(counters);
        }
    }
}

fn is_there(instance: JvmInstance) -> bool {
    proc::start_ticks(instance.pid) == Some(instance.start_ticks)
}

impl Jvm {
    fn open(instance: JvmInstance, counters: &mut Counters) -> Option<Jvm> {
        let (file, length) = open_file(instance)?;
        let mut buffer = vec![0; length];
        read(&file, &mut buffer)?;
        let names: Vec<&str> = KINDS
            .iter()
            .flat_map(|kind| kind.of)
            .chain([&FREQUENCY])
            .copied()
            .collect();
        let places = perfdata::places(&buffer, &names)?;
        let frequency = perfdata::value(&buffer, *places.get(FREQUENCY)?)?;
        let ticks_per_second = u64::try_from(frequency).ok().filter(|frequency| *frequency > 0)?;
        let mut define = |kind: &'static Kind| {
            let parts = kind.of.iter().map(|name| places.get(name).copied());
            let parts: Option<Vec<usize>> = parts.collect();
            Some((define(instance, kind, counters), kind, parts?))
        };
        Some(Jvm {
            counters: KINDS.iter().filter_map(&mut define).collect(),
            instance,
            file,
            buffer,
            ticks_per_second,
        })
    }

    fn sample(&mut self, counters: &mut Counters) {
        if read(&self.file, &mut self.buffer).is_none() {
            return;
        }
        for (counter, kind, parts) in &self.counters {
            let part = |place: &usize| u64::try_from(perfdata::value(&self.buffer, *place)?).ok();
            let sum = parts.iter().try_fold(0u64, |sum, place| sum.checked_add(part(place)?));
            let in_unit = |sum| match kind.unit {
                "ns" => nanoseconds(sum, self.ticks_per_second),
                _ => sum,
            };
            counters.sample(*counter, sum.map(in_unit));
        }
    }
}

fn define(instance: JvmInstance, kind: &Kind, counters: &mut Counters) -> u32 {
    let JvmInstance { pid, start_ticks } = instance;
    counters.define_as(|id| Definition::JvmCounter {
        id,
        name: kind.name.to_owned(),
        unit: kind.unit.to_owned(),
        cumulative: kind.unit != "state",
        pid,
        start_ticks,
    })
}

fn nanoseconds(ticks: u64, per_second: u64) -> u64 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(per_second);
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// All of the file; `None` where it has become shorter.
fn read(file: &File, buffer: &mut [u8]) -> Option<()> {
    file.read_exact_at(buffer, 0).ok()
}

/// The file that the JVM itself has mapped; only if it is one, and its user's.
///
/// With its length, asked for once: its user may change it at any time.
fn open_file(instance: JvmInstance) -> Option<(File, usize)> {
    let pid = instance.pid;
    let path = mapped_path(pid)?;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open(format!("/proc/{pid}/root{path}")).ok()?;
    let found = file.metadata().ok()?;
    let is_it = found.is_file() && found.len() <= perfdata::FILE_BYTES_MAX && found.uid() == proc::Status::of(pid)?.uid;
    // It is this JVM that was looked at, not one that has its pid by now.
    let length = usize::try_from(found.len()).ok()?;
    (is_it && is_there(instance)).then_some((file, length))
}

fn mapped_path(pid: u32) -> Option<String> {
    let maps = File::open(format!("/proc/{pid}/maps")).ok()?.take(MAPS_BYTES_MAX);
    // Names of other files may be of any bytes.
    let mut lines = BufReader::new(maps).split(b'\n').map_while(Result::ok);
    lines.find_map(|line| perfdata::path_in(str::from_utf8(&line).ok()?).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_any_length_are_nanoseconds() {
        assert_eq!(nanoseconds(1500, 1_000_000_000), 1500);
        assert_eq!(nanoseconds(3, 1000), 3_000_000);
        assert_eq!(nanoseconds(u64::MAX, 1), u64::MAX);
    }
}
