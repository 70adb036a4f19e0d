//! Sums that are exact, and what is printed.

use plumb_trace::{
    State,
    timeline::{Loss, TrackId},
};
use proptest::prelude::*;

use super::*;
use crate::{
    states::ThreadStates,
    testing::{Fake, written},
};

fn sample() -> Fake {
    let mut fake = Fake::new(1_000, 5_000);
    let worker = fake.thread("java", "http-1");
    fake.group(worker, "request");
    fake.running(worker, 1_000, 2_000, 0).stolen_ns = 100;
    fake.ready(worker, 2_000, 3_500, 0);
    fake.state(worker, 3_500, 5_000, State::Monitor);
    let hog = fake.thread("hog", "hog, \"big\"");
    fake.running(hog, 1_000, 5_000, 0).involuntary = true;
    let unit = fake.text("request");
    fake.unit(unit, worker, 1_500, 4_000);
    fake
}

fn whole(fake: &Fake) -> Window {
    Window::of(fake, None, None)
}

#[test]
fn a_row_a_thread() {
    let fake = sample();
    let ledger = ledger(&fake, By::Thread, whole(&fake), None).unwrap();
    let json = ledger.to_json();
    let row = &json["rows"][0];
    assert_eq!(row["states_ns"]["running"], 900);
    assert_eq!(row["states_ns"]["stolen"], 100);
    assert_eq!(row["states_ns"]["park"], 0);
    assert_eq!(row["states_ns"].as_object().unwrap().len(), plumb_trace::STATE_COUNT);
    assert_eq!(
        (&row["pid"], &row["tid"], &row["vthread"]),
        (&100.into(), &1000.into(), &serde_json::Value::Null)
    );
    assert_eq!(
        (&row["group"], &json["rows"][1]["group"]),
        (&"request".into(), &serde_json::Value::Null)
    );
    assert_eq!(json["rows"][1]["switches"]["involuntary"], 1);
    assert_eq!(
        (&json["from_ns"], &json["to_ns"], &json["by"]),
        (&1_000.into(), &5_000.into(), &"thread".into())
    );
}

#[test]
fn sums_by_group_process_and_unit() {
    let fake = sample();
    let keys = |by| {
        let ledger = ledger(&fake, by, whole(&fake), None).unwrap();
        let keys = ledger.rows.iter().map(|row| match &row.key {
            RowKey::Sum { key, count } => (key.clone(), *count, row.totals.states.sum()),
            RowKey::Unit(key) => (key.text(), key.count, row.totals.states.sum()),
            RowKey::Thread(_) => panic!("a sum"),
        });
        keys.collect::<Vec<_>>()
    };
    assert_eq!(
        keys(By::Group),
        [(NO_GROUP.into(), 1, 4_000), ("request".into(), 1, 4_000)]
    );
    assert_eq!(
        keys(By::Process),
        [("hog[101]".into(), 1, 4_000), ("java[100]".into(), 1, 4_000)]
    );
    assert_eq!(keys(By::Unit), [("request".into(), 1, 2_500)]);
}

#[test]
fn a_cpu_s_time_counts_once_where_threads_carry_virtual_ones() {
    let mut fake = Fake::new(0, 1_000);
    let carrier = fake.thread("java", "ForkJoinPool-1-worker-1");
    fake.running(carrier, 0, 600, 0).stolen_ns = 60;
    fake.state(carrier, 600, 1_000, State::Park);
    let process = fake.tracks[carrier.0 as usize].process;
    let cart = fake.track(TrackKind::VirtualThread, "java", "cart", None);
    fake.tracks[cart.0 as usize].process = process;
    fake.group(cart, "shop");
    fake.running(cart, 0, 400, 0).peer = Some(carrier);
    fake.state(cart, 400, 1_000, State::Sleep);
    let part = Window {
        from_ns: 100,
        to_ns: 500,
    };
    let on_cpu = |totals: &StateTotals| totals.get(State::Running) + totals.get(State::Stolen);
    for (window, both, carriers_own, carts) in [(whole(&fake), 600, 200, 400), (part, 400, 100, 300)] {
        for by in [By::Group, By::Process] {
            assert_eq!(on_cpu(&ledger(&fake, by, window, None).unwrap().sum()), both, "{by:?}");
        }
        let rows = ledger(&fake, By::Group, window, None).unwrap().rows;
        let each = rows.iter().map(|row| on_cpu(&row.totals.states));
        assert_eq!(each.collect::<Vec<_>>(), [carriers_own, carts]);
    }
    // Asked for alone, the virtual threads' group is what it is beside the others.
    let alone = ledger(&fake, By::Group, whole(&fake), Some("shop")).unwrap();
    assert_eq!((alone.rows.len(), on_cpu(&alone.sum())), (1, 400));
}

#[test]
fn a_group_alone() {
    let fake = sample();
    let ledger = ledger(&fake, By::Thread, whole(&fake), Some("request")).unwrap();
    assert_eq!(ledger.rows.len(), 1);
}

