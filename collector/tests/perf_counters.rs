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
use std::path::Path;
use std::thread;
use std::time::Duration;

const PAGES: usize = 100;
const ROUNDS: usize = 20;
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

/// Slices of a thread that began when their CPU's idle task left, on CPUs where most such slices, of everybody, are not counted: there the kernel tells nothing of the idle task (see `perf_levels`).
fn after_untold_idle(records: &[KernelRecord], tid: u32) -> usize {
    /// Of a CPU: slices after its idle task that are counted, that are not, and how many are the thread's.
    type AfterIdle = (usize, usize, usize);
    let mut all: HashMap<u16, AfterIdle> = HashMap::new();
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
            let (counted, uncounted, of_it) = all.entry(record.cpu).or_default();
            *(if is_unknown { uncounted } else { counted }) += 1;
            *of_it += usize::from(comer == tid);
        }
        if record.tid == 0 {
            here.insert(record.cpu, (record.other_tid, false));
        }
    }
    let deaf = all.values().filter(|(counted, uncounted, _)| counted < uncounted);
    deaf.map(|(.., of_it)| of_it).sum()
}

#[test]
fn what_a_slice_counted_is_told_without_bpf() {
    if !works("perf-events", "what_a_slice_counted_is_told_without_bpf") {
        return;
    }
    let (_base, dir) = place();
    let before = faults();
    let (mut begun_ns, mut rounds) = (0, 0);
    let notes = record(&dir, Interface::PerfSwitches, Scope::System, || {
        begun_ns = monotonic_ns();
        rounds = ROUNDS * on_each_cpu(touch);
    });
    let happened = faults() - before;
    assert!(!notes.iter().any(|note| note.contains("counter")), "{notes:?}");
    let names = definitions(&dir)
        .into_iter()
        .filter_map(|dated| match dated.definition {
            Definition::SliceCounter { number, name, .. } => Some((number as usize, name)),
            _ => None,
        });
    assert!(names.eq(NAMES.map(str::to_owned).into_iter().enumerate()));

    let (records, me) = (kernel_records(&dir), gettid());
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
    // Perf events do not tell what was counted when somebody leaves who has ended; and in a storm of switches the kernel was seen to make no sample at some in a row.
    let ended = of_kind(&since_begun, KernelKind::Exit).count();
    let unsampled = of_kind(&since_begun, KernelKind::Switch).count() / 100;
    assert!(
        unknown <= cpus + holes(&records).len() + untold + ended + unsampled,
        "{unknown} slices are not counted, {untold} of them after an idle task that is not told of; {ended} threads ended"
    );
    let known = rounds.saturating_sub(unknown);
    assert!(
        faulted > 0 && faulted >= (known * PAGES) as u64,
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
