//! The ledger: where threads' time went, by state.
//!
//! A row's states sum to its life in the window: to the thread's, or, of a row that stands for several, to the sum of theirs.

mod carried;
mod csv;
pub(crate) mod json;
pub(crate) mod text;

use std::collections::BTreeMap;

use plumb_trace::{
    StateTotals,
    timeline::{Loss, Query, StringId, TimelineError, Totals, Track, TrackKind, Unit},
};

use crate::{
    Window,
    counts::{Counters, Counts},
    roles, sweep,
};
use carried::Carried;

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One thread.
    Thread,
    /// The threads of one group; those without a group by what they are: [`NO_GROUP`] or plumb's own. CPU time in which a thread carries a virtual one counts in that
    /// one's group alone: each ns of a CPU is in one row. Time off the CPU is both threads': a carrier that is kept waits as long as whom it carries.
    Group,
    /// The kernel's threads of one process; virtual threads are left out, for their time is their carriers' already.
    Process,
    /// All units of work of one name and key: what their threads did from each one's start to its end, or in its parts.
    Unit,
}

impl By {
    /// Name, as on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            By::Thread => "thread",
            By::Group => "group",
            By::Process => "process",
            By::Unit => "unit",
        }
    }
}

/// Key of the threads that no rule puts into a group.
pub const NO_GROUP: &str = "(no group)";
/// Key of plumb's own threads.
const PLUMB: &str = "plumb";

/// A ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// The stretch that it is of.
    pub window: Window,
    /// What a row stands for.
    pub by: By,
    /// Threads by host, process and tid; other rows by key.
    pub rows: Vec<Row>,
    /// What is missing in the window.
    pub losses: Vec<Loss>,
    /// How far the JVM's times may be off the kernel's, ns.
    pub clock_uncertainty_ns: u64,
}

/// A row of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub key: RowKey,
    /// What was done within the window.
    pub totals: Totals,
    /// What was counted, where the rules ask for counters; of units nothing.
    pub counts: Counts,
}

/// Whose a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKey {
    /// A thread's.
    Thread(ThreadKey),
    /// Of several together.
    Sum {
        /// Group or process (`java[4711]`).
        key: String,
        /// How many threads.
        count: u64,
    },
    /// All units of one name and key.
    Unit(UnitKey),
}

/// Units of one name and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitKey {
    /// Name.
    pub unit: String,
    /// What they are about, where the rules say how to know.
    pub key: Option<String>,
    /// How many of them overlap the window.
    pub count: u64,
    /// How long their parts waited for a thread after they were handed over, ns, within the window; parts may have waited at the same time.
    pub queue_ns: u64,
}

