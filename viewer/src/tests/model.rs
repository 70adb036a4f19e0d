//! The model on the synthetic timeline: the tree of rows, and what is said of things.

use super::synthetic::{self, FROM_NS};
use crate::model::counter;
use crate::model::describe::{self, Fact};
use crate::model::source::Source;
use crate::model::tree::{Key, Tree};
use plumb_trace::State;
use plumb_trace::timeline::{HostInfo, Process, TimelineFile, TimelineWriter, Track, TrackId, TrackKind};
use std::collections::HashSet;

fn outline(tree: &Tree) -> Vec<String> {
    let line = |number: usize| {
        let node = &tree.nodes[number];
        let mark = if node.serves { " *" } else { "" };
        format!("{}{}{mark}", "  ".repeat(node.depth), node.label)
    };
    tree.visible(|node| node.open, None).into_iter().map(line).collect()
}

#[test]
fn rows_go_from_what_matters_to_what_does_not() {
    let tree = Tree::build(&[synthetic::source()]);
    let mut expected = vec![
        "CPUs".to_owned(),
        "  CPU 0".into(),
        "  CPU 1".into(),
        "java 4711".into(),
        "  request *".into(),
    ];
    expected.extend((1..=10).map(|number| format!("    http-nio-8080-exec-{number} *")));
    expected.extend(["  gc", "    GC Thread#0", "    GC Thread#1", "  other threads"].map(str::to_owned));
    expected.extend(["    http-nio-8080-Poller", "    Catalina-utility-1", "stress 3011"].map(str::to_owned));
    expected.extend(["  stress", "  stress", "plumb 4800", "kernel threads"].map(str::to_owned));
    assert_eq!(outline(&tree), expected);
}

#[test]
fn counters_stand_by_what_they_are_about() {
    let tree = Tree::build(&[synthetic::source_with_counters()]);
    let all: Vec<usize> = tree.visible(|_| true, None);
    let lines: Vec<String> = all
        .into_iter()
        .map(|number| format!("{}{}", "  ".repeat(tree.nodes[number].depth), tree.nodes[number].label))
        .collect();
    let begin = lines.iter().position(|line| line == "counters").expect("a heading");
    assert_eq!(
        lines[begin..begin + 15],
        [
            "counters",
            "  CPU pressure, some",
            "  I/O pressure, some",
            "  each CPU",
            "    CPU 0 stolen",
            "    CPU 1 online",
            "    CPU 1 stolen",
            "  cgroup /shop",
            "    throttled periods",
            "    throttled time",
            "  without change",
            "    CPU 0 online",
            "    memory pressure, all",
            "    memory pressure, some",
            "java 4711",
        ]
    );
    let shown = outline(&tree);
    assert!(shown.contains(&"  CPU pressure, some".to_owned()) && !shown.contains(&"    throttled time".to_owned()));
}

#[test]
fn a_counter_tells_shares_rates_and_values() {
    let source = synthetic::source_with_counters();
    let window = (FROM_NS, FROM_NS + synthetic::TOTAL_NS);
    let sum_of = |name: &str| {
        let track = thread(&source, name);
        let steps = counter::steps(&source, track, window, 1_000_000).expect("it can be read");
        counter::summary(&steps, window).expect("it has values")
    };
    let pressure = sum_of("psi.cpu.some");
    assert!(
        (0.2..0.6).contains(&pressure.mean) && pressure.high < 1.1,
        "{pressure:?}"
    );
    // Every third of ten samples a second: the last sample tells no growth.
    let periods = sum_of("cgroup.throttled /shop");
    assert!(
        (2.5..4.0).contains(&periods.mean) && periods.high == 10.0,
        "{periods:?}"
    );
    let one = counter::at(&source, thread(&source, "psi.cpu.some"), FROM_NS + 50_000_000).expect("it can be read");
    assert_eq!(
        one.map(|step| (step.start_ns, step.end_ns)),
        Some((FROM_NS, FROM_NS + 100_000_000))
    );
}

#[test]
fn several_timelines_stand_under_their_names() {
    let tree = Tree::build(&[synthetic::source(), synthetic::source()]);
    let titles: Vec<_> = tree
        .nodes
        .iter()
        .filter(|node| node.depth == 0)
        .map(|node| node.label.as_str())
        .collect();
    assert_eq!(titles, ["tomcat.plumb", "tomcat.plumb"]);
    assert_eq!(tree.shades.len(), 2);
}

#[test]
fn ends_nest() {
    let tree = Tree::build(&[synthetic::source()]);
    for (number, node) in tree.nodes.iter().enumerate() {
        assert!(node.end > number && node.end <= tree.nodes.len());
        let below = &tree.nodes[number + 1..node.end];
        assert!(
            below
                .iter()
                .all(|below| below.depth > node.depth && below.end <= node.end)
        );
    }
}

#[test]
fn wanted_rows_come_with_their_headings() {
    let tree = Tree::build(&[synthetic::source()]);
    let poller = tree
        .nodes
        .iter()
        .position(|node| node.label.ends_with("Poller"))
        .expect("it is there");
    let wanted = HashSet::from([tree.nodes[poller].key]);
    let shown: Vec<_> = tree
        .visible(|_| false, Some(&wanted))
        .into_iter()
        .map(|number| tree.nodes[number].label.clone())
        .collect();
    assert_eq!(shown, ["java 4711", "other threads", "http-nio-8080-Poller"]);
    assert_eq!(tree.headings(poller).len(), 2);
}

