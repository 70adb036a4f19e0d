//! Counters without BPF: what perf counts is told of each slice, by perf events as by the programs.

mod common;

use common::switches::{holes, of_kind};
use common::threads::{gettid, on_each_cpu};
use common::{definitions, kernel_options, kernel_records, place, works};
use plumb_collector::clock::monotonic_ns;
use plumb_collector::{Counter, Extras, Interface, KernelOptions, Options, Recorder, Scope};
use plumb_trace::definition::Definition;
use plumb_trace::record::{KernelKind, KernelRecord, UNCOUNTED};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const PAGES: usize = 100;
const ROUNDS: usize = 20;
/// Recordings at the most, until in one of them nobody has ended.
const TRIES: usize = 10;
/// More than one record has room for.
const NAMES: [&str; 4] = ["task-clock", "cpu-migrations", "major-faults", "page-faults"];

fn record(dir: &Path, interface: Interface, scope: Scope, body: impl FnOnce()) -> Vec<String> {
    let options = kernel_options(dir, scope, None);
    let counters = NAMES.iter().filter_map(|name| Counter::named(name)).collect();
    let kernel = KernelOptions {
        interface,
        extras: Extras {
            counters,
            ..Extras::default()
        },
        ..options.kernel.clone().unwrap_or_default()
    };
    let recorder = Recorder::start(Options {
        kernel: Some(kernel),
        ..options
    });
    let recorder = recorder.unwrap_or_else(|error| panic!("{error}"));
    body();
    recorder.stop().expect("a recording").notes
}

/// Touches memory that it never had before, and sleeps, so that the faults are those of a slice.
fn touch() {
    for _ in 0..ROUNDS {
        let page = 4096;
        let mut pages = memmap2::MmapMut::map_anon(PAGES * page).expect("memory");
        (0..PAGES).for_each(|number| pages[number * page] = 1);
        thread::sleep(Duration::from_millis(1));
    }
}

/// Page faults of the calling thread since its birth, by the kernel's own count.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("stat");
    let fields = stat
        .rsplit(')')
        .next()
        .map(|rest| rest.split_ascii_whitespace().collect::<Vec<_>>());
    let number = |at: usize| fields.as_ref().and_then(|fields| fields.get(at)?.parse::<u64>().ok());
    number(7).expect("minor faults") + number(9).expect("major faults")
}

/// What a counter of a thread grew by in all slices, and in how many that is not known.
fn grown(records: &[KernelRecord], tid: u32, counter: u16) -> (u64, usize) {
    let (mut sum, mut unknown) = (0, 0);
    for record in of_kind(records, KernelKind::Counted).filter(|record| record.tid == tid) {
        let (first, grown) = record.grown();
        if let Some(&(by, uncounted)) = counter.checked_sub(first).and_then(|at| grown.get(usize::from(at))) {
            sum += by;
            unknown += usize::from(uncounted == UNCOUNTED);
        }
    }
    (sum, unknown)
}

/// Slices of a thread that began when their CPU's idle task left, on CPUs where all such slices, of everybody, are not counted: there the kernel tells nothing of the idle task (see `perf_levels`).
fn after_untold_idle(records: &[KernelRecord], tid: u32) -> usize {
    let mut all: HashMap<u16, (bool, usize)> = HashMap::new();
    let mut here: HashMap<u16, (u32, bool)> = HashMap::new();
    for record in records {
        let is_unknown = record.kind == KernelKind::Counted as u8 && record.grown().1[0].1 == UNCOUNTED;
        if let Some(slice) = here.get_mut(&record.cpu).filter(|_| is_unknown) {
            slice.1 = true;
        }
        if record.kind != KernelKind::Switch as u8 {
            continue;
        }
        if let Some((comer, is_unknown)) = here.remove(&record.cpu) {
            let (is_told, of_it) = all.entry(record.cpu).or_default();
            *is_told |= !is_unknown;
            *of_it += usize::from(comer == tid);
        }
        if record.tid == 0 {
            here.insert(record.cpu, (record.other_tid, false));
        }
    }
    all.values()
        .filter(|(is_told, _)| !is_told)
        .map(|(_, of_it)| of_it)
        .sum()
}

