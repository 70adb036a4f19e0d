//! The watch thread: looks now and then, at ordinary priority, at what makes no events. It samples counters (see [`sources`] for all of them), notices CPUs that go and come, and
//! looks for new cgroups where the scope is by cgroup.

mod jvm;
mod limited;
mod sources;

use crate::kernel::Cgroups;
use crate::live::Live;
use crate::privilege::{self, Capabilities};
use crate::writer::Message;
use crate::{CollectorError, clock};
pub(crate) use jvm::JvmInstance;
use jvm::Jvms;
use limited::Limited;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::recording::CounterSample;
pub(crate) use sources::cpu_list;
use sources::{RESOURCES, Text, pressure, steal};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// Between two looks for cgroups.
const LOOK: Duration = Duration::from_secs(1);
/// Longest /proc/stat that is read, bytes: the CPUs' lines of 4096 CPUs.
const STAT_BYTES_MAX: usize = 512 << 10;
/// Longest pressure or cpu.stat file that is read, bytes.
const SMALL_BYTES_MAX: usize = 4096;

/// What the thread is told.
enum Order {
    /// Sample what this JVM counts, too.
    Jvm(JvmInstance),
    /// Keep these capabilities and no others.
    GiveUp(Capabilities),
}

/// The thread; it ends when this is dropped.
pub(crate) struct Watch {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it.
    pub fn start(
        cpus: u32,
        cgroups: Option<Cgroups>,
        writer: SyncSender<Message>,
        live: Arc<Live>,
    ) -> Result<Watch, CollectorError> {
        let (sender, orders) = channel();
        let body = move || State::new(cpus, cgroups, writer, live).run(&orders);
        let thread = Builder::new().name("plumb-watch".into()).spawn(body);
        let thread = thread.map_err(|cause| CollectorError::System {
            what: "starting a thread",
            cause,
        })?;
        Ok(Watch {
            orders: Some(sender),
            thread: Some(thread),
        })
    }

    /// Samples what this JVM counts, too.
    pub fn add_jvm(&self, jvm: JvmInstance) {
        self.order(Order::Jvm(jvm));
    }

    /// Keeps these capabilities and no others, after what was ordered before is done.
    pub fn give_up(&self, kept: Capabilities) {
        self.order(Order::GiveUp(kept));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it costs samples and nothing else.
            let _ = thread.join();
        }
    }
}

/// Counters that have a number, and samples on their way to the writer.
struct Counters {
    writer: SyncSender<Message>,
    defined: u32,
    samples: Vec<CounterSample>,
}

/// What a counter is about.
#[derive(Clone, Copy, Debug, Default)]
struct About<'a> {
    pub cpu: Option<u32>,
    pub cgroup: &'a str,
}

impl Counters {
    /// Gives a number to a counter. `unit` is `state` for values of their own; others are cumulative.
    pub fn define(&mut self, name: &str, unit: &str, about: About<'_>) -> u32 {
        self.define_as(|id| Definition::Counter {
            id,
            name: name.to_owned(),
            unit: unit.to_owned(),
            cumulative: unit != "state",
            cpu_plus_1: about.cpu.map_or(0, |cpu| cpu + 1),
            cgroup: about.cgroup.to_owned(),
        })
    }

    /// Gives the next number to the counter that this definition is of.
    fn define_as(&mut self, definition: impl FnOnce(u32) -> Definition) -> u32 {
        self.defined += 1;
        let _ = self.writer.send(Message::Define(Dated {
            at: clock::monotonic_ns(),
            definition: definition(self.defined),
        }));
        self.defined
    }

    /// Adds a sample, of now.
    pub fn sample(&mut self, counter: u32, value: Option<u64>) {
        let sample = |value| CounterSample {
            at_ns: clock::monotonic_ns(),
            counter,
            value,
        };
        self.samples.extend(value.map(sample));
    }

    fn send(&mut self) {
        if !self.samples.is_empty() {
            let _ = self.writer.send(Message::Counters(std::mem::take(&mut self.samples)));
        }
    }
}

/// The kernel's list of them.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// The CPUs that are online, of those below `cpus_max`.
pub(crate) fn online_cpus(cpus_max: u32) -> Vec<u32> {
    let text = Text::open(ONLINE, SMALL_BYTES_MAX).and_then(|mut file| file.read().map(str::to_owned));
    text.map_or_else(Vec::new, |text| cpu_list(&text, cpus_max).into_iter().collect())
}

/// A file of pressures and the numbers of its two counters.
struct Pressure {
    text: Text,
    counters: [u32; 2],
}

