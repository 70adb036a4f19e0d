//! The tree of rows: headings for sources, processes and groups; rows for CPUs, counters and threads.
//!
//! It is built once from a timeline's tables and one ledger sum a thread. What is open and what is on the screen is not its business.

mod counters;

use super::describe;
use super::source::Source;
use super::time;
use super::units::UnitSample;
use crate::palette::{SHADE_KERNEL, SHADE_OTHER};
use plumb_trace::State;
use plumb_trace::timeline::{Process, ProcessId, TrackId, TrackKind};
use std::collections::{BTreeMap, HashSet};

/// What a row stands for, the same as long as the timeline lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A timeline: its place among the sources.
    Source(usize),
    /// The CPUs of a host.
    Cpus(usize, u32),
    /// The counters of a host; `Some`: a part of them, told by its first one.
    Counters(usize, u32, Option<TrackId>),
    /// A process.
    Process(usize, ProcessId),
    /// A group of a process; `None`: its threads without a group.
    Group(usize, ProcessId, Option<u32>),
    /// All kernel threads.
    Kernel(usize),
    /// Processes that hardly ran.
    Quiet(usize),
    /// A thread, CPU or counter.
    Track(usize, TrackId),
}

impl Key {
    /// The source that it belongs to.
    pub fn source(self) -> usize {
        match self {
            Key::Source(source) | Key::Kernel(source) | Key::Quiet(source) => source,
            Key::Cpus(source, _)
            | Key::Counters(source, ..)
            | Key::Process(source, _)
            | Key::Group(source, _, _)
            | Key::Track(source, _) => source,
        }
    }
}

/// What is drawn in a row, right of its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Nothing.
    Empty,
    /// The pauses of a JVM.
    Pauses(TrackId),
    /// Who had a CPU.
    Cpu(TrackId),
    /// A counter's chart.
    Counter(TrackId),
    /// A thread's states and calls, and the JVM whose pauses held it.
    Thread(TrackId, Option<TrackId>),
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it stands for.
    pub key: Key,
    /// Its name.
    pub label: String,
    /// What is said beside the name.
    pub note: String,
    /// Headings above it.
    pub depth: usize,
    /// What is drawn.
    pub lane: Lane,
    /// Where the next node stands that is not under this one.
    pub end: usize,
    /// Open at first.
    pub open: bool,
    /// A thread in a group whose threads do units of work, or that group.
    pub serves: bool,
    /// What a search looks at, in lower case.
    pub words: String,
    /// Colour of its process, where it has one of its own.
    pub shade: Option<usize>,
}

/// All rows, a heading before what it heads.
#[derive(Debug, Default)]
pub struct Tree {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Rank of each source's processes: which shade of colour they have.
    pub shades: Vec<Vec<usize>>,
    /// What is known of each source's units.
    pub units: Vec<UnitSample>,
}

/// What a process did.
struct Weighed<'a> {
    id: ProcessId,
    process: &'a Process,
    cpu_ns: u64,
    threads: Vec<(TrackId, u64)>,
    jvm: Option<TrackId>,
}

impl Tree {
    /// The tree of timelines.
    pub fn build(sources: &[Source]) -> Tree {
        let mut tree = Tree::default();
        for number in 0..sources.len() {
            Builder::new(&mut tree, &sources[number], number).build(sources.len() > 1);
        }
        tree
    }

    /// A node's number.
    pub fn find(&self, key: Key) -> Option<usize> {
        self.nodes.iter().position(|node| node.key == key)
    }

    /// The nodes on show: those whose headings are all open, or, where `wanted` says which are, those and their headings.
    pub fn visible(&self, is_open: impl Fn(&Node) -> bool, wanted: Option<&HashSet<Key>>) -> Vec<usize> {
        let mut shown = Vec::new();
        let mut number = 0;
        while let Some(node) = self.nodes.get(number) {
            let heads = node.end > number + 1;
            let keep = wanted.is_none_or(|keys| {
                self.nodes[number..node.end]
                    .iter()
                    .any(|below| keys.contains(&below.key))
            });
            if keep {
                shown.push(number);
            }
            let enter = keep && heads && (wanted.is_some() || is_open(node));
            number = if enter || !heads { number + 1 } else { node.end };
        }
        shown
    }

    /// The headings above a node, the outermost first.
    pub fn headings(&self, number: usize) -> Vec<usize> {
        (0..number).filter(|&above| self.nodes[above].end > number).collect()
    }
}

