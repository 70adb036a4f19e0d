//! What is recorded beside the scheduler, against the books of a program that asks for much, and the kernel's: examples/asker.rs.

use crate::support::{allows, example, last_json, machine, number, record, scratch, thread};
use plumb_trace::timeline::{Query, TimelineFile, TrackId, TrackKind};
use serde_json::Value;
use std::process::Command;

const RULES: &str = "\
[kernel]
interrupts = true
faults = true
disk = true
calls = [\"read\", \"write\", \"pread64\", \"exit_group\"]
";

/// What happens all the time may differ by the moments that lie between two readings.
const SHARE: f64 = 0.03;
const EVENTS: u64 = 60;

#[test]
fn calls_faults_interrupts_and_requests_are_those_of_the_books() {
    if !allows("kernel-extras", "extras") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let rules = dir.path().join("extras.toml");
    std::fs::write(&rules, RULES).expect("the rules");
    let mut asker = Command::new(example("asker"));
    asker.arg(dir.path());
    let rules = rules.to_string_lossy();
    let (printed, timeline) = record(dir.path(), &["--no-jvm", "-f", &rules], &asker);
    let books = last_json(&printed);
    assert_eq!(timeline.losses(), [], "nothing was lost");
    let window = (number(&books["before"], "at_ns"), number(&books["after"], "at_ns"));
    let tid = number(&books, "tid");
    calls(&timeline, tid, window, &books["calls"]);
    faults(&timeline, tid, window, &books);
    interrupts(&timeline, window, &books);
    disks(&timeline, window, &books);
}

fn interrupts(timeline: &TimelineFile, window: (u64, u64), books: &Value) {
    let grew = |what: &str| number(&books["after"], what) - number(&books["before"], what);
    let (told, book) = (growth(timeline, "cpu.interrupts", window), grew("interrupts"));
    // Those in the midst of process 1 are hidden where it is protected. It may have run all the time on the CPU that has most of them.
    let share = grew("first_process_ns") as f64 / (window.1 - window.0) as f64;
    let hidden = (share * book as f64) as u64;
    assert!(
        is_near(told, told.clamp(book - hidden.min(book), book)),
        "{told} interrupts of {book}, {hidden} of them hidden at the most"
    );
    let time_ns = growth(timeline, "cpu.interrupt_time", window);
    assert!(
        time_ns > 100 * told && time_ns < window.1 - window.0,
        "{time_ns} ns in {told} interrupts"
    );
}

fn is_near(told: u64, book: u64) -> bool {
    told.abs_diff(book) as f64 <= SHARE * book as f64 + EVENTS as f64
}

/// Every call of the thread is a slice.
fn calls(timeline: &TimelineFile, tid: u64, (from_ns, to_ns): (u64, u64), book: &Value) {
    let slices = timeline.slices(thread(timeline, tid), 0, u64::MAX, 0).expect("slices");
    let name = |slice: &plumb_trace::timeline::Slice| timeline.string(slice.name).to_owned();
    for (call, count) in book.as_object().expect("calls") {
        let of_call = slices.iter().filter(|slice| name(slice) == *call);
        let within = of_call.filter(|slice| slice.start_ns >= from_ns && slice.end_ns <= to_ns);
        assert_eq!(Some(within.count() as u64), count.as_u64(), "{call}");
    }
    // What does not return lasts as long as the thread.
    let last = slices.last().expect("slices");
    assert_eq!((name(last).as_str(), last.open_end), ("exit_group()", true));
}

fn minor_faults(timeline: &TimelineFile, tid: u64, window: (u64, u64)) -> u64 {
    of_thread(timeline, "faults.minor ", tid, window)
}

fn of_thread(timeline: &TimelineFile, name: &str, tid: u64, window: (u64, u64)) -> u64 {
    let track = counters(timeline, |track| {
        track.tid.map(u64::from) == Some(tid) && track.name.starts_with(name)
    });
    track.first().map_or(0, |&track| grown(timeline, track, window))
}

fn faults(timeline: &TimelineFile, tid: u64, window: (u64, u64), books: &Value) {
    assert_eq!(
        minor_faults(timeline, tid, window),
        number(books, "minor_faults"),
        "minor faults"
    );
    assert_eq!(
        of_thread(timeline, "faults.major ", tid, window),
        number(books, "major_faults"),
        "major faults"
    );
}

/// The disk that was written to. After the program's last look nobody else writes much.
fn disks(timeline: &TimelineFile, window: (u64, u64), books: &Value) {
    let written = number(books, "disk_writes");
    let (before, after) = (&books["before"]["disks"], &books["after"]["disks"]);
    for (disk, counts) in before.as_object().expect("disks") {
        let book = |at: usize| after[disk][at].as_u64().unwrap_or(0) - counts[at].as_u64().unwrap_or(0);
        // Partitions stand beside their disks, and have no requests of their own.
        let has_counters = !counters(timeline, |track| track.name.starts_with(&format!("disk.{disk}."))).is_empty();
        if !has_counters || book(2) < written {
            continue;
        }
        let told = |what: &str| {
            growth(
                timeline,
                &format!("disk.{disk}.{what}"),
                (window.0, timeline.info().to_ns - 1),
            )
        };
        assert!(
            is_near(told("reads"), book(0)),
            "{disk}: {} reads of {}",
            told("reads"),
            book(0)
        );
        // What ended while the kernel told nothing is counted later, or said not to be counted.
        let writes = told("writes") + uncounted(timeline);
        assert!(is_near(writes, book(2)), "{disk}: {writes} writes of {}", book(2));
        assert!(writes >= written, "{disk}: {writes} writes of {written}");
        assert!(
            told("write_time") > 1_000 * told("writes"),
            "{disk}: {} ns",
            told("write_time")
        );
        return;
    }
    assert_eq!(written, 0, "no disk was written to");
}

/// Requests whose end was not told.
fn uncounted(timeline: &TimelineFile) -> u64 {
    let notes = timeline.info().notes.iter();
    let counts = notes.filter_map(|note| {
        let number = note.split_once(" requests to block devices are not counted")?.0;
        number.rsplit(' ').next()?.parse::<u64>().ok()
    });
    counts.sum()
}

fn counters(timeline: &TimelineFile, wanted: impl Fn(&plumb_trace::timeline::Track) -> bool) -> Vec<TrackId> {
    let all = timeline.tracks().iter().enumerate();
    let found = all.filter(|(_, track)| matches!(track.kind, TrackKind::Counter { .. }) && wanted(track));
    found.map(|(index, _)| TrackId(index as u32)).collect()
}

/// What all counters of a name have grown by.
fn growth(timeline: &TimelineFile, name: &str, window: (u64, u64)) -> u64 {
    let tracks = counters(timeline, |track| track.name == name);
    tracks.into_iter().map(|track| grown(timeline, track, window)).sum()
}

fn grown(timeline: &TimelineFile, track: TrackId, (from_ns, to_ns): (u64, u64)) -> u64 {
    let at = |at_ns: u64| {
        let points = timeline.counters(track, at_ns, at_ns + 1, 0).expect("points");
        points.last().map_or(0, |point| point.last)
    };
    u64::try_from(at(to_ns) - at(from_ns)).expect("it grows")
}
