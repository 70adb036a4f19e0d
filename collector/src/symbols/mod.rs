//! From addresses to names: two threads that make definitions of stacks, at ordinary priority.
//!
//! The writer hands over the addresses of each stack that is new, once. One thread looks at once what the process has mapped, for it may end soon; of one that has ended before nothing
//! is known any more. The other reads symbol tables, which takes its time: the kernel's, and those of the mapped files. Java code that was compiled has no symbols, and no frame
//! pointers by default: it is called `[java]`, unless the JVM has written a map of it.
//!
//! What it knows is bounded: a queue, symbols in memory, and names that are told apart.

mod elf;
mod files;
mod kernel;
mod maps;
mod perf_map;
mod process;
mod table;

use crate::clock;
use crate::live::Live;
use crate::privilege::{self, Capabilities};
use files::Files;
use plumb_trace::definition::{Dated, Definition};
use process::{Places, Processes};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use table::Table;

/// Stacks that wait to be looked at, and to be named.
const QUEUE: usize = 4096;
const NAME_QUEUE: usize = 4 * QUEUE;
/// Of either, how many more wait in front of a queue that is full: the kernel tells a stack only once, and the start of a program too.
const WAITING_MAX: usize = 4 * QUEUE;
/// Between two tries to put them into it, while there is nothing else to do.
const RETRY: Duration = Duration::from_millis(20);
/// Frames that are told apart in a recording.
const FRAMES_MAX: usize = 128 << 10;
/// How long the end of a recording waits for names.
const PATIENCE: Duration = Duration::from_secs(10);
/// Module of what a JVM compiled.
const JAVA: &str = "[java]";
/// Module of the kernel's own code.
const KERNEL: &str = "[kernel]";

/// A frame of a stack, as its definition tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Frame {
    kernel: bool,
    function: String,
    module: String,
    build_id: String,
    offset: u64,
}

impl Frame {
    /// A mark in place of a frame.
    fn bare(mark: &str) -> Frame {
        Frame {
            module: mark.to_owned(),
            ..Frame::default()
        }
    }
}

/// A stack that is to be named.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its number.
    pub id: u64,
    /// Process whose it is; `None`: the kernel's.
    pub pid: Option<u32>,
    /// Innermost first.
    pub addresses: Vec<u64>,
}

#[derive(Debug)]
enum Order {
    Name(Request),
    Forget(u32),
    ForgetAll,
}

impl Order {
    /// Stacks that have no names without it.
    fn stacks(&self) -> u64 {
        matches!(self, Order::Name(_)).into()
    }
}

/// A stack that was looked at.
enum Looked {
    Kernel(Vec<u64>),
    User(Places),
}

/// The threads, from the writer's side.
#[derive(Debug)]
pub(crate) struct Symbols {
    orders: Option<SyncSender<Order>>,
    definitions: Receiver<Dated>,
    threads: Vec<JoinHandle<()>>,
    /// What found the queue full, in order: a process is forgotten before the next of its stacks is named.
    waiting: RefCell<VecDeque<Order>>,
    unnamed: Cell<u64>,
    unnamed_later: Arc<AtomicU64>,
}