#[test]
fn losses_in_the_window_are_told() {
    let mut fake = sample();
    let loss = |from_ns, to_ns, events| Loss {
        stream: "cpu-0".into(),
        from_ns,
        to_ns,
        events,
    };
    fake.losses = vec![loss(1_000, 1_100, Some(3)), loss(4_000, 4_100, None)];
    let late = Window {
        from_ns: 2_000,
        to_ns: 5_000,
    };
    let ledger = ledger(&fake, By::Thread, late, None).unwrap();
    let json = ledger.to_json();
    assert_eq!(json["losses"].as_array().unwrap().len(), 1);
    assert_eq!(
        json["losses"][0],
        serde_json::json!({"stream": "cpu-0", "from_ns": 4000, "to_ns": 4100, "events": null})
    );
    assert!(ledger.to_string().contains("1 gaps of unknown size"), "{ledger}");
}

#[test]
fn the_table_has_only_states_that_occur() {
    let fake = sample();
    let text = ledger(&fake, By::Group, whole(&fake), None).unwrap().to_string();
    assert_eq!(
        text,
        "group       count     life  running  stolen    ready  monitor  vol.  invol.  migr.\n\
         (no group)      1  4.00 µs  4.00 µs       0        0        0     0       1      0\n\
         request         1  4.00 µs   900 ns  100 ns  1.50 µs  1.50 µs     1       0      0\n"
    );
}

#[test]
fn csv_quotes_what_it_must() {
    let fake = sample();
    let csv = ledger(&fake, By::Thread, whole(&fake), None).unwrap().to_csv();
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert!(
        lines[0].starts_with("host,pid,tid,ns_pid,vthread,process,name,group,start_ns,end_ns,running_ns,stolen_ns,")
    );
    assert!(
        lines[2].contains(",\"hog, \"\"big\"\"\",,1000,5000,4000,0,"),
        "{}",
        lines[2]
    );
    assert_eq!(lines.len(), 4);
}

/// When a thread is born, and the length, state and stolen time of each of its intervals.
type Life = (u64, Vec<(u64, u8, u64)>);