impl UnitKey {
    /// Name and key, with a blank between.
    pub fn text(&self) -> String {
        match &self.key {
            Some(key) => format!("{} {key}", self.unit),
            None => self.unit.clone(),
        }
    }
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadKey {
    /// Host.
    pub host: String,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Thread id in the initial namespace; `None` for a virtual thread.
    pub tid: Option<u32>,
    /// Process id in its own namespace.
    pub ns_pid: u32,
    /// Number of a virtual thread.
    pub vthread: Option<u64>,
    /// Process name.
    pub process: String,
    /// Last name.
    pub name: String,
    /// Group.
    pub group: Option<String>,
    /// Begin of its life within the window.
    pub start_ns: u64,
    /// End of its life within the window.
    pub end_ns: u64,
    /// Path of its process's cgroup, or empty.
    pub cgroup: String,
    /// The kernel's number of its priority at the end; `None`: 120, the ordinary one, all the time, or not recorded.
    pub priority: Option<i64>,
    /// On how many CPUs it may run; `None`: on all, or not recorded.
    pub cpus_allowed: Option<i64>,
}

/// Makes a ledger; with `group`, of the threads (or units of the threads) of this group only.
///
/// # Errors
/// If the timeline is damaged where it was read.
pub fn ledger(query: &dyn Query, by: By, window: Window, group: Option<&str>) -> Result<Ledger, TimelineError> {
    let is_wanted = |track: &Track| group.is_none_or(|wanted| roles::group(query, track) == Some(wanted));
    let rows = match by {
        By::Thread => thread_rows(query, window, is_wanted)?,
        By::Group => sum_rows(query, by, window, |track| {
            is_wanted(track).then(|| group_key(query, track))
        })?,
        By::Process => sum_rows(query, by, window, |track| {
            (is_wanted(track) && track.kind == TrackKind::Thread).then(|| process_key(query, track))
        })?,
        By::Unit => unit_rows(query, window, is_wanted)?,
    };
    let losses = losses_within(query, window);
    Ok(Ledger {
        window,
        by,
        rows,
        losses,
        clock_uncertainty_ns: query.info().clock_uncertainty_ns,
    })
}

/// What is missing in a window.
pub(crate) fn losses_within(query: &dyn Query, window: Window) -> Vec<Loss> {
    // One without a length, at the very end, is what a killed recorder did not come to write.
    let is_at_end = |loss: &Loss| loss.from_ns == window.to_ns && loss.to_ns == window.to_ns;
    let overlaps = |loss: &&Loss| is_at_end(loss) || (loss.from_ns < window.to_ns && loss.to_ns >= window.from_ns);
    query.losses().iter().filter(overlaps).cloned().collect()
}

fn thread_rows(
    query: &dyn Query,
    window: Window,
    is_wanted: impl Fn(&Track) -> bool,
) -> Result<Vec<Row>, TimelineError> {
    let mut rows = Vec::new();
    let counters = Counters::of(query);
    for (id, track) in roles::threads(query).filter(|(_, track)| is_wanted(track)) {
        if let Some(life) = window.clip(track.start_ns, track.end_ns) {
            let totals = query.totals(id, life.from_ns, life.to_ns)?;
            let key = ThreadKey {
                priority: counters.last(track, "priority", life.to_ns)?,
                cpus_allowed: counters.last(track, "cpus_allowed", life.to_ns)?,
                ..thread_key(query, track, life)
            };
            rows.push((key, totals, counters.within(track, life)?));
        }
    }
    rows.sort_by(|(a, ..), (b, ..)| a.order().cmp(&b.order()));
    Ok(rows
        .into_iter()
        .map(|(key, totals, counts)| Row {
            key: RowKey::Thread(key),
            totals,
            counts,
        })
        .collect())
}

impl ThreadKey {
    fn order(&self) -> impl Ord + '_ {
        (&self.host, self.pid, self.tid, self.vthread, self.start_ns)
    }
}

fn thread_key(query: &dyn Query, track: &Track, life: Window) -> ThreadKey {
    let process = roles::process(query, track).cloned().unwrap_or_default();
    let host = query
        .info()
        .hosts
        .get(process.host as usize)
        .map_or("", |host| host.name.as_str());
    ThreadKey {
        host: host.to_owned(),
        pid: process.pid,
        tid: track.tid,
        ns_pid: process.ns_pid,
        vthread: track.vthread,
        process: process.name,
        cgroup: process.cgroup,
        priority: None,
        cpus_allowed: None,
        name: track.name.clone(),
        group: roles::group(query, track).map(str::to_owned),
        start_ns: life.from_ns,
        end_ns: life.to_ns,
    }
}

fn group_key(query: &dyn Query, track: &Track) -> String {
    let is_plumb = roles::process(query, track).is_some_and(|process| process.plumb);
    roles::group(query, track)
        .unwrap_or(if is_plumb { PLUMB } else { NO_GROUP })
        .to_owned()
}

fn process_key(query: &dyn Query, track: &Track) -> String {
    let Some(process) = roles::process(query, track) else {
        return roles::UNKNOWN.to_owned();
    };
    let host = query
        .info()
        .hosts
        .get(process.host as usize)
        .filter(|_| query.info().hosts.len() > 1);
    let host = host.map_or(String::new(), |host| format!("{}/", host.name));
    format!("{host}{}[{}]", process.name, process.pid)
}

