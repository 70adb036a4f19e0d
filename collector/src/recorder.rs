//! The recorder: one recording from its start to its end.

mod probes;

use crate::arena::{Arena, JvmSource};
use crate::devices::devices;
use crate::drain::{Command, Drain};
use crate::flight::{self, Flight, Saved};
use crate::kernel::{Attached, Kernel, KernelOptions, ProgramCost, Scope};
use crate::live::{Counts, Live};
use crate::parcel::{PARCEL_COUNT, Parcel};
use crate::privilege::{self, Capabilities};
use crate::symbols::Symbols;
use crate::watch::{JvmInstance, Watch};
use crate::writer::{Flying, Message, Place, Reserve, Writer, describe};
use crate::{CollectorError, clock, proc, snapshot};
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::recording::{self, Group, Host, Jvm, MANIFEST_VERSION, Manifest, RecordingError, RuleSource};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread::{Builder, JoinHandle};

/// Messages that wait for the writer: all parcels, and room for clocks and definitions.
const QUEUE: usize = PARCEL_COUNT + 192;

/// What to record, and where.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The recording's directory; it must not exist.
    pub dir: PathBuf,
    /// Processes that the recording is about. More can be added by [`Recorder::add_target`].
    pub targets: Vec<u32>,
    /// Groups of the rules, for the manifest.
    pub groups: Vec<Group>,
    /// Units of the rules, for the manifest.
    pub units: Vec<String>,
    /// The rules as they were given, for the manifest.
    pub rules: Vec<RuleSource>,
    /// The kernel side; `None`: only JVMs are recorded.
    pub kernel: Option<KernelOptions>,
    /// Why there is no kernel side, for the manifest, where there is none.
    pub kernel_absent: Option<String>,
    /// Keep the last of everything in memory instead of writing it; windows that are saved become recordings within `dir`.
    pub flight: Option<Flight>,
}

/// What a recording came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its directory.
    pub dir: PathBuf,
    /// What was stored and lost.
    pub counts: Counts,
    /// From start to end, ns.
    pub duration_ns: u64,
    /// Why it ended early, if it did.
    pub cut_short: Option<String>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Windows of a flight recorder that were saved since [`Recorder::take_saved`].
    pub saved: Vec<Saved>,
}

/// A recording that runs. Dropping it without [`Recorder::stop`] ends it as a SIGKILL would, but for what is written still.
pub struct Recorder {
    manifest: Manifest,
    dir: PathBuf,
    live: Arc<Live>,
    kernel: Option<Kernel>,
    commands: Sender<Command>,
    messages: SyncSender<Message>,
    watch: Watch,
    /// Capabilities that the recording cannot do without.
    kept: Capabilities,
    is_flight: bool,
    /// Which libjvm the command's JVMs run is not certain.
    guesses_libjvm: bool,
    threads: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Makes the directory, attaches the programs and starts to record.
    ///
    /// # Errors
    /// [`CollectorError`] where the directory exists or cannot be written, or the kernel refuses the programs. Nothing is left behind then.
    pub fn start(options: Options) -> Result<Recorder, CollectorError> {
        let attached = options.kernel.as_ref().map(Kernel::attach).transpose()?;
        recording::create_directory(&options.dir).map_err(directory_error)?;
        let started = Recorder::start_in(&options, attached);
        if started.is_err() {
            let _ = std::fs::remove_dir_all(&options.dir);
        }
        started
    }