/// Threads of random lives, filled with random states without a gap.
fn random_fake(lives: &[Life]) -> Fake {
    let mut fake = Fake::new(0, 2_000);
    let name = fake.text("request");
    for (start_ns, pieces) in lives {
        let track = fake.thread("java", "worker");
        fake.group(track, if start_ns % 2 == 0 { "even" } else { "odd" });
        let mut at = *start_ns;
        for (length_ns, state, stolen_ns) in pieces {
            let state = State::from_u8(*state)
                .filter(|state| *state != State::Stolen)
                .unwrap_or(State::Running);
            let interval = fake.state(track, at, at + length_ns, state);
            if state == State::Running {
                interval.stolen_ns = *stolen_ns.min(length_ns);
                interval.cpu = Some((at % 3) as u16);
                interval.involuntary = at % 2 == 0;
            }
            fake.unit(name, track, at, at + length_ns);
            at += length_ns;
        }
        let track = &mut fake.tracks[track.0 as usize];
        (track.start_ns, track.end_ns) = (*start_ns, at);
    }
    fake
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    prop::collection::vec(
        (
            0u64..1_000,
            prop::collection::vec((1u64..100, 0u8..19, 0u64..120), 1..10),
        ),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn rows_sum_to_lives_in_any_window(lives in lives(), from in 0u64..2_000, length in 0u64..2_000) {
        let file = written(&random_fake(&lives));
        let window = Window::of(&file, Some(from), Some(from + length));
        let mut lives_ns = 0;
        for row in ledger(&file, By::Thread, window, None).unwrap().rows {
            let RowKey::Thread(key) = row.key else { panic!("a thread") };
            prop_assert_eq!(row.totals.states.sum(), key.end_ns - key.start_ns);
            lives_ns += key.end_ns - key.start_ns;
        }
        // Units follow each other without a gap from each thread's birth to its death.
        for by in [By::Group, By::Process, By::Unit] {
            prop_assert_eq!(ledger(&file, by, window, None).unwrap().sum().sum(), lives_ns, "{:?}", by);
        }
    }

    #[test]
    fn sums_over_intervals_are_those_of_the_timeline(lives in lives(), windows in prop::collection::vec((0u64..2_000, 1u64..500), 1..10)) {
        let file = written(&random_fake(&lives));
        for (id, _) in roles::threads(&file) {
            let mut states = ThreadStates::new(&file, id);
            for (from_ns, length_ns) in &windows {
                let window = Window { from_ns: *from_ns, to_ns: from_ns + length_ns };
                let exact = file.totals(id, window.from_ns, window.to_ns).unwrap();
                let got = states.totals(window).unwrap();
                // The CPU of before the window may not have been read.
                prop_assert!(got.migrations <= exact.migrations && exact.migrations - got.migrations <= 1);
                prop_assert_eq!(Totals { migrations: exact.migrations, ..got }, exact);
            }
        }
    }
}

/// A worker with counters, and another thread without.
fn counted() -> Fake {
    let mut fake = sample();
    let (unit, count) = (fake.text("ns"), fake.text("count"));
    let mut counter = |what: &str, unit, samples: &[(u64, i64)]| {
        let id = fake.track(
            TrackKind::Counter { unit },
            "java",
            &format!("{what} http-1"),
            Some(1000),
        );
        fake.counters.extend(samples.iter().map(|&(at, value)| (id, at, value)));
    };
    counter("task-clock", unit, &[(1_000, 0), (2_000, 900), (3_000, 1_000)]);
    counter("cycles", count, &[(1_000, 0), (2_000, 400)]);
    counter("cycles.estimated", count, &[(1_000, 0), (2_000, 100)]);
    counter("instructions", count, &[(1_000, 0), (2_000, 600)]);
    let prio = fake.text("prio");
    let priority = fake.track(TrackKind::Counter { unit: prio }, "java", "priority http-1", Some(1000));
    fake.counters.extend([(priority, 1_000, 120), (priority, 3_000, 49)]);
    fake
}

#[test]
fn counters_are_those_of_the_window() {
    let fake = counted();
    let of = |from_ns, to_ns| {
        let json = ledger(&fake, By::Thread, Window { from_ns, to_ns }, None)
            .unwrap()
            .to_json();
        assert_eq!(json["rows"][1]["counters"], serde_json::json!({}), "not counted");
        let row = &json["rows"][0];
        assert_eq!(row["priority"], if to_ns > 3_000 { 49 } else { 120 });
        assert_eq!(row["counters"].get("priority"), None, "values of their own do not sum");
        (
            row["counters"]["task-clock"].clone(),
            row["instructions_per_cycle"].clone(),
        )
    };
    assert_eq!(of(1_000, 5_000), (1_000.into(), 1.5.into()));
    assert_eq!(of(2_000, 5_000), (100.into(), serde_json::Value::Null));
    assert_eq!(of(1_500, 2_000), (900.into(), 1.5.into()));
    let written = written(&fake);
    let counts = |query: &dyn Query| {
        let ledger = ledger(query, By::Thread, whole(&fake), None).unwrap();
        ledger.rows.into_iter().map(|row| row.counts).collect::<Vec<_>>()
    };
    assert_eq!(counts(&written), counts(&fake));
}

#[test]
fn what_the_last_slice_counted_is_told_after_the_end() {
    let mut fake = counted();
    let tracks = fake.tracks().iter().zip(0..);
    let named = tracks.filter(|(track, _)| track.name == "task-clock http-1");
    let clock = named.map(|(_, number)| TrackId(number)).next().unwrap();
    let end_ns = fake
        .tracks()
        .iter()
        .find(|track| track.name == "http-1")
        .unwrap()
        .end_ns;
    fake.counters.push((clock, end_ns + 7, 1_050));
    fake.tracks[clock.0 as usize].end_ns = end_ns + 7;
    let clock = |to_ns| {
        let window = Window { from_ns: 1_000, to_ns };
        let json = ledger(&fake, By::Thread, window, None).unwrap().to_json();
        json["rows"][0]["counters"]["task-clock"].clone()
    };
    assert_eq!(clock(end_ns), 1_050);
    assert_eq!(clock(end_ns - 1), 1_000);
}

#[test]
fn counters_of_a_group_are_summed_and_estimates_marked() {
    let fake = counted();
    let ledger = ledger(&fake, By::Group, whole(&fake), None).unwrap();
    let json = ledger.to_json();
    let row = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["key"] == "request")
        .unwrap();
    assert_eq!(row["counters"]["cycles"], 400);
    let text = ledger.to_string();
    assert!(
        text.contains("~400") && text.contains("1.50") && text.contains("estimated"),
        "{text}"
    );
    let csv = ledger.to_csv();
    assert!(
        csv.lines()
            .next()
            .unwrap()
            .ends_with(",cycles,cycles.estimated,instructions,task-clock"),
        "{csv}"
    );
}

#[test]
fn whose_counters_those_of_virtual_threads_are_is_said() {
    let mut fake = counted();
    let said = |fake: &Fake, by| {
        let ledger = ledger(fake, by, whole(fake), None).unwrap();
        let is_noted = ledger.to_string().contains("counters of virtual threads");
        assert_eq!(ledger.to_json()["counts_with_carriers"], is_noted);
        is_noted
    };
    assert!(!said(&fake, By::Group), "there are none");
    let cart = fake.track(TrackKind::VirtualThread, "java", "cart", None);
    fake.state(cart, 1_000, 5_000, State::Sleep);
    assert!(said(&fake, By::Group) && said(&fake, By::Thread));
    assert!(!said(&fake, By::Process), "their process is their carriers'");
    assert!(!said(&fake, By::Unit), "units have no counters");
    let mut uncounted = sample();
    let cart = uncounted.track(TrackKind::VirtualThread, "java", "cart", None);
    uncounted.state(cart, 1_000, 5_000, State::Sleep);
    assert!(!said(&uncounted, By::Group));
}
