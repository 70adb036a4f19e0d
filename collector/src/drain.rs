//! The drain thread: at real-time priority, empties the kernel's rings and the JVMs' arenas into parcels, and reads the clocks.
//!
//! It does not allocate (but for a new thread's stream), write, compress or wait for anybody while it has something to do: a reader that is not scheduled is what loses events.

use crate::arena::{Arena, Pass};
use crate::clock;
use crate::kernel::Rings;
use crate::live::Live;
use crate::parcel::{PARCEL_COUNT, Parcel};
use crate::privilege::{self, Capabilities};
use crate::writer::Message;
use plumb_trace::record::KERNEL_RECORD_BYTES;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

/// Between two passes while there is something to do.
const BUSY: Duration = Duration::from_millis(5);
/// Between two passes while there is little: at most, and where it is not known how many records a ring holds.
const IDLE_MAX: Duration = Duration::from_millis(30);
const IDLE: Duration = Duration::from_millis(20);
/// More records than a CPU makes in a second: what begins right after a pass must not fill its ring before the next one.
const FASTEST: u64 = 3_000_000;
/// A pass with fewer records is an idle one.
const IDLE_RECORDS: u64 = 256;
/// Between two thorough passes over arenas.
const THOROUGH: Duration = Duration::from_millis(200);
/// Between two readings of the clocks.
const CLOCK: Duration = Duration::from_millis(250);
/// Longest time that a parcel with something in it is kept, and with little in it: to wake the writer costs more than what it then does. A flight recorder's triggers wait for records.
const PARCEL_AGE: Duration = Duration::from_millis(50);
const SMALL_PARCEL_AGE: Duration = Duration::from_millis(200);
const SMALL_PARCEL_BYTES: usize = IDLE_RECORDS as usize * KERNEL_RECORD_BYTES;
/// A parcel with less room is as good as full.
const LOW_BYTES: usize = crate::parcel::PARCEL_BYTES / 8;
/// Parcels that may be under way while one that is not full is sent for its age: a writer that is further behind gets full ones, so that all of their room counts.
const UNDER_WAY: usize = 8;
/// How long the end waits for the writer at most; a disk that hangs must not hang the command.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the drain thread is told.
pub(crate) enum Command {
    /// Drain this one too.
    Arena(Box<Arena>),
    /// The programs are detached and the agents disarmed: take the rest and end.
    Finish,
}

/// What agents dropped.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    records: u64,
    definitions: u64,
}

impl Lost {
    fn add(&mut self, arena: &Arena) {
        self.records = self.records.saturating_add(arena.totals.lost);
        self.definitions = self.definitions.saturating_add(arena.totals.definitions_lost);
    }
}

/// The thread's state.
pub(crate) struct Drain {
    rings: Option<Rings>,
    arenas: Vec<Arena>,
    /// Losses of arenas that were let go.
    gone: Lost,
    live: Arc<Live>,
    commands: Receiver<Command>,
    /// Empty parcels come back through here.
    free: Receiver<Parcel>,
    writer: SyncSender<Message>,
    /// Empty parcels that came back.
    stock: Vec<Parcel>,
    parcel: Option<Parcel>,
    /// When the parcel's first record came.
    parcel_since: Instant,
    thorough: Instant,
    clock: Instant,
    small_parcel_age: Duration,
}

impl Drain {
    pub fn new(
        rings: Option<Rings>,
        live: Arc<Live>,
        commands: Receiver<Command>,
        free: Receiver<Parcel>,
        writer: SyncSender<Message>,
    ) -> Drain {
        let now = Instant::now();
        Drain {
            rings,
            arenas: Vec::new(),
            gone: Lost::default(),
            live,
            commands,
            free,
            writer,
            stock: Vec::with_capacity(PARCEL_COUNT),
            parcel: None,
            parcel_since: now,
            thorough: now,
            clock: now,
            small_parcel_age: SMALL_PARCEL_AGE,
        }
    }

    /// Somebody waits for what comes.
    pub fn without_delay(mut self) -> Drain {
        self.small_parcel_age = PARCEL_AGE;
        self
    }

