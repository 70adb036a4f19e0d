//! Who had the CPU while threads waited for one.
//!
//! A ready thread waits in the queue of one CPU. Each nanosecond of its wait is put down to the thread that had this CPU then; two threads that wait
//! at once for the same CPU count twice, as they do in a ledger.

use std::collections::{BTreeMap, HashMap};

use plumb_trace::{
    State,
    timeline::{Query, TimelineError, TrackId, TrackKind},
};

use crate::{
    Window,
    roles::{self, Role},
    stretches::Stretches,
    sweep,
};

/// Waits are gathered up to this many before they are put down to somebody: 24 bytes each.
const BATCH: usize = 1 << 20;

/// What threads waited for CPUs, and who had them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuWaits {
    /// Time without a CPU, ns.
    pub ready_ns: u64,
    /// How many waits.
    pub waits: u64,
    /// The longest, as far as it counts, ns.
    pub longest_ns: u64,
    /// Who had the CPUs, the longest first. Of what is missing to `ready_ns` it is not known.
    pub holders: Vec<(Role, u64)>,
    /// While they were idle, ns: waking up takes time.
    pub idle_ns: u64,
    /// Of virtual threads without a carrier, ns: it is not known which CPU theirs would have had.
    pub no_carrier_ns: u64,
}

/// Says who had the CPUs that threads waited for.
///
/// # Errors
/// If the timeline is damaged where it was read.
pub fn who_had_the_cpu(query: &dyn Query, stretches: &Stretches<'_>) -> Result<CpuWaits, TimelineError> {
    let mut waits = CpuWaits::default();
    let mut batch = Batch {
        query,
        waits: Vec::new(),
        held: HashMap::new(),
        idle_ns: 0,
    };
    for thread in stretches.threads {
        let host = host_of(query, *thread);
        let track = query.tracks().get(thread.0 as usize);
        let is_virtual = track.is_some_and(|track| track.kind == TrackKind::VirtualThread);
        sweep::each_state(query, *thread, stretches.window, |interval| {
            if interval.state != State::Ready {
                return Ok(());
            }
            let before_ns = waits.ready_ns;
            for part in stretches.parts(*thread, interval.start_ns, interval.end_ns) {
                waits.ready_ns = waits.ready_ns.saturating_add(part.length_ns());
                interval.cpu.map_or(Ok(()), |cpu| batch.add(((host, cpu), part)))?;
            }
            let waited_ns = waits.ready_ns.saturating_sub(before_ns);
            if is_virtual && interval.cpu.is_none() {
                waits.no_carrier_ns = waits.no_carrier_ns.saturating_add(waited_ns);
            }
            waits.waits += u64::from(waited_ns > 0);
            waits.longest_ns = waits.longest_ns.max(waited_ns);
            Ok(())
        })?;
    }
    batch.settle()?;
    waits.holders = by_role(query, &batch.held);
    waits.idle_ns = batch.idle_ns;
    Ok(waits)
}

fn host_of(query: &dyn Query, thread: TrackId) -> u32 {
    let track = query.tracks().get(thread.0 as usize);
    track
        .and_then(|track| roles::process(query, track))
        .map_or(0, |process| process.host)
}

/// Sums by role of sums by thread, the largest first.
pub(crate) fn by_role(query: &dyn Query, by_thread: &HashMap<TrackId, u64>) -> Vec<(Role, u64)> {
    let mut sums: BTreeMap<Role, u64> = BTreeMap::new();
    for (track, ns) in by_thread {
        let sum = sums.entry(roles::role(query, *track)).or_default();
        *sum = sum.saturating_add(*ns);
    }
    let mut sorted: Vec<_> = sums.into_iter().collect();
    sorted.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    sorted
}

/// A CPU of a host.
type Cpu = (u32, u16);

struct Batch<'q> {
    query: &'q dyn Query,
    waits: Vec<(Cpu, Window)>,
    held: HashMap<TrackId, u64>,
    idle_ns: u64,
}

