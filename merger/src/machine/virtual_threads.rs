//! Virtual threads: tracks of their own, though they have no life of their own in the kernel.
//!
//! While one is mounted, its state is its carrier's: whatever is written of the carrier is written of it too, as far as it lies after the mount
//! ([`Mounted::mirror`]). While it is not, its state is what it said last: it parks, sleeps, wants a monitor; or, where it said nothing, it has given its carrier
//! away and is ready, as it is from when it may go on ([`ready`]). Calls and activity belong to whoever is mounted: they are exchanged at each mount and unmount, so that everything else here need not know.
//!
//! One that is off its CPU while mounted keeps its carrier from others: it is pinned, and its intervals say so.
//!
//! A life begins where it is first seen: of one that was there before the recording nothing is known.

mod ready;

use super::Machine;
use super::activity::{Activities, Activity};
use super::calls::{Calls, Output, Runner};
use super::registry::rename_track;
use super::sleeps::Waiting;
use super::thread::{Doing, Thread, explained};
use plumb_trace::State;
use plumb_trace::record::JvmKind;
use plumb_trace::timeline::{Cause, StateInterval, TimelineError, TimelineWriter, Track, TrackId, TrackKind};
use ready::Ended;
use rustc_hash::FxHashMap;

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// Place among the JVMs, and the number that Thread.threadId() gives.
pub(crate) type Key = (usize, u64);

/// The virtual thread that a thread carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mounted {
    pub(crate) key: Key,
    pub(crate) track: TrackId,
    /// Who carries it.
    carrier: TrackId,
    /// Its states are written up to here.
    since: u64,
    /// What is known of the wait in which it keeps its carrier.
    waiting: Waiting,
}

impl Mounted {
    /// What its carrier does, it does; while it runs, the peer tells whose CPU time that is in the kernel's books.
    pub(crate) fn mirror(&mut self, writer: &mut TimelineWriter, interval: &StateInterval) -> Result {
        let (start_ns, end_ns) = (self.since, interval.end_ns);
        if end_ns <= start_ns {
            return Ok(());
        }
        self.since = end_ns;
        let stolen_ns = interval.stolen_ns.min(end_ns - start_ns);
        let peer = match interval.state {
            State::Running => Some(self.carrier),
            _ => interval.peer,
        };
        let involuntary = interval.involuntary || pins(interval.state);
        let is_off = Doing::just(interval.state).is_off();
        self.waiting.see(writer, self.track, (start_ns, end_ns), is_off)?;
        writer.state(
            self.track,
            &StateInterval {
                start_ns,
                stolen_ns,
                peer,
                involuntary,
                ..*interval
            },
        )
    }
}

/// Whether a virtual thread in this state, which it has from its carrier, has blocked and should not have a carrier.
fn pins(state: State) -> bool {
    matches!(
        state,
        State::Monitor
            | State::Wait
            | State::Park
            | State::Sleep
            | State::Net
            | State::Disk
            | State::Poll
            | State::Futex
            | State::Syscall
            | State::Blocked
    )
}

/// A virtual thread that is alive.
#[derive(Debug)]
struct VirtualThread {
    track: TrackId,
    /// Not only a number.
    has_name: bool,
    /// Unmounted since then, doing this.
    since: u64,
    doing: Doing,
    activity: Activities,
    asks_for_work: bool,
    waiting: Waiting,
    calls: Calls,
    /// Its carrier (place among the threads) and that one's stream.
    carrier: Option<(usize, u32)>,
}

/// Most names that are kept for threads that have no record yet.
const EARLY_NAMES_MAX: usize = 16_384;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct VirtualThreads {
    living: FxHashMap<Key, VirtualThread>,
    /// Names of those of whom nothing else is known yet: what came before is not in this window, or was lost.
    early_names: FxHashMap<Key, String>,
    ended: Ended,
    /// Tracks of the living and the dead, with their carriers' processes (places in the registry).
    pub(super) tracks: Vec<(TrackId, usize)>,
}

impl Machine {
    /// A record about a virtual thread in the stream of `carrier` (place among the threads, stream).
    pub(super) fn virtual_record(&mut self, key: Key, carrier: (usize, u32), at: u64, kind: JvmKind) -> Result {
        self.make_virtual_thread(key, carrier.0, at);
        match kind {
            JvmKind::Mount => self.mount(key, carrier, at),
            JvmKind::Unmount => self.unmount(key, at, None),
            JvmKind::VthreadEnd => self.end_virtual_thread(key, at, true),
            _ => self.begin_virtual_thread(key, at),
        }
    }