fn sum_rows(
    query: &dyn Query,
    by: By,
    window: Window,
    key_of: impl Fn(&Track) -> Option<String>,
) -> Result<Vec<Row>, TimelineError> {
    let mut sums = Sums::default();
    let counters = Counters::of(query);
    let mut carried = Carried::new();
    for (id, track) in roles::threads(query) {
        let Some(life) = window.clip(track.start_ns, track.end_ns) else {
            continue;
        };
        if let Some(key) = key_of(track) {
            let totals = query.totals(id, life.from_ns, life.to_ns)?;
            sums.add(key, &totals, &counters.within(track, life)?);
        }
        // Also of those that are not asked for: their carriers may be.
        if by == By::Group && track.kind == TrackKind::VirtualThread {
            carried::add(query, id, life, &mut carried)?;
        }
    }
    for (carrier, on_cpu) in carried {
        let key = query.tracks().get(carrier.0 as usize).and_then(&key_of);
        if let Some(Sum { totals: sum, .. }) = key.and_then(|key| sums.0.get_mut(&key)) {
            carried::take_off(&mut sum.states, on_cpu);
        }
    }
    Ok(sums.rows())
}

fn unit_rows(query: &dyn Query, window: Window, is_wanted: impl Fn(&Track) -> bool) -> Result<Vec<Row>, TimelineError> {
    let mut rows: BTreeMap<(StringId, StringId), (UnitSum, u64)> = BTreeMap::new();
    let mut sums: BTreeMap<(StringId, StringId), UnitSum> = BTreeMap::new();
    let count = |unit: &Unit| {
        let is_wanted = query.tracks().get(unit.track.0 as usize).is_some_and(&is_wanted);
        if is_wanted {
            rows.entry((unit.name, unit.key)).or_default().1 += 1;
        }
        is_wanted
    };
    sweep::each_unit_totals(query, window, window, count, |work, totals| {
        let sum = sums.entry((work.name, work.key)).or_default();
        add_totals(&mut sum.totals, totals);
        let waited = window.clip(work.handed_ns, work.start_ns);
        sum.queue_ns = sum.queue_ns.saturating_add(waited.map_or(0, Window::length_ns));
    })?;
    for (key, sum) in sums {
        rows.entry(key).or_default().0 = sum;
    }
    let row = |((name, key), (sum, count)): ((StringId, StringId), (UnitSum, u64))| Row {
        key: RowKey::Unit(UnitKey {
            unit: query.string(name).to_owned(),
            key: Some(query.string(key).to_owned()).filter(|key| !key.is_empty()),
            count,
            queue_ns: sum.queue_ns,
        }),
        totals: sum.totals,
        counts: Counts::default(),
    };
    let mut rows: Vec<Row> = rows.into_iter().map(row).collect();
    rows.sort_by_key(|row| match &row.key {
        RowKey::Unit(key) => (key.unit.clone(), key.key.clone()),
        _ => (String::new(), None),
    });
    Ok(rows)
}

/// What units of one name and key did.
#[derive(Default)]
struct UnitSum {
    totals: Totals,
    queue_ns: u64,
}

/// Rows that stand for several.
#[derive(Default)]
struct Sums(BTreeMap<String, Sum>);

#[derive(Default)]
struct Sum {
    count: u64,
    totals: Totals,
    counts: Counts,
}

impl Sums {
    fn add(&mut self, key: String, totals: &Totals, counts: &Counts) {
        let sum = self.0.entry(key).or_default();
        sum.count += 1;
        add_totals(&mut sum.totals, totals);
        sum.counts.add(counts);
    }

    fn rows(self) -> Vec<Row> {
        let row = |(key, sum): (String, Sum)| Row {
            key: RowKey::Sum { key, count: sum.count },
            totals: sum.totals,
            counts: sum.counts,
        };
        self.0.into_iter().map(row).collect()
    }
}

fn add_totals(sum: &mut Totals, part: &Totals) {
    let Totals {
        states,
        voluntary,
        involuntary,
        migrations,
        prorated,
    } = part;
    sum.states.merge(states);
    sum.voluntary = sum.voluntary.saturating_add(*voluntary);
    sum.involuntary = sum.involuntary.saturating_add(*involuntary);
    sum.migrations = sum.migrations.saturating_add(*migrations);
    sum.prorated |= prorated;
}

impl Ledger {
    /// The sum of all rows.
    pub fn sum(&self) -> StateTotals {
        let mut sum = StateTotals::default();
        self.rows.iter().for_each(|row| sum.merge(&row.totals.states));
        sum
    }
}

#[cfg(test)]
mod tests;