impl Batch<'_> {
    fn add(&mut self, wait: (Cpu, Window)) -> Result<(), TimelineError> {
        self.waits.push(wait);
        if self.waits.len() >= BATCH {
            self.settle()
        } else {
            Ok(())
        }
    }

    /// Puts the gathered waits down to those who had the CPUs.
    fn settle(&mut self) -> Result<(), TimelineError> {
        let mut waits = std::mem::take(&mut self.waits);
        waits.sort_unstable_by_key(|(cpu, _)| *cpu);
        for waits in waits.chunk_by(|(a, _), (b, _)| a == b) {
            self.settle_cpu(waits)?;
        }
        Ok(())
    }

    fn settle_cpu(&mut self, waits: &[(Cpu, Window)]) -> Result<(), TimelineError> {
        let Some(((host, cpu), _)) = waits.first() else {
            return Ok(());
        };
        let Some(cpu_track) = self.query.cpu_track(*host, *cpu) else {
            return Ok(());
        };
        let mut queue = Queue::new(waits.iter().map(|(_, wait)| *wait));
        let Some(span) = queue.span() else { return Ok(()) };
        let (held, idle_ns) = (&mut self.held, &mut self.idle_ns);
        sweep::each_occupancy(self.query, cpu_track, span, |occupancy| {
            queue.pass(occupancy.start_ns);
            let waited_ns = queue.pass(occupancy.end_ns);
            if waited_ns > 0 {
                let holder_ns = match occupancy.track {
                    Some(track) => held.entry(track).or_default(),
                    None => &mut *idle_ns,
                };
                *holder_ns = holder_ns.saturating_add(waited_ns);
            }
            Ok(())
        })
    }
}

/// How many wait for a CPU, as time passes.
struct Queue {
    /// Begins (+1) and ends (-1) of waits, in order of time.
    steps: Vec<(u64, i64)>,
    next: usize,
    now_ns: u64,
    waiting: i64,
}

impl Queue {
    fn new(waits: impl Iterator<Item = Window>) -> Self {
        let mut steps: Vec<_> = waits.flat_map(|wait| [(wait.from_ns, 1), (wait.to_ns, -1)]).collect();
        steps.sort_unstable();
        Self {
            steps,
            next: 0,
            now_ns: 0,
            waiting: 0,
        }
    }

    fn span(&self) -> Option<Window> {
        let (first, last) = (self.steps.first()?, self.steps.last()?);
        Some(Window {
            from_ns: first.0,
            to_ns: last.0,
        })
    }

    /// Lets time pass; gives what was waited meanwhile, summed over those who waited, ns.
    fn pass(&mut self, until_ns: u64) -> u64 {
        let mut waited_ns = 0;
        while self.now_ns < until_ns {
            let step = self.steps.get(self.next).filter(|(at, _)| *at <= until_ns);
            let at = step.map_or(until_ns, |(at, _)| *at);
            let passed_ns = at.saturating_sub(self.now_ns);
            waited_ns = passed_ns
                .saturating_mul(self.waiting.unsigned_abs())
                .saturating_add(waited_ns);
            self.now_ns = self.now_ns.max(at);
            match step {
                Some((_, change)) => {
                    self.waiting += change;
                    self.next += 1;
                }
                None => break,
            }
        }
        waited_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stretches::UnitStretches;
    use crate::testing::Fake;

    #[test]
    fn every_wait_is_put_down_to_who_had_that_cpu() {
        let mut fake = Fake::new(0, 10_000);
        fake.cpu(0);
        fake.cpu(1);
        let (hog, other) = (fake.thread("hog", "hog"), fake.thread("java", "other"));
        fake.running(hog, 0, 6_000, 0);
        fake.running(other, 6_000, 8_000, 0);
        fake.running(other, 8_000, 10_000, 1);
        let (a, b) = (fake.thread("java", "a"), fake.thread("java", "b"));
        fake.group(other, "batch");
        fake.ready(a, 1_000, 7_000, 0);
        fake.ready(b, 5_000, 9_000, 0);
        fake.idle(8_000, 8_600, 0);

        let (threads, window) = (
            [a, b],
            Window {
                from_ns: 2_000,
                to_ns: 10_000,
            },
        );
        let got = who_had_the_cpu(&fake, &Stretches::all(&threads, window)).unwrap();
        // a: hog 2 to 6, other 6 to 7; b: hog 5 to 6, other 6 to 8, nobody 8 to 8.6, after that it is not known.
        let batch = Role {
            group: Some("batch".into()),
            process: "java".into(),
        };
        assert_eq!(got.holders, [(Role::named("hog"), 5_000), (batch, 3_000)]);
        assert_eq!((got.ready_ns, got.waits, got.longest_ns), (9_000, 2, 5_000));
        assert_eq!(got.idle_ns, 600);

        let mut units = UnitStretches::default();
        for (from_ns, to_ns) in [(2_500, 3_000), (6_500, 8_000)] {
            units.add(a, Window { from_ns, to_ns });
        }
        let got = who_had_the_cpu(&fake, &Stretches::within(Some(&units), &threads, window)).unwrap();
        assert_eq!(
            (got.ready_ns, got.waits, got.longest_ns),
            (1_000, 1, 1_000),
            "one wait in two units"
        );
    }
}