    fn start_in(options: &Options, attached: Option<Attached>) -> Result<Recorder, CollectorError> {
        let dir = &options.dir;
        let mut manifest = manifest(options);
        // Also where the recorder does not come to its end.
        let notes = attached.as_ref().map(|attached| attached.kernel.notes.clone());
        manifest.notes = notes.unwrap_or_default();
        let live = Arc::new(Live::default());
        let place = match &options.flight {
            Some(flight) => Place::Memory(Box::new(Flying::new(
                flight.clone(),
                dir,
                manifest.clone(),
                Arc::clone(&live),
            ))),
            None => {
                let reserve = Reserve::take(dir).map_err(|error| write_error(dir, &error))?;
                manifest.write(dir).map_err(recording_error)?;
                Place::Disk(dir, reserve)
            }
        };
        let maps_change = options.kernel.as_ref().is_some_and(|kernel| kernel.selectors.change());
        let kept = privilege::needed(dir, maps_change);
        let (free_parcels, parcels) = mpsc::channel();
        (0..PARCEL_COUNT).for_each(|_| drop(free_parcels.send(Parcel::new())));
        let (messages, inbox) = mpsc::sync_channel(QUEUE);
        let (commands, orders) = mpsc::channel();
        let (kernel, rings, named, cgroups) = match attached {
            Some(attached) => (
                Some(attached.kernel),
                Some(attached.rings),
                attached.threads,
                attached.cgroups,
            ),
            None => (None, None, None, None),
        };
        let cpus = rings.as_ref().map_or(0, crate::kernel::Rings::len) as u32;
        let asks_for_stacks = options.kernel.as_ref().is_some_and(|kernel| kernel.extras.stacks.any());
        let symbols = (kernel.is_some() && asks_for_stacks)
            .then(|| Symbols::start(kept.with_later_jvms(true), Arc::clone(&live)))
            .transpose()
            .map_err(thread_error)?;
        let writer = Writer::new(place, cpus, named, Arc::clone(&live), free_parcels).with_symbols(symbols);
        let drain = Drain::new(rings, Arc::clone(&live), orders, parcels, messages.clone());
        let drain = match options.flight {
            Some(_) => drain.without_delay(),
            None => drain,
        };
        let writer_name = match options.flight {
            Some(_) => flight::THREAD,
            None => "plumb-writer",
        };
        let threads = vec![
            spawn(writer_name, move || writer.run(&inbox, kept))?,
            spawn("plumb-drain", move || drain.run())?,
        ];
        let watch = Watch::start(manifest.host.cpus, cgroups, messages.clone(), Arc::clone(&live))?;
        let mut recorder = Recorder {
            watch,
            kept,
            is_flight: options.flight.is_some(),
            guesses_libjvm: false,
            manifest,
            dir: dir.clone(),
            live,
            kernel,
            commands,
            messages,
            threads,
        };
        if options.kernel.as_ref().is_some_and(|kernel| kernel.extras.disk) {
            recorder.name_devices();
        }
        recorder.name_counters();
        match recorder.begin(&options.targets) {
            Ok(()) => Ok(recorder),
            Err(error) => {
                // Its threads end before the directory is removed, so that nobody writes there any more.
                let _ = recorder.stop();
                Err(error)
            }
        }
    }

    fn begin(&mut self, targets: &[u32]) -> Result<(), CollectorError> {
        let _ = self.messages.send(Message::Clock(clock::pair()));
        for note in self.kernel.iter().flat_map(|kernel| &kernel.notes) {
            self.live.note(note.clone());
        }
        self.trace(targets)?;
        self.probe_running(targets);
        snapshot::everybody(|dated| drop(self.messages.send(Message::Define(dated))));
        Ok(())
    }

    fn name_devices(&self) {
        let at = clock::monotonic_ns();
        for definition in devices() {
            let _ = self.messages.send(Message::Define(Dated { at, definition }));
        }
    }

    fn name_counters(&self) {
        let at = clock::monotonic_ns();
        let counters = self.kernel.iter().flat_map(|kernel| &kernel.counters).zip(0..);
        for (counter, number) in counters {
            let definition = Definition::SliceCounter {
                number,
                name: counter.name().to_owned(),
                unit: counter.unit().to_owned(),
            };
            let _ = self.messages.send(Message::Define(Dated { at, definition }));
        }
    }