#[test]
fn a_closed_heading_hides_all_below() {
    let tree = Tree::build(&[synthetic::source()]);
    let shown = tree.visible(|node| !matches!(node.key, Key::Process(..)) && node.open, None);
    assert!(!shown.iter().any(|&number| tree.nodes[number].label.starts_with("http")));
}

fn thread(source: &Source, name: &str) -> TrackId {
    let place = source
        .query
        .tracks()
        .iter()
        .position(|track| track.name == name)
        .expect("there is such a thread");
    TrackId(place as u32)
}

fn first_of(source: &Source, track: TrackId, state: State) -> Vec<Fact> {
    let states = source
        .query
        .states(track, FROM_NS, FROM_NS + synthetic::TOTAL_NS)
        .expect("it has states");
    let interval = states
        .into_iter()
        .find(|interval| interval.state == state)
        .expect("it was in this state");
    describe::interval(source, track, &interval)
}

fn words(facts: &[Fact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.word).collect()
}

fn value<'a>(facts: &'a [Fact], word: &str) -> &'a str {
    &facts.iter().find(|fact| fact.word == word).expect("it is said").value
}

#[test]
fn everything_known_is_said() {
    let source = synthetic::source();
    let exec = thread(&source, "http-nio-8080-exec-3");
    let monitor = first_of(&source, exec, State::Monitor);
    assert_eq!(words(&monitor), ["length", "since", "till", "object", "owner"]);
    assert_eq!(value(&monitor, "object"), "com.shop.Stock");
    assert_eq!(value(&monitor, "owner"), "http-nio-8080-exec-2 (java 4711)");
    let net = first_of(&source, exec, State::Net);
    assert_eq!(value(&net, "call"), "recvfrom on a socket");
    let ready = first_of(&source, exec, State::Ready);
    assert_eq!(value(&ready, "cause"), "woken");
    assert!(value(&ready, "CPU meanwhile").contains('%'));
    let hog = first_of(&source, thread(&source, "stress"), State::Running);
    assert!(words(&hog).contains(&"CPU"));
}

#[test]
fn cautions_say_what_is_missing() {
    let mut timeline = synthetic::server();
    timeline.info.hosts[0].has_kernel = false;
    timeline.losses[0].events = None;
    let source = Source {
        query: Box::new(timeline),
        label: "a.plumb".into(),
    };
    let cautions = describe::cautions(&source);
    assert!(cautions[0].contains("no kernel records"), "{cautions:?}");
    assert!(
        cautions[1].contains("an unknown number more were lost in 1 gap"),
        "{cautions:?}"
    );
}

/// Seconds of a sum that grows by half of the time, with so many samples a second.
fn steady_sum(samples_a_second: u64) -> (tempfile::TempDir, Source) {
    const SECONDS: u64 = 60;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sum.plumb");
    let mut writer = TimelineWriter::create(&path).expect("it can be made");
    writer.info_mut().hosts.push(HostInfo::default());
    writer.info_mut().to_ns = SECONDS * 1_000_000_000;
    let process = writer.add_process(Process::default());
    let unit = writer.string("ns");
    let track = writer.add_track(Track {
        kind: TrackKind::Counter { unit },
        process,
        tid: None,
        vthread: None,
        name: "psi.cpu.some".into(),
        former_names: Vec::new(),
        group: None,
        start_ns: 0,
        end_ns: SECONDS * 1_000_000_000,
        java: false,
    });
    let step_ns = 1_000_000_000 / samples_a_second;
    for number in 0..SECONDS * samples_a_second {
        let value = (number * step_ns / 2) as i64;
        writer.counter(track, number * step_ns, value).expect("in order");
    }
    writer.finish().expect("it can be written");
    let query = Box::new(TimelineFile::open(&path).expect("it opens"));
    let label = "sum.plumb".to_owned();
    (dir, Source { query, label })
}

#[test]
fn a_steady_sum_is_steady_at_every_zoom() {
    for samples_a_second in [4, 50, 1000] {
        let (_dir, source) = steady_sum(samples_a_second);
        for (from_ns, to_ns) in [
            (0, 60_000_000_000),
            (30_000_000_000, 42_000_000_000),
            (7_000_000, 9_000_000),
        ] {
            let pixel_ns = (to_ns - from_ns) / 1300;
            let steps = counter::steps(&source, TrackId(0), (from_ns, to_ns), pixel_ns).expect("it can be read");
            // The first and the last stretch of a zoom may be cut anywhere.
            let inner = steps.get(1..steps.len().saturating_sub(1)).unwrap_or_default();
            let off = inner.iter().find(|step| (step.mean - 0.5).abs() > 0.15);
            assert!(
                !steps.is_empty() && off.is_none(),
                "{samples_a_second}/s in {from_ns}..{to_ns}: {off:?}"
            );
            assert!(steps.len() <= 12_500, "{} steps for 1300 pixels", steps.len());
        }
    }
}