/// A recording of this thread touching memory.
struct Touched {
    _base: TempDir,
    dir: PathBuf,
    notes: Vec<String>,
    records: Vec<KernelRecord>,
    begun_ns: u64,
    rounds: usize,
    /// Page faults by the kernel's own count.
    happened: u64,
}

impl Touched {
    /// Whether no thread has ended since it began: perf events do not tell what was counted when somebody leaves who has ended, nor, in a storm of such ends, when some of those leave who come next.
    fn is_quiet(&self) -> bool {
        of_kind(&self.records, KernelKind::Exit).all(|record| record.time_ns < self.begun_ns)
    }
}

/// Again, where threads ended meanwhile.
fn touched() -> Touched {
    let mut touched = touch_once();
    for _ in 1..TRIES {
        if touched.is_quiet() {
            break;
        }
        touched = touch_once();
    }
    touched
}

fn touch_once() -> Touched {
    let (base, dir) = place();
    let before = faults();
    let (mut begun_ns, mut rounds) = (0, 0);
    let notes = record(&dir, Interface::PerfSwitches, Scope::System, || {
        begun_ns = monotonic_ns();
        rounds = ROUNDS * on_each_cpu(touch);
    });
    Touched {
        happened: faults() - before,
        records: kernel_records(&dir),
        _base: base,
        dir,
        notes,
        begun_ns,
        rounds,
    }
}

#[test]
fn what_a_slice_counted_is_told_without_bpf() {
    if !works("perf-events", "what_a_slice_counted_is_told_without_bpf") {
        return;
    }
    let Touched {
        _base,
        dir,
        notes,
        records,
        begun_ns,
        rounds,
        happened,
    } = touched();
    assert!(!notes.iter().any(|note| note.contains("counter")), "{notes:?}");
    let names = definitions(&dir)
        .into_iter()
        .filter_map(|dated| match dated.definition {
            Definition::SliceCounter { number, name, .. } => Some((number as usize, name)),
            _ => None,
        });
    assert!(names.eq(NAMES.map(str::to_owned).into_iter().enumerate()));

    let me = gettid();
    let (faulted, _) = grown(&records, me, 3);
    // Before, while events are opened one after the other, switches are told whose counters cannot be known.
    let since_begun: Vec<KernelRecord> = (records.iter().copied())
        .filter(|record| record.time_ns >= begun_ns)
        .collect();
    let (_, unknown) = grown(&since_begun, me, 3);
    assert!(faulted <= happened, "{faulted} of {happened}");
    // A CPU's first slice is not seen from its beginning, nor is one that begins where the kernel hides what happens.
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let untold = after_untold_idle(&since_begun, me);
    assert!(
        unknown <= cpus + holes(&records).len() + untold,
        "{unknown} slices are not counted, {untold} of them after an idle task that is not told of"
    );
    let known = rounds.saturating_sub(unknown);
    assert!(
        known > 0 && faulted >= (known * PAGES) as u64,
        "{faulted} faults, {unknown} slices not counted"
    );
    let (ran_ns, _) = grown(&records, me, 0);
    let charged = of_kind(&records, KernelKind::Switch).filter(|record| record.tid == me);
    let charged: Vec<u64> = charged.map(|record| record.charged_ns).collect();
    let charged_ns = charged.last().expect("switches") - charged[0];
    assert!(
        ran_ns > 0 && ran_ns <= 2 * charged_ns,
        "{ran_ns} ns counted of {charged_ns}"
    );
    assert!(
        of_kind(&records, KernelKind::Counted).all(|record| record.tid != 0),
        "who idles has no books"
    );
}

#[test]
fn of_whom_is_not_in_scope_nothing_is_counted_and_where_it_cannot_be_that_is_told() {
    if !works("perf-events", "of_whom_is_not_in_scope_nothing_is_counted") {
        return;
    }
    let (_base, dir) = place();
    record(&dir, Interface::PerfSwitches, Scope::Tree, touch);
    assert_eq!(of_kind(&kernel_records(&dir), KernelKind::Counted).count(), 0);
    let (_base, dir) = place();
    let notes = record(&dir, Interface::PerfOwn, Scope::System, touch);
    assert!(
        notes.iter().any(|note| note.starts_with("counters are not recorded")),
        "{notes:?}"
    );
    assert_eq!(of_kind(&kernel_records(&dir), KernelKind::Counted).count(), 0);
}