    /// Makes processes and their descendants part of the traced tree.
    fn trace(&mut self, roots: &[u32]) -> Result<(), CollectorError> {
        // A child that is born while /proc is read has a parent that is in the map already, or is found in the next round.
        let mut known = std::collections::HashSet::new();
        loop {
            let found = snapshot::descendants(roots);
            let new: Vec<u32> = found.into_iter().filter(|pid| known.insert(*pid)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for pid in new {
                self.trace_one(pid)?;
            }
        }
    }

    fn trace_one(&mut self, pid: u32) -> Result<(), CollectorError> {
        if let Some(kernel) = &mut self.kernel {
            kernel.trace(pid)?;
        }
        self.tell_unrecorded();
        // One that was begun before it is traced: perf events of single processes do not tell of its birth, nor does anything of its program.
        if let Some(described) = describe(pid) {
            let _ = self.messages.send(Message::Define(described));
        }
        if let Some(start_ticks) = proc::start_ticks(pid) {
            let dated = Dated {
                at: clock::monotonic_ns(),
                definition: Definition::Traced { pid, start_ticks },
            };
            let _ = self.messages.send(Message::Define(dated));
        }
        Ok(())
    }

    /// A process may have more threads than perf events can be opened for.
    fn tell_unrecorded(&self) {
        if let Some(note) = self.kernel.as_ref().and_then(Kernel::unrecorded) {
            self.live.note(note);
        }
    }

    /// Gives up the capabilities of the calling thread and of the recorder's own, for good: to be called when all is attached and started. Returns
    /// what the recording cannot do without and the calling thread keeps. `later_jvms`: [`Recorder::add_jvm`] is still to come.
    ///
    /// # Errors
    /// [`CollectorError::System`] where the kernel refuses.
    pub fn drop_privileges(&self, later_jvms: bool) -> Result<Capabilities, CollectorError> {
        self.watch.give_up(self.kept.with_later_jvms(later_jvms));
        privilege::give_up(self.kept).map_err(|cause| CollectorError::System {
            what: "giving up capabilities",
            cause,
        })
    }

    /// Whether children of the calling process are part of the traced tree from their birth on: to be called around the start of a command, which runs before anybody could
    /// [add](Recorder::add_target) it.
    ///
    /// # Errors
    /// [`CollectorError::Bpf`] where the kernel's map cannot be written.
    pub fn adopt_children(&mut self, yes: bool) -> Result<(), CollectorError> {
        self.kernel.as_mut().map_or(Ok(()), |kernel| kernel.adopt_children(yes))
    }

    /// Adds a process that the recording is about, with its descendants.
    ///
    /// # Errors
    /// [`CollectorError`] where it has ended, or the manifest cannot be written.
    pub fn add_target(&mut self, pid: u32) -> Result<(), CollectorError> {
        if proc::start_ticks(pid).is_none() {
            return Err(CollectorError::Process {
                pid,
                cause: "it is not there".into(),
            });
        }
        self.trace(&[pid])?;
        if !self.manifest.targets.contains(&pid) {
            self.manifest.targets.push(pid);
        }
        self.write_manifest()
    }

    /// Has the manifest name rules that count from now on, beside those that counted before.
    ///
    /// # Errors
    /// [`CollectorError`] where the manifest cannot be written.
    pub fn add_rules(
        &mut self,
        groups: Vec<Group>,
        units: Vec<String>,
        rules: Vec<RuleSource>,
    ) -> Result<(), CollectorError> {
        fn add<T: PartialEq>(known: &mut Vec<T>, new: Vec<T>) {
            for one in new {
                if !known.contains(&one) {
                    known.push(one);
                }
            }
        }
        let manifest = &mut self.manifest;
        for group in groups {
            match manifest.groups.iter_mut().find(|known| known.name == group.name) {
                Some(known) => add(&mut known.threads, group.threads),
                None => manifest.groups.push(group),
            }
        }
        add(&mut manifest.units, units);
        add(&mut manifest.rules, rules);
        let since_ns = clock::monotonic_ns().saturating_sub(self.manifest.started_ns);
        self.live
            .note(format!("the rules were changed after {:.1} s", since_ns as f64 / 1e9));
        self.write_manifest()
    }

    /// Drains the arena of a JVM from now on, until the JVM or the recording ends.
    ///
    /// # Errors
    /// [`CollectorError::Arena`] where it is none, [`CollectorError::Process`] where this JVM's arena is being drained already.
    pub fn add_jvm(&mut self, jvm: JvmSource) -> Result<(), CollectorError> {
        let entry = Jvm {
            pid: jvm.pid,
            ns_pid: jvm.ns_pid,
            start_ticks: jvm.start_ticks,
        };
        if self.manifest.jvms.contains(&entry) {
            return Err(CollectorError::Process {
                pid: jvm.pid,
                cause: "it is recorded already".into(),
            });
        }
        let arena = Arena::open(&jvm, self.manifest.jvms.len())?;
        self.manifest.jvms.push(entry);
        // The writer knows of the JVM before its first record comes.
        let (pid, start_ticks, clock) = (jvm.pid, jvm.start_ticks, arena.clock);
        let _ = self.messages.send(Message::Jvm {
            pid,
            ns_pid: jvm.ns_pid,
            start_ticks,
            clock,
        });
        let _ = self.commands.send(Command::Arena(Box::new(arena)));
        self.watch.add_jvm(JvmInstance { pid, start_ticks });
        self.probe_joined(pid);
        self.write_manifest()
    }

    /// Writes the manifest, or keeps it for the windows that will be saved.
    fn write_manifest(&self) -> Result<(), CollectorError> {
        if self.is_flight {
            let _ = self.messages.send(Message::Manifest(Box::new(self.manifest.clone())));
            return Ok(());
        }
        self.manifest.write(&self.dir).map_err(recording_error)
    }

    /// Has a flight recorder save what there is now; `reason` is told with it. Other recorders do nothing.
    pub fn save(&self, reason: &str) {
        let _ = self.messages.send(Message::Save(reason.to_owned()));
    }

    /// Whether it keeps a window in memory, which [`Recorder::save`] saves.
    #[must_use]
    pub fn is_flight(&self) -> bool {
        self.is_flight
    }

    /// Windows of a flight recorder that were saved, or could not be, since the last call.
    pub fn take_saved(&self) -> Vec<Saved> {
        self.live.take_saved()
    }

    /// What the user should hear while it records, since the last call: how much memory the time takes that a flight recorder keeps.
    pub fn take_news(&self) -> Vec<String> {
        self.live.take_news()
    }

    /// What was stored and lost so far.
    #[must_use]
    pub fn live(&self) -> Counts {
        self.live.counts()
    }

    /// Why nothing more can be stored, if that is so (disk full): the recording should be stopped then.
    #[must_use]
    pub fn ended_early(&self) -> Option<String> {
        self.live.ended_early()
    }

    /// Adds something that whoever reads the recording should know.
    pub fn note(&self, note: String) {
        self.live.note(note);
    }

    /// What the user should know so far.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.live.notes()
    }