    /// Drains until it is told to end.
    pub fn run(mut self) {
        if let Err(error) = real_time() {
            self.live.note(format!(
                "the recorder has no real-time priority ({error}): on a busy machine it may lose events; they are counted"
            ));
        }
        // What is drained is mapped already.
        privilege::give_up_or_tell(Capabilities::NONE, &self.live);
        let (mut interval, idle) = (BUSY, idle(self.rings.as_ref().and_then(Rings::records_of_a_cpu)));
        loop {
            match self.commands.recv_timeout(interval) {
                Ok(Command::Arena(arena)) => self.arenas.push(*arena),
                Ok(Command::Finish) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let moved = self.pass();
            interval = if moved >= IDLE_RECORDS {
                BUSY
            } else {
                (interval * 2).min(idle)
            };
        }
        self.finish();
    }

    /// One look at everything. Returns the number of records that came.
    fn pass(&mut self) -> u64 {
        let now = Instant::now();
        if now.duration_since(self.clock) >= CLOCK {
            self.clock = now;
            // Where the writer is behind, a pair less does no harm.
            let _ = self.writer.try_send(Message::Clock(clock::pair()));
        }
        let thorough = now.duration_since(self.thorough) >= THOROUGH;
        let mut moved = 0;
        loop {
            let (more, whole) = self.fill(if thorough { Pass::Thorough } else { Pass::Quick });
            moved += more;
            if whole || !self.send() {
                break;
            }
        }
        if thorough {
            self.thorough = now;
            self.drop_ended();
        }
        if self.parcel_is_old() && self.writer_keeps_up() {
            self.send();
        }
        self.tell_losses();
        moved
    }

    fn parcel_is_old(&self) -> bool {
        self.parcel.as_ref().is_some_and(|parcel| {
            let is_small = parcel.bytes.len() < SMALL_PARCEL_BYTES;
            self.parcel_since.elapsed() >= if is_small { self.small_parcel_age } else { PARCEL_AGE }
        })
    }

    fn writer_keeps_up(&mut self) -> bool {
        self.stock.extend(self.free.try_iter());
        PARCEL_COUNT.saturating_sub(self.stock.len()) <= UNDER_WAY
    }

    /// Fills the parcel. Returns how many records came, and whether all of them fitted.
    fn fill(&mut self, pass: Pass) -> (u64, bool) {
        if self.parcel.is_none() {
            self.parcel = self.stock.pop().or_else(|| self.free.try_recv().ok());
            self.parcel_since = Instant::now();
        }
        // No parcel: the writer is behind, and the records wait in their rings.
        let Some(parcel) = &mut self.parcel else {
            return (0, true);
        };
        let mut moved = 0;
        if let Some(rings) = &mut self.rings {
            loop {
                let more = rings.drain(parcel);
                moved += more;
                if more < IDLE_RECORDS || parcel.space() < LOW_BYTES {
                    break;
                }
            }
        }
        // Into a low parcel go few events of perf at a time, each of which may become several records.
        let is_low = parcel.space() < LOW_BYTES && self.rings.as_ref().is_some_and(|rings| !rings.is_empty());
        let mut whole = parcel.space() > KERNEL_RECORD_BYTES && !is_low;
        for arena in &mut self.arenas {
            let before = arena.totals.read;
            whole &= arena.drain(parcel, pass);
            moved += arena.totals.read - before;
        }
        (moved, whole)
    }

    /// Hands the parcel over if there is something in it. False when the writer takes nothing more at the moment.
    fn send(&mut self) -> bool {
        let Some(parcel) = self.parcel.take() else { return false };
        if parcel.items.is_empty() {
            self.parcel = Some(parcel);
            self.parcel_since = Instant::now();
            return false;
        }
        match self.writer.try_send(Message::Parcel(parcel)) {
            Ok(()) => true,
            Err(TrySendError::Full(Message::Parcel(parcel))) => {
                self.parcel = Some(parcel);
                false
            }
            Err(_) => false,
        }
    }

    /// Lets go of arenas whose JVMs have ended, after what they left was read.
    fn drop_ended(&mut self) {
        for index in (0..self.arenas.len()).rev() {
            if self.arenas[index].has_ended() {
                // What was written until its end is there now.
                let drained = self
                    .parcel
                    .as_mut()
                    .is_some_and(|parcel| self.arenas[index].drain(parcel, Pass::Last));
                if drained {
                    let arena = self.arenas.swap_remove(index);
                    self.let_go(&arena);
                }
            }
        }
    }

    fn let_go(&mut self, arena: &Arena) {
        if let Some(damage) = arena.damage() {
            self.live.note(format!(
                "the arena of JVM {} is damaged: {damage}; what could be read was kept",
                arena.pid()
            ));
        }
        self.gone.add(arena);
    }

    fn tell_losses(&self) {
        let mut lost = self.gone;
        self.arenas.iter().for_each(|arena| lost.add(arena));
        self.live.jvm_dropped.store(lost.records, Ordering::Relaxed);
        self.live.definitions_dropped.store(lost.definitions, Ordering::Relaxed);
        if let Some(rings) = &self.rings {
            self.live.kernel_dropped.store(rings.totals().lost, Ordering::Relaxed);
        }
    }

    /// Takes all that is left, waiting for the writer where that is needed.
    fn finish(mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut quiet = 0;
        // Twice, because a program may still have been running when it was detached.
        while quiet < 2 && Instant::now() < deadline {
            if self.parcel.is_none() {
                if !self.await_parcel() {
                    break;
                }
                continue;
            }
            let (moved, whole) = self.fill(Pass::Last);
            let empty = self.rings.as_ref().is_none_or(Rings::is_empty);
            quiet = if moved == 0 && whole && empty { quiet + 1 } else { 0 };
            if !self.send() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if quiet < 2 {
            let note = "not all that was left at the end was written, because the disk took too long";
            self.live.note(note.into());
        }
        self.finish_losses(deadline);
        let _ = self.writer.send(Message::Clock(clock::pair()));
        let _ = self.writer.send(Message::Finish);
    }

    /// Waits a moment for an empty parcel. False when none will ever come, because nobody writes any more.
    fn await_parcel(&mut self) -> bool {
        if let Some(parcel) = self.stock.pop() {
            self.parcel = Some(parcel);
            return true;
        }
        let parcel = self.free.recv_timeout(Duration::from_millis(100));
        let is_written = !matches!(parcel, Err(RecvTimeoutError::Disconnected));
        self.parcel = parcel.ok();
        is_written
    }

    fn finish_losses(&mut self, deadline: Instant) {
        while self.parcel.as_ref().is_none_or(|parcel| parcel.space() == 0) && Instant::now() < deadline {
            if self.parcel.is_some() && !self.send() {
                std::thread::sleep(Duration::from_millis(1));
            } else if !self.await_parcel() {
                break;
            }
        }
        if let (Some(rings), Some(parcel)) = (&mut self.rings, &mut self.parcel) {
            rings.drain_losses(parcel);
        }
        if let Some(parcel) = self.parcel.take() {
            let _ = self.writer.send(Message::Parcel(parcel));
        }
        for arena in std::mem::take(&mut self.arenas) {
            self.let_go(&arena);
        }
        self.tell_losses();
        if let Some(note) = self.rings.as_ref().and_then(Rings::note) {
            self.live.note(note);
        }
        let untaken = self.rings.as_ref().map_or(0, |rings| rings.totals().untaken);
        if untaken > 0 {
            self.live.note(format!(
                "{untaken} stacks were not taken: on one CPU there are 10,000 a second at the most, so that who blocks more often is not slowed down much"
            ));
        }
    }
}

/// Between two passes while there is little, with rings of so many records.
fn idle(records: Option<u64>) -> Duration {
    let fills_in = records.map_or(IDLE, |records| {
        Duration::from_nanos(records.saturating_mul(1_000_000_000) / FASTEST)
    });
    fills_in.clamp(BUSY, IDLE_MAX)
}

/// SCHED_FIFO 1: above every ordinary thread, below everything that is real-time on purpose.
pub(crate) fn real_time() -> std::io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 1 };
    #[expect(unsafe_code, reason = "sched_setscheduler")]
    // SAFETY: `parameter` is a valid sched_param; 0 is the calling thread.
    let result =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameter) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_writer_that_is_behind_gets_full_parcels_only() {
        let (free, parcels) = mpsc::channel();
        let (writer, messages) = mpsc::sync_channel(PARCEL_COUNT);
        let (_commands, orders) = mpsc::channel();
        (0..PARCEL_COUNT).for_each(|_| drop(free.send(Parcel::new())));
        let mut drain = Drain::new(None, Arc::new(Live::default()), orders, parcels, writer);
        for sent in 0..=UNDER_WAY {
            assert!(drain.writer_keeps_up(), "{sent} are under way");
            drain.stock.pop();
        }
        assert!(!drain.writer_keeps_up());
        // One comes back.
        drop(free.send(Parcel::new()));
        assert!(drain.writer_keeps_up());
        drop(messages);
    }

    #[test]
    fn small_rings_are_looked_at_before_they_are_full() {
        assert_eq!(idle(Some(1 << 20)), IDLE_MAX);
        assert_eq!(idle(Some(3 << 13)), Duration::from_micros(8192));
        assert_eq!((idle(Some(64)), idle(None)), (BUSY, IDLE));
    }

    #[test]
    fn the_end_does_not_wait_for_a_writer_that_is_gone() {
        let (live, (commands, orders)) = (Arc::new(Live::default()), mpsc::channel());
        let (free, parcels) = mpsc::channel();
        let (writer, messages) = mpsc::sync_channel(1);
        drop((commands, free, messages));
        let mut drain = Drain::new(None, Arc::clone(&live), orders, parcels, writer);
        assert!(!drain.await_parcel());
        drain.run();
        assert!(live.notes().iter().any(|note| note.contains("not all")));
    }
}