    /// Gives a virtual thread its name.
    pub(super) fn name_virtual_thread(&mut self, key: Key, at: u64, name: &str) {
        let Some(thread) = self.virtual_threads.living.get_mut(&key) else {
            return self.virtual_threads.keep_name(key, name);
        };
        match std::mem::replace(&mut thread.has_name, true) {
            true => rename_track(&mut self.writer, thread.track, at, name),
            false => name.clone_into(&mut self.writer.track_mut(thread.track).name),
        }
    }

    fn make_virtual_thread(&mut self, key: Key, carrier: usize, at: u64) {
        if self.virtual_threads.living.contains_key(&key) {
            return;
        }
        let process = self.registry.threads[carrier].process;
        let name = self.virtual_threads.early_names.remove(&key);
        let has_name = name.is_some();
        let track = self.writer.add_track(Track {
            kind: TrackKind::VirtualThread,
            process: self.registry.processes[process].id,
            tid: None,
            vthread: Some(key.1),
            name: name.unwrap_or_else(|| format!("virtual thread {}", key.1)),
            former_names: Vec::new(),
            group: None,
            start_ns: at,
            end_ns: at,
            java: true,
        });
        let thread = VirtualThread {
            track,
            has_name,
            since: at,
            doing: Doing::UNKNOWN,
            activity: Activities::default(),
            asks_for_work: false,
            waiting: Waiting::default(),
            calls: Calls::new(at),
            carrier: None,
        };
        self.virtual_threads.living.insert(key, thread);
        self.virtual_threads.tracks.push((track, process));
    }

    /// It begins: what it does is a part of the unit that started it.
    fn begin_virtual_thread(&mut self, key: Key, at: u64) -> Result {
        let Some(thread) = self.virtual_threads.living.get_mut(&key) else {
            return Ok(());
        };
        thread.is_born();
        let mounted = thread
            .carrier
            .and_then(|(_, stream)| self.streams.get_mut(&(key.0, stream)));
        let calls = mounted.map_or(&mut thread.calls, |stream| &mut stream.calls);
        let mut out = Output {
            writer: &mut self.writer,
            units: &mut self.jvms[key.0].units,
            track: thread.track,
        };
        calls.run_thread(&mut out, at, key.1)
    }

    fn mount(&mut self, key: Key, (carrier, stream): (usize, u32), at: u64) -> Result {
        match self.registry.threads[carrier].mounted {
            Some(mounted) if mounted.key == key => return Ok(()),
            // That it left was not recorded.
            Some(mounted) => self.unmount(mounted.key, at, Some(Doing::UNKNOWN))?,
            None => {}
        }
        self.unmount(key, at, Some(Doing::UNKNOWN))?;
        let entry = &mut self.registry.threads[carrier];
        let Some(thread) = self.virtual_threads.living.get_mut(&key) else {
            return Ok(());
        };
        if entry.ended {
            return Ok(());
        }
        entry.is_carrier = true;
        thread.write(&mut self.writer, at)?;
        thread.carrier = Some((carrier, stream));
        entry.mounted = Some(Mounted {
            key,
            track: thread.track,
            carrier: entry.track,
            since: thread.since,
            waiting: thread.waiting,
        });
        thread.exchange(entry);
        if let Some(stream) = self.streams.get_mut(&(key.0, stream)) {
            stream.calls.carries();
            std::mem::swap(&mut stream.calls, &mut thread.calls);
        }
        Ok(())
    }

    /// It leaves its carrier, if it is on one. `doing`: what it does from then on, where that is not what it said itself.
    pub(super) fn unmount(&mut self, key: Key, at: u64, doing: Option<Doing>) -> Result {
        let Some(thread) = self.virtual_threads.living.get_mut(&key) else {
            return Ok(());
        };
        let Some((carrier, stream)) = thread.carrier.take() else {
            return thread.was_mounted_unseen(&mut self.writer, at);
        };
        let entry = &mut self.registry.threads[carrier];
        if let Some(mounted) = entry.let_go(&mut self.writer, at)? {
            (thread.since, thread.waiting) = (mounted.since, mounted.waiting);
        }
        thread.exchange(entry);
        if let Some(stream) = self.streams.get_mut(&(key.0, stream)) {
            std::mem::swap(&mut stream.calls, &mut thread.calls);
        }
        let tells_ready = self.jvms[key.0].tells_ready;
        thread.doing = doing.unwrap_or_else(|| thread.unmounted(tells_ready));
        Ok(())
    }