    /// Whether the kernel side is there.
    #[must_use]
    pub fn has_kernel(&self) -> bool {
        self.kernel.is_some()
    }

    /// What each BPF program has cost so far; all 0 unless the kernel's BPF statistics are on.
    #[must_use]
    pub fn program_costs(&self) -> Vec<ProgramCost> {
        self.kernel.as_ref().map(Kernel::costs).unwrap_or_default()
    }

    /// Ends the recording: detaches the programs, takes what is left in rings and arenas, and completes the manifest.
    ///
    /// Agents should be disarmed before, so that their last records are there to be taken.
    ///
    /// # Errors
    /// [`CollectorError::Write`] where the manifest cannot be written; what was recorded stays.
    pub fn stop(mut self) -> Result<Summary, CollectorError> {
        let notes = self.kernel.take().map(Kernel::detach).unwrap_or_default();
        notes.into_iter().for_each(|note| self.live.note(note));
        let ended_ns = clock::monotonic_ns();
        drop(self.watch);
        let _ = self.commands.send(Command::Finish);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.live
                    .end_early("the recorder has a defect: a thread of it panicked");
            }
        }
        self.manifest.ended_ns = Some(ended_ns);
        self.manifest.cut_short = self
            .live
            .ended_early()
            .map(|reason| reason.lines().next().unwrap_or_default().to_owned());
        self.manifest.notes = self.live.notes();
        if self.is_flight {
            // Where nothing was saved there is nothing.
            let _ = std::fs::remove_dir(&self.dir);
        } else {
            self.manifest.write(&self.dir).map_err(recording_error)?;
        }
        Ok(Summary {
            saved: self.live.take_saved(),
            counts: self.live.counts(),
            duration_ns: ended_ns.saturating_sub(self.manifest.started_ns),
            cut_short: self.manifest.cut_short,
            notes: self.live.notes(),
            dir: self.dir,
        })
    }
}

fn manifest(options: &Options) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        plumb_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        started_ns: clock::monotonic_ns(),
        started_realtime_ns: clock::realtime_ns(),
        ended_ns: None,
        recorder_pid: std::process::id(),
        kernel: options.kernel.is_some(),
        kernel_absent: options.kernel_absent.clone(),
        scope: options
            .kernel
            .as_ref()
            .map_or(Scope::System, |kernel| kernel.scope)
            .name()
            .to_owned(),
        targets: options.targets.clone(),
        jvms: Vec::new(),
        groups: options.groups.clone(),
        units: options.units.clone(),
        rules: options.rules.clone(),
        cut_short: None,
        notes: Vec::new(),
    }
}

fn host() -> Host {
    let read = |path: &str| proc::read_trimmed(path).unwrap_or_default();
    let cpus = aya::util::nr_cpus().map_or(1, |cpus| u32::try_from(cpus).unwrap_or(u32::MAX));
    Host {
        name: read("/proc/sys/kernel/hostname"),
        boot_id: proc::boot_id(),
        kernel: read("/proc/sys/kernel/osrelease"),
        cpus,
        online: crate::watch::online_cpus(cpus),
        clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, CollectorError> {
    let spawned = Builder::new().name(name.into()).spawn(body);
    spawned.map_err(thread_error)
}

fn thread_error(cause: std::io::Error) -> CollectorError {
    CollectorError::System {
        what: "starting a thread",
        cause,
    }
}

fn write_error(path: &Path, error: &std::io::Error) -> CollectorError {
    CollectorError::Write {
        path: path.to_owned(),
        cause: error.to_string(),
    }
}

fn recording_error(error: RecordingError) -> CollectorError {
    match error {
        RecordingError::Io { path, source } => write_error(&path, &source),
        other => CollectorError::Recording(other),
    }
}

fn directory_error(error: RecordingError) -> CollectorError {
    match error {
        RecordingError::Io { path, source } => CollectorError::Directory {
            path,
            cause: source.to_string(),
        },
        other => CollectorError::Recording(other),
    }
}