struct Builder<'a> {
    tree: &'a mut Tree,
    source: &'a Source,
    number: usize,
    depth: usize,
    units: UnitSample,
    shades: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn new(tree: &'a mut Tree, source: &'a Source, number: usize) -> Builder<'a> {
        Builder {
            tree,
            source,
            number,
            depth: 0,
            units: UnitSample::of(source),
            shades: Vec::new(),
        }
    }

    fn build(mut self, titled: bool) {
        let processes = self.weigh();
        self.shades = rank(&processes, self.source.query.processes().len());
        let title = titled.then(|| {
            let label = self.source.label.clone();
            self.open(
                Key::Source(self.number),
                label,
                time::length(self.source.total_ns()),
                Lane::Empty,
                true,
            )
        });
        self.cpus();
        self.counters();
        let (kernel, others): (Vec<_>, Vec<_>) = processes.iter().partition(|weighed| weighed.process.kernel);
        let (quiet, busy): (Vec<&Weighed>, Vec<&Weighed>) = others.into_iter().partition(|each| self.is_quiet(each));
        for weighed in busy {
            self.process(weighed);
        }
        self.quiet(&quiet);
        self.kernel(&kernel);
        if let Some(title) = title {
            self.close(title);
        }
        self.tree.shades.push(self.shades);
        self.tree.units.push(self.units);
    }

    /// The processes: targets first, JVMs before others, then by CPU time.
    fn weigh(&self) -> Vec<Weighed<'a>> {
        let query = &self.source.query;
        let info = query.info();
        let mut weighed: Vec<Weighed> = query
            .processes()
            .iter()
            .enumerate()
            .map(|(id, process)| weighed(id, process))
            .collect();
        for (id, track) in query.tracks().iter().enumerate() {
            let id = TrackId(id as u32);
            let Some(owner) = weighed.get_mut(track.process.0 as usize) else {
                continue;
            };
            match track.kind {
                TrackKind::Jvm => owner.jvm = Some(id),
                TrackKind::Thread | TrackKind::VirtualThread => {
                    let totals = query
                        .totals(id, info.from_ns, info.to_ns)
                        .map(|totals| totals.states)
                        .unwrap_or_default();
                    let cpu_ns = totals.get(State::Running) + totals.get(State::Stolen);
                    owner.threads.push((id, cpu_ns));
                    // A virtual thread's time on a CPU is its carrier's already.
                    owner.cpu_ns += if track.kind == TrackKind::Thread { cpu_ns } else { 0 };
                }
                TrackKind::Cpu | TrackKind::Counter { .. } => {}
            }
        }
        weighed.retain(|weighed| !weighed.threads.is_empty() && weighed.process.pid != 0);
        weighed.sort_by_key(|weighed| {
            let class = (!weighed.process.target, !weighed.process.jvm);
            (class, std::cmp::Reverse(weighed.cpu_ns), weighed.process.pid)
        });
        weighed
    }

    fn cpus(&mut self) {
        let tracks = self.source.query.tracks();
        let processes = self.source.query.processes();
        let mut hosts: BTreeMap<u32, Vec<TrackId>> = BTreeMap::new();
        for (id, track) in tracks
            .iter()
            .enumerate()
            .filter(|(_, track)| track.kind == TrackKind::Cpu)
        {
            let host = processes
                .get(track.process.0 as usize)
                .map_or(0, |process| process.host);
            hosts.entry(host).or_default().push(TrackId(id as u32));
        }
        let several = hosts.len() > 1;
        for (host, mut cpus) in hosts {
            cpus.sort_by_key(|cpu| tracks[cpu.0 as usize].tid);
            let (label, note) = self.host_title("CPUs", host, several);
            let heading = self.open(Key::Cpus(self.number, host), label, note, Lane::Empty, cpus.len() <= 16);
            for cpu in cpus {
                let label = format!("CPU {}", tracks[cpu.0 as usize].tid.unwrap_or_default());
                self.leaf(Key::Track(self.number, cpu), label, String::new(), Lane::Cpu(cpu));
            }
            self.close(heading);
        }
    }

    /// Label and note of a heading above things of a host.
    fn host_title(&self, what: &str, host: u32, several: bool) -> (String, String) {
        let hosts = &self.source.query.info().hosts;
        let name = hosts.get(host as usize).map_or("", |host| &host.name);
        match several {
            true => (format!("{what} of {name}"), String::new()),
            false => (what.to_owned(), name.to_owned()),
        }
    }

    fn process(&mut self, weighed: &Weighed) {
        let shade = self.shades.get(weighed.id.0 as usize).copied();
        let title = self.source.process_title(weighed.id);
        let note = self.share(weighed.cpu_ns);
        let first = self.tree.nodes.len();
        if let ([(thread, _)], None) = (&weighed.threads[..], weighed.jvm) {
            let label = self.thread_label(*thread, weighed);
            let label = if label == weighed.process.name {
                title
            } else {
                format!("{label} ({title})")
            };
            self.leaf(
                Key::Track(self.number, *thread),
                label,
                note,
                Lane::Thread(*thread, None),
            );
        } else {
            let lane = weighed.jvm.map_or(Lane::Empty, Lane::Pauses);
            let count = weighed.threads.len();
            let open = weighed.process.target || self.is_small_hog(weighed);
            let heading = self.open(
                Key::Process(self.number, weighed.id),
                title,
                format!("{}   {note}", describe::count(count, "thread")),
                lane,
                open,
            );
            self.groups(weighed);
            self.close(heading);
        }
        self.tree.nodes[first].shade = shade;
        self.tree.nodes[first]
            .words
            .push_str(&weighed.process.cmdline.to_lowercase());
    }

    /// A process that nobody asked for and that hardly ran.
    fn is_quiet(&self, weighed: &Weighed) -> bool {
        !weighed.process.target && !weighed.process.plumb && weighed.cpu_ns < self.source.total_ns() / 1000
    }

    fn quiet(&mut self, processes: &[&Weighed]) {
        const FOLDED_MIN: usize = 4;
        let heading = (processes.len() >= FOLDED_MIN).then(|| {
            let share = self.share(processes.iter().map(|weighed| weighed.cpu_ns).sum());
            let note = format!("{} processes   {share}", processes.len());
            self.open(
                Key::Quiet(self.number),
                "quiet processes".to_owned(),
                note,
                Lane::Empty,
                false,
            )
        });
        for weighed in processes {
            self.process(weighed);
        }
        if let Some(heading) = heading {
            self.close(heading);
        }
    }

    /// A process of a few threads that used much CPU: worth seeing at once.
    fn is_small_hog(&self, weighed: &Weighed) -> bool {
        const THREADS_MAX: usize = 8;
        let cpu_ns_min = self.source.total_ns() / 10;
        weighed.threads.len() <= THREADS_MAX && weighed.cpu_ns >= cpu_ns_min
    }

    fn groups(&mut self, weighed: &Weighed) {
        let tracks = self.source.query.tracks();
        let mut groups: BTreeMap<(bool, u32), Vec<(TrackId, u64)>> = BTreeMap::new();
        for &(thread, cpu_ns) in &weighed.threads {
            let group = tracks[thread.0 as usize].group;
            let idle = group.is_none_or(|group| !self.units.groups.contains(&group));
            groups
                .entry((idle, group.unwrap_or(u32::MAX)))
                .or_default()
                .push((thread, cpu_ns));
        }
        let alone = groups.len() == 1 && groups.keys().all(|(_, group)| *group == u32::MAX);
        for ((idle, group), mut threads) in groups {
            let group = (group != u32::MAX).then_some(group);
            sort_threads(&mut threads, tracks, group.is_some());
            let heading = (!alone).then(|| self.group_heading(weighed, group, &threads));
            for (thread, cpu_ns) in threads {
                let label = self.thread_label(thread, weighed);
                let note = self.share(cpu_ns);
                self.leaf(
                    Key::Track(self.number, thread),
                    label,
                    note,
                    Lane::Thread(thread, weighed.jvm),
                );
                self.last().serves = !idle;
            }
            if let Some(heading) = heading {
                self.close(heading);
                self.tree.nodes[heading].serves = !idle;
            }
        }
    }

    fn group_heading(&mut self, weighed: &Weighed, group: Option<u32>, threads: &[(TrackId, u64)]) -> usize {
        let names = &self.source.query.info().groups;
        let label = match group {
            Some(group) => names
                .get(group as usize)
                .cloned()
                .unwrap_or_else(|| format!("group {group}")),
            None => "other threads".to_owned(),
        };
        let note = format!(
            "{}   {}",
            describe::count(threads.len(), "thread"),
            self.share(threads.iter().map(|(_, cpu_ns)| cpu_ns).sum())
        );
        let open = group.is_some() || threads.len() <= 12;
        self.open(
            Key::Group(self.number, weighed.id, group),
            label,
            note,
            Lane::Empty,
            open,
        )
    }

    fn kernel(&mut self, processes: &[&Weighed]) {
        let mut threads: Vec<_> = processes
            .iter()
            .flat_map(|each| each.threads.iter().map(|thread| (*thread, *each)))
            .collect();
        if threads.is_empty() {
            return;
        }
        threads.sort_by_key(|((_, cpu_ns), _)| std::cmp::Reverse(*cpu_ns));
        let share = self.share(threads.iter().map(|((_, cpu_ns), _)| cpu_ns).sum());
        let note = format!("{}   {share}", describe::count(threads.len(), "thread"));
        let heading = self.open(
            Key::Kernel(self.number),
            "kernel threads".to_owned(),
            note,
            Lane::Empty,
            false,
        );
        for ((thread, cpu_ns), weighed) in threads {
            let label = self.thread_label(thread, weighed);
            let note = self.share(cpu_ns);
            self.leaf(Key::Track(self.number, thread), label, note, Lane::Thread(thread, None));
        }
        self.close(heading);
    }

    fn thread_label(&self, thread: TrackId, weighed: &Weighed) -> String {
        let Some(track) = self.source.track(thread) else {
            return String::new();
        };
        match (track.name.is_empty(), track.vthread, track.tid) {
            (false, ..) => track.name.clone(),
            (true, Some(number), _) => format!("virtual thread {number}"),
            (true, None, Some(tid)) => format!("thread {tid}"),
            (true, None, None) => weighed.process.name.clone(),
        }
    }

    /// CPU time as a share of one CPU over the timeline.
    fn share(&self, cpu_ns: u64) -> String {
        time::percent(cpu_ns as f64 / self.source.total_ns().max(1) as f64)
    }

    fn last(&mut self) -> &mut Node {
        let last = self.tree.nodes.len() - 1;
        &mut self.tree.nodes[last]
    }

    fn leaf(&mut self, key: Key, label: String, note: String, lane: Lane) {
        let number = self.open(key, label, note, lane, false);
        self.close(number);
    }

    fn open(&mut self, key: Key, label: String, note: String, lane: Lane, open: bool) -> usize {
        let words = self.words(&label, lane);
        let (depth, end) = (self.depth, 0);
        self.tree.nodes.push(Node {
            key,
            label,
            note,
            depth,
            lane,
            end,
            open,
            serves: false,
            words,
            shade: None,
        });
        self.depth += 1;
        self.tree.nodes.len() - 1
    }

    fn close(&mut self, number: usize) {
        self.depth -= 1;
        self.tree.nodes[number].end = self.tree.nodes.len();
    }

    fn words(&self, label: &str, lane: Lane) -> String {
        let mut words = label.to_lowercase();
        if let Lane::Thread(thread, _) = lane
            && let Some(track) = self.source.track(thread)
        {
            for (_, former) in &track.former_names {
                words.push('\n');
                words.push_str(&former.to_lowercase());
            }
            if let Some(tid) = track.tid {
                words.push_str(&format!("\n{tid}\n"));
            }
        }
        words
    }
}