impl Symbols {
    /// Starts them, with no capabilities but those `kept` once they have read what needs more.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(kept: Capabilities, live: Arc<Live>) -> std::io::Result<Symbols> {
        let (orders, inbox) = sync_channel(QUEUE);
        let (to_namer, looked) = sync_channel(NAME_QUEUE);
        let (sender, definitions) = channel();
        let unnamed_later = Arc::new(AtomicU64::new(0));
        let of_looker = (Arc::clone(&live), Arc::clone(&unnamed_later));
        let looker = move || {
            privilege::give_up_or_tell(kept, &of_looker.0);
            look(&inbox, &to_namer, &of_looker.1);
        };
        let namer = move || {
            let kernel = kernel::functions();
            if kernel.is_empty() {
                live.note("the kernel's functions have no names in stacks: /proc/kallsyms hides their addresses (CAP_SYSLOG, or kernel.kptr_restrict = 0)".into());
            }
            privilege::give_up_or_tell(kept, &live);
            Namer::new(kernel, sender).run(&looked);
        };
        let threads = vec![
            Builder::new().name("plumb-maps".into()).spawn(looker)?,
            Builder::new().name("plumb-symbols".into()).spawn(namer)?,
        ];
        Ok(Symbols {
            orders: Some(orders),
            definitions,
            threads,
            waiting: RefCell::default(),
            unnamed: Cell::new(0),
            unnamed_later,
        })
    }

    /// Has a stack named.
    pub fn name(&mut self, request: Request) {
        self.order(Order::Name(request));
    }

    /// A process has another program from now on.
    pub fn forget(&mut self, pid: u32) {
        self.order(Order::Forget(pid));
    }

    fn order(&mut self, order: Order) {
        let waiting = self.waiting.get_mut();
        match order {
            Order::Name(_) if waiting.len() >= WAITING_MAX => self.miss(1),
            // Names that are missing are told; wrong ones would not be.
            Order::Forget(_) if waiting.len() >= 2 * WAITING_MAX => {
                let missed = waiting.drain(..).map(|order| order.stacks()).sum();
                waiting.push_back(Order::ForgetAll);
                self.miss(missed);
            }
            order => waiting.push_back(order),
        }
        self.send_waiting();
    }

    fn miss(&self, stacks: u64) {
        self.unnamed.set(self.unnamed.get() + stacks);
    }

    /// Hands over what waits, as far as there is room: the writer waits for nobody.
    fn send_waiting(&self) {
        let Some(orders) = &self.orders else { return };
        let mut waiting = self.waiting.borrow_mut();
        while let Some(order) = waiting.pop_front() {
            match orders.try_send(order) {
                Ok(()) => {}
                Err(TrySendError::Full(order)) => {
                    waiting.push_front(order);
                    return;
                }
                Err(TrySendError::Disconnected(order)) => self.miss(order.stacks()),
            }
        }
    }

    /// Definitions that were made since the last call.
    pub fn take(&self) -> Vec<Dated> {
        self.send_waiting();
        self.definitions.try_iter().collect()
    }

    /// Waits for the last definitions, and says what the user should know.
    pub fn finish(mut self) -> (Vec<Dated>, Option<String>) {
        let (mut last, until) = (Vec::new(), Instant::now() + PATIENCE);
        self.send_waiting();
        while !self.waiting.get_mut().is_empty() && Instant::now() < until {
            std::thread::sleep(RETRY);
            self.send_waiting();
        }
        drop(self.orders.take());
        let never_sent = self.waiting.take().iter().map(Order::stacks).sum();
        self.miss(never_sent);
        let is_done = loop {
            match self
                .definitions
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(dated) => last.push(dated),
                Err(RecvTimeoutError::Timeout) => break false,
                Err(RecvTimeoutError::Disconnected) => break true,
            }
        };
        // One that a file system keeps waiting is left behind: it ends with the process.
        for thread in self.threads.drain(..).filter(|_| is_done) {
            let _ = thread.join();
        }
        let unnamed = self.unnamed.get() + self.unnamed_later.load(Ordering::Relaxed);
        let note = match (unnamed, is_done) {
            (0, true) => None,
            (0, false) => Some("the last stacks have no names: their files could not be read in time".to_owned()),
            (unnamed, _) => Some(format!("{unnamed} stacks have no names: too many were new at once")),
        };
        (last, note)
    }
}