    /// What is known of the wait of a living virtual thread.
    pub(super) fn waiting_of(&mut self, key: Key) -> Option<&mut Waiting> {
        let thread = self.virtual_threads.living.get_mut(&key)?;
        match thread.carrier {
            None => Some(&mut thread.waiting),
            Some((carrier, _)) => {
                let mounted = self.registry.threads[carrier].mounted.as_mut();
                mounted.map(|mounted| &mut mounted.waiting)
            }
        }
    }

    /// Records of its carrier are missing from `from_ns` to `to_ns`.
    pub(super) fn lose_mounted(&mut self, carrier: usize, from_ns: u64, to_ns: u64) -> Result {
        let Some(mounted) = self.registry.threads[carrier].mounted else {
            return Ok(());
        };
        self.unmount(mounted.key, from_ns, Some(Doing::UNKNOWN))?;
        match self.virtual_threads.living.get_mut(&mounted.key) {
            Some(thread) => {
                thread.activity = Activities::default();
                thread.asks_for_work = false;
                let mut out = Output {
                    writer: &mut self.writer,
                    units: &mut self.jvms[mounted.key.0].units,
                    track: thread.track,
                };
                thread.calls.cut(&mut out, from_ns, to_ns)
            }
            None => Ok(()),
        }
    }

    /// Its life ends, or the recording.
    fn end_virtual_thread(&mut self, key: Key, at: u64, has_ended: bool) -> Result {
        self.unmount(key, at, None)?;
        let Some(mut thread) = self.virtual_threads.living.remove(&key) else {
            return Ok(());
        };
        self.virtual_threads.ended.add(key);
        thread.write(&mut self.writer, at)?;
        thread.waiting.end(&mut self.writer, thread.track, thread.since)?;
        let track = thread.track;
        let mut out = Output {
            writer: &mut self.writer,
            units: &mut self.jvms[key.0].units,
            track,
        };
        if has_ended {
            thread.calls.ran(&mut out, thread.since, Runner::Thread, None)?;
        }
        thread.calls.cut(&mut out, thread.since, thread.since)?;
        self.writer.track_mut(track).end_ns = thread.since;
        Ok(())
    }

    /// The end of the recording.
    pub(super) fn close_virtual_threads(&mut self, to_ns: u64) -> Result {
        let mut living: Vec<Key> = self.virtual_threads.living.keys().copied().collect();
        living.sort_unstable();
        living
            .into_iter()
            .try_for_each(|key| self.end_virtual_thread(key, to_ns, false))
    }
}

impl VirtualThreads {
    /// For when it comes. Those who never come do not fill the room for good.
    fn keep_name(&mut self, key: Key, name: &str) {
        if self.early_names.len() >= EARLY_NAMES_MAX {
            self.early_names.clear();
        }
        self.early_names.insert(key, name.to_owned());
    }
}

impl VirtualThread {
    /// Writes what it did unmounted, up to `at`.
    fn write(&mut self, writer: &mut TimelineWriter, at: u64) -> Result {
        if at <= self.since {
            return Ok(());
        }
        let Doing {
            state,
            cpu,
            peer,
            cause,
        } = self.doing;
        let interval = StateInterval {
            start_ns: self.since,
            end_ns: at,
            state,
            cpu,
            stolen_ns: 0,
            peer,
            cause,
            involuntary: false,
        };
        let span = (self.since, at);
        self.since = at;
        self.waiting.see(writer, self.track, span, self.doing.is_off())?;
        self.activity.sleeps_in(state);
        writer.state(self.track, &interval)
    }

    /// What the mounted one wants is its carrier's to say.
    fn exchange(&mut self, carrier: &mut Thread) {
        std::mem::swap(&mut self.activity, &mut carrier.activity);
        std::mem::swap(&mut self.asks_for_work, &mut carrier.asks_for_work);
    }

    /// `tells_ready`: its JVM will say when it may go on.
    fn unmounted(&self, tells_ready: bool) -> Doing {
        match self.activity.now() {
            Activity::None if tells_ready => Doing::just(State::Blocked),
            // It has given its carrier away.
            Activity::None => Doing {
                cause: Cause::Yielded,
                ..Doing::just(State::Ready)
            },
            activity => explained(State::Blocked, Cause::None, activity, self.asks_for_work),
        }
    }
}