fn weighed(id: usize, process: &Process) -> Weighed<'_> {
    Weighed {
        id: ProcessId(id as u32),
        process,
        cpu_ns: 0,
        threads: Vec::new(),
        jvm: None,
    }
}

/// Threads of a group by their names as people count (2 before 10); others by what they ran.
fn sort_threads(threads: &mut [(TrackId, u64)], tracks: &[plumb_trace::timeline::Track], named: bool) {
    if named {
        threads.sort_by_cached_key(|(thread, _)| natural(&tracks[thread.0 as usize].name));
    } else {
        threads.sort_by_key(|(thread, cpu_ns)| (std::cmp::Reverse(*cpu_ns), thread.0));
    }
}

/// A sort key in which numbers count as numbers.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0_u64)];
    let mut after_digit = false;
    for letter in name.chars() {
        if !letter.is_ascii_digit() && after_digit {
            parts.push((String::new(), 0));
        }
        after_digit = letter.is_ascii_digit();
        if let Some((text, number)) = parts.last_mut() {
            match letter.to_digit(10) {
                Some(digit) => *number = number.saturating_mul(10).saturating_add(u64::from(digit)),
                None => text.push(letter),
            }
        }
    }
    parts
}

/// The shade of each process: targets and the busiest have their own.
fn rank(processes: &[Weighed], count: usize) -> Vec<usize> {
    let mut shades = vec![SHADE_OTHER; count];
    for weighed in processes.iter().filter(|weighed| weighed.process.kernel) {
        shades[weighed.id.0 as usize] = SHADE_KERNEL;
    }
    let mut claims: Vec<&Weighed> = processes.iter().filter(|weighed| !weighed.process.kernel).collect();
    claims.sort_by_key(|weighed| (!weighed.process.target, std::cmp::Reverse(weighed.cpu_ns)));
    for (shade, weighed) in claims.into_iter().take(SHADE_OTHER).enumerate() {
        shades[weighed.id.0 as usize] = shade;
    }
    shades
}
