//! From addresses to names: two threads that make definitions of stacks, at ordinary priority.
//!
//! The writer hands over the addresses of each stack that is new, once. One thread looks at once what the process has mapped, for it may end soon; of one that has ended before nothing
//! is known any more. The other reads symbol tables, which takes its time: the kernel's, and those of the mapped files. Java code that was compiled has no symbols, and no frame
//! pointers by default: it is called `[java]`, unless the JVM has written a map of it.
//!
//! What it knows is bounded: a queue, symbols in memory, and names that are told apart.

mod elf;
mod files;
mod frame;
mod kernel;
mod look;
mod maps;
mod namer;
mod perf_map;
mod process;
mod table;

use crate::live::Live;
use crate::privilege::{self, Capabilities};
use namer::Namer;
use plumb_trace::definition::Dated;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// What reads bytes of others; see [`crate::outside`].
pub mod outside {
    pub use super::elf::Code;
    pub use super::kernel::parse as kallsyms;
    pub use super::maps::{Mapping, find as find_mapping, parse as maps};
    pub use super::perf_map::parse as perf_map;
    pub use super::table::Table;
}

/// Stacks that wait to be looked at, and to be named.
const QUEUE: usize = 4096;
const NAME_QUEUE: usize = 4 * QUEUE;
/// Of either, how many more wait in front of a queue that is full: the kernel tells a stack only once, and the start of a program too.
const WAITING_MAX: usize = 4 * QUEUE;
/// Between two tries to put them into it, while there is nothing else to do.
const RETRY: Duration = Duration::from_millis(20);
/// How long the end of a recording waits for names.
const PATIENCE: Duration = Duration::from_secs(10);

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
            look::look(&inbox, &to_namer, &of_looker.1);
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

#[cfg(test)]
mod tests {
    use super::*;
    use plumb_trace::definition::Definition;

    pub fn request(id: u64) -> Request {
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