impl Pressure {
    pub fn open(
        path: impl AsRef<std::path::Path>,
        resource: &str,
        cgroup: &str,
        counters: &mut Counters,
    ) -> Option<Pressure> {
        let mut text = Text::open(path, SMALL_BYTES_MAX)?;
        // Where pressure is switched off the file is there and cannot be read.
        text.read()?;
        let about = About { cpu: None, cgroup };
        let counters = ["some", "full"].map(|which| counters.define(&format!("psi.{resource}.{which}"), "ns", about));
        Some(Pressure { text, counters })
    }

    pub fn sample(&mut self, counters: &mut Counters) {
        let totals = self.text.read().map_or([None; 2], pressure);
        for (counter, total) in self.counters.into_iter().zip(totals) {
            counters.sample(counter, total);
        }
    }
}

struct State {
    counters: Counters,
    live: Arc<Live>,
    cpus: u32,
    scope: Option<Cgroups>,
    limited: Limited,
    jvms: Jvms,
    pressures: Vec<Pressure>,
    stat: Option<Text>,
    steal: HashMap<u32, u32>,
    online: Option<Text>,
    is_online: BTreeSet<u32>,
    online_counters: HashMap<u32, u32>,
}

impl State {
    fn new(cpus: u32, scope: Option<Cgroups>, writer: SyncSender<Message>, live: Arc<Live>) -> State {
        let mut counters = Counters {
            writer,
            defined: 0,
            samples: Vec::new(),
        };
        let of_host =
            RESOURCES.map(|resource| Pressure::open(format!("/proc/pressure/{resource}"), resource, "", &mut counters));
        State {
            counters,
            live,
            cpus,
            scope,
            limited: Limited::new(),
            jvms: Jvms::default(),
            pressures: of_host.into_iter().flatten().collect(),
            stat: Text::open("/proc/stat", STAT_BYTES_MAX),
            steal: HashMap::new(),
            online: Text::open(ONLINE, SMALL_BYTES_MAX),
            is_online: BTreeSet::new(),
            online_counters: HashMap::new(),
        }
    }

    fn run(mut self, orders: &Receiver<Order>) {
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                self.look();
            }
            self.sample();
            match orders.recv_timeout(SAMPLE) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Jvm(jvm)) => {
                    self.jvms.add(jvm);
                    self.jvms.look(&mut self.counters, &self.live);
                }
                Ok(Order::GiveUp(kept)) => {
                    // One whose file is not there yet is looked at again.
                    let kept = kept.with_later_jvms(self.jvms.awaits());
                    privilege::give_up_or_tell(kept, &self.live);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    // The last sample is of the end, so that what was counted until then is known.
                    self.sample();
                    return;
                }
            }
        }
    }

    fn look(&mut self) {
        self.limited.look(&mut self.counters);
        self.jvms.look(&mut self.counters, &self.live);
        if let Some(scope) = &mut self.scope {
            scope.look();
        }
    }

    fn sample(&mut self) {
        for pressure in &mut self.pressures {
            pressure.sample(&mut self.counters);
        }
        self.limited.sample(&mut self.counters);
        self.jvms.sample(&mut self.counters);
        self.sample_steal();
        self.sample_online();
        self.counters.send();
    }

    fn sample_steal(&mut self) {
        let Some(text) = self.stat.as_mut().and_then(Text::read) else {
            return;
        };
        for (cpu, stolen_ns) in steal(text) {
            let counter = *self.steal.entry(cpu).or_insert_with(|| {
                let about = About {
                    cpu: Some(cpu),
                    cgroup: "",
                };
                self.counters.define("cpu.steal", "ns", about)
            });
            self.counters.sample(counter, Some(stolen_ns));
        }
    }

    fn sample_online(&mut self) {
        let Some(text) = self.online.as_mut().and_then(Text::read) else {
            return;
        };
        let now = cpu_list(text, self.cpus);
        if now == self.is_online || now.is_empty() {
            return;
        }
        let is_first = self.is_online.is_empty();
        let changed: Vec<u32> = now.symmetric_difference(&self.is_online).copied().collect();
        for cpu in changed {
            let is_online = now.contains(&cpu);
            if !is_first {
                let went = if is_online { "came online" } else { "went offline" };
                self.live.note(format!("CPU {cpu} {went} during the recording"));
            }
            let about = About {
                cpu: Some(cpu),
                cgroup: "",
            };
            let counters = &mut self.counters;
            let counter = *self
                .online_counters
                .entry(cpu)
                .or_insert_with(|| counters.define("cpu.online", "state", about));
            self.counters.sample(counter, Some(u64::from(is_online)));
        }
        self.is_online = now;
    }
}