/// Finds places for the addresses of stacks until nobody asks any more.
fn look(orders: &Receiver<Order>, namer: &SyncSender<(u64, Looked)>, unnamed: &AtomicU64) {
    let mut processes = Processes::default();
    let mut waiting = VecDeque::new();
    loop {
        let order = match waiting.is_empty() {
            true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => orders.recv_timeout(RETRY),
        };
        match order {
            Ok(Order::Name(_)) if waiting.len() >= WAITING_MAX => drop(unnamed.fetch_add(1, Ordering::Relaxed)),
            Ok(Order::Name(Request { id, pid, addresses })) => {
                let looked = match pid {
                    Some(pid) => Looked::User(processes.places(pid, &addresses)),
                    None => Looked::Kernel(addresses),
                };
                waiting.push_back((id, looked));
            }
            Ok(Order::Forget(pid)) => processes.forget(pid),
            Ok(Order::ForgetAll) => processes = Processes::default(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // Not to wait for names while processes end.
        while let Some(looked) = waiting.pop_front() {
            if let Err(TrySendError::Full(looked) | TrySendError::Disconnected(looked)) = namer.try_send(looked) {
                waiting.push_front(looked);
                break;
            }
        }
    }
    // Who waits for the end does so for a time only.
    for looked in waiting {
        if namer.send(looked).is_err() {
            unnamed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The state of the thread that finds names.
struct Namer {
    kernel: Table,
    files: Files,
    frames: HashMap<Frame, u32>,
    /// Number of the first frame: another one in each recording, so that recordings of one host can be put together.
    first: u32,
    definitions: Sender<Dated>,
}

impl Namer {
    fn new(kernel: Table, definitions: Sender<Dated>) -> Namer {
        Namer {
            kernel,
            files: Files::default(),
            frames: HashMap::new(),
            first: RandomState::new().hash_one(0) as u32,
            definitions,
        }
    }

    /// Until nobody asks any more.
    fn run(mut self, looked: &Receiver<(u64, Looked)>) {
        for (id, looked) in looked {
            self.name(id, &looked);
        }
    }

    fn name(&mut self, id: u64, looked: &Looked) {
        let frames = match looked {
            Looked::User(places) => self.files.frames(places),
            Looked::Kernel(addresses) => self.kernel_frames(addresses),
        };
        let frames = frames.into_iter().map(|frame| self.number(frame)).collect();
        self.define(Definition::Stack { id, frames });
    }

    fn kernel_frames(&self, addresses: &[u64]) -> Vec<Frame> {
        // All are return addresses: the innermost called the program that took the stack.
        let names = addresses
            .iter()
            .map(|address| self.kernel.find(address.saturating_sub(1)));
        let frames: Vec<Frame> = names.map(kernel_frame).collect();
        let is_of_tracing = |frame: &&Frame| kernel::is_of_tracing(&frame.function) || frame.function.is_empty();
        // Where no name is known nothing can be left out.
        let tracing = frames.iter().take_while(is_of_tracing).count();
        let tracing = if tracing == frames.len() { 0 } else { tracing };
        let mut frames = frames.into_iter().skip(tracing).collect::<Vec<_>>();
        frames.dedup_by(|one, other| one.function.is_empty() && one == other);
        frames
    }

    /// The number of a frame, which is defined when it is new.
    fn number(&mut self, frame: Frame) -> u32 {
        if let Some(&id) = self.frames.get(&frame) {
            return id;
        }
        let frame = match self.frames.len() >= FRAMES_MAX {
            true => Frame::bare("[more functions than are told apart]"),
            false => frame,
        };
        let next = self.first.wrapping_add(self.frames.len() as u32);
        let id = *self.frames.entry(frame.clone()).or_insert(next);
        if id == next {
            let Frame {
                kernel,
                function,
                module,
                build_id,
                offset,
            } = frame;
            self.define(Definition::Frame {
                id,
                kernel,
                function,
                module,
                build_id,
                offset,
            });
        }
        id
    }

    fn define(&self, definition: Definition) {
        let at = clock::monotonic_ns();
        // Who does not wait for it any more has ended.
        let _ = self.definitions.send(Dated { at, definition });
    }
}

fn kernel_frame(found: Option<(u64, String)>) -> Frame {
    Frame {
        kernel: true,
        function: found.map_or_else(String::new, |(_, name)| name),
        module: KERNEL.to_owned(),
        ..Frame::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namer() -> (Namer, Receiver<Dated>) {
        let mut kernel = Table::default();
        for (start, name) in [(0x100, "bpf_prog_1_on_block"), (0x200, "__traceiter_sched_switch")] {
            kernel.push(start, 0x100, name.as_bytes());
        }
        kernel.push(0x300, 0x100, b"schedule");
        kernel.push(0x400, 0x100, b"do_nanosleep");
        kernel.seal();
        let (sender, definitions) = channel();
        (Namer::new(kernel, sender), definitions)
    }

    /// Stacks by number, each with its frames' names.
    fn told(definitions: &Receiver<Dated>) -> Vec<(u64, Vec<String>)> {
        let (mut names, mut stacks) = (HashMap::new(), Vec::new());
        for dated in definitions.try_iter() {
            match dated.definition {
                Definition::Frame {
                    id, function, module, ..
                } => {
                    let before = names.insert(id, format!("{function}{module}"));
                    assert_eq!(before, None, "defined once");
                }
                Definition::Stack { id, frames } => {
                    stacks.push((id, frames.iter().map(|frame| names[frame].clone()).collect()));
                }
                other => panic!("{other:?}"),
            }
        }
        stacks
    }

    fn kernel_stack(addresses: &[u64]) -> Looked {
        Looked::Kernel(addresses.to_vec())
    }

    #[test]
    fn what_tracing_does_is_left_out_and_names_are_told_once() {
        let (mut namer, definitions) = namer();
        namer.name(1, &kernel_stack(&[0x150, 0x250, 0x350, 0x450]));
        namer.name(2, &kernel_stack(&[0x150, 0x9999, 0x350, 0x450, 0x9999, 0x9998]));
        let stacks = told(&definitions);
        let names = ["schedule[kernel]", "do_nanosleep[kernel]", "[kernel]"].map(String::from);
        assert_eq!(stacks, [(1, names[..2].to_vec()), (2, names.to_vec())]);
    }

    #[test]
    fn where_nothing_is_known_a_stack_is_not_empty() {
        let (mut namer, definitions) = namer();
        namer.kernel = Table::default();
        namer.name(7, &kernel_stack(&[1, 2, 3]));
        assert_eq!(told(&definitions), [(7, vec!["[kernel]".to_owned()])]);
    }

    #[test]
    fn more_functions_than_are_told_apart_are_one() {
        let (mut namer, definitions) = namer();
        let frame = |offset| Frame {
            offset,
            ..Frame::bare("x")
        };
        for offset in 0..FRAMES_MAX as u64 + 3 {
            namer.number(frame(offset));
        }
        assert_eq!(namer.frames.len(), FRAMES_MAX + 1);
        assert_eq!(definitions.try_iter().count(), FRAMES_MAX + 1);
    }

    fn request(id: u64) -> Request {
        Request {
            id,
            pid: None,
            addresses: vec![1],
        }
    }

    /// With nobody at the other end but the test.
    fn asking(queue: usize) -> (Symbols, Receiver<Order>) {
        let (orders, inbox) = sync_channel(queue);
        let symbols = Symbols {
            orders: Some(orders),
            definitions: channel().1,
            threads: Vec::new(),
            waiting: RefCell::default(),
            unnamed: Cell::new(0),
            unnamed_later: Arc::default(),
        };
        (symbols, inbox)
    }

    #[test]
    fn what_finds_a_full_queue_is_handed_over_later_in_order() {
        let (mut symbols, inbox) = asking(1);
        symbols.name(request(1));
        symbols.forget(7);
        symbols.name(request(2));
        let mut told = Vec::new();
        for _ in 0..3 {
            told.extend(inbox.try_iter().map(|order| format!("{order:?}")));
            symbols.take();
        }
        let [first, forget, second] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(first.contains("id: 1") && second.contains("id: 2"), "{told:?}");
        assert_eq!((forget.as_str(), symbols.unnamed.get()), ("Forget(7)", 0));
    }

    #[test]
    fn what_waits_is_bounded_and_nothing_old_is_taken_for_new() {
        let (mut symbols, inbox) = asking(1);
        (0..WAITING_MAX as u64 + 3).for_each(|id| symbols.name(request(id)));
        assert_eq!(symbols.unnamed.get(), 2, "one is in the queue");
        (0..WAITING_MAX as u32).for_each(|pid| symbols.forget(pid));
        assert_eq!(symbols.unnamed.get(), 2);
        symbols.forget(0);
        assert_eq!(symbols.unnamed.get(), WAITING_MAX as u64 + 2);
        assert!(matches!(inbox.try_recv(), Ok(Order::Name(_))));
        symbols.take();
        assert!(matches!(inbox.try_recv(), Ok(Order::ForgetAll)));
    }

    #[test]
    fn who_is_slow_to_name_gets_everything() {
        let (orders, inbox) = sync_channel(8);
        let (namer, looked) = sync_channel(1);
        let looker = std::thread::spawn(move || {
            let unnamed = AtomicU64::new(0);
            look(&inbox, &namer, &unnamed);
            unnamed.into_inner()
        });
        (0..8).for_each(|id| orders.send(Order::Name(request(id))).expect("somebody looks"));
        drop(orders);
        let ids: Vec<u64> = looked.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, (0..8).collect::<Vec<_>>());
        assert_eq!(looker.join().expect("its end"), 0);
    }

    #[test]
    fn the_end_waits_for_what_was_asked() -> std::io::Result<()> {
        let mut symbols = Symbols::start(Capabilities::NONE, Arc::default())?;
        symbols.name(Request {
            id: 5,
            pid: None,
            addresses: vec![1],
        });
        symbols.forget(1);
        let (last, note) = symbols.finish();
        assert!(matches!(
            last.last().map(|dated| &dated.definition),
            Some(Definition::Stack { id: 5, .. })
        ));
        assert_eq!(note, None);
        Ok(())
    }
}
