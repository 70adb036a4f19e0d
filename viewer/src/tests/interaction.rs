//! What the user does, through keys, the pointer and AccessKit, as a person or a screen reader would.

use super::synthetic;
use crate::app::Viewer;
use crate::model::session::{Command, Selected};
use crate::model::source::Source;
use crate::model::time::Window;
use eframe::egui::accesskit::Role;
use eframe::egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, TouchPhase, pos2, vec2,
};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

pub(super) type Bench = Harness<'static, Viewer>;

/// A place in the lanes, right of the labels and below the axis.
const LANE: Pos2 = pos2(900.0, 251.0);

fn bench() -> Bench {
    bench_of(1)
}

fn bench_of(sources: usize) -> Bench {
    bench_with((0..sources).map(|_| synthetic::source()).collect())
}

pub(super) fn bench_with(sources: Vec<Source>) -> Bench {
    let mut viewer = Viewer::new(sources);
    viewer.finish_overview();
    let mut bench = Harness::builder()
        .with_size([1200.0, 900.0])
        .with_max_steps(30)
        .with_context_setup(crate::theme::install)
        .build_ui_state(|ui, viewer: &mut Viewer| viewer.ui(ui), viewer);
    bench.run();
    bench
}

fn window(bench: &Bench) -> Window {
    bench.state().session.window
}

pub(super) fn apply(bench: &mut Bench, command: Command) {
    bench.state_mut().apply(command);
    bench.run();
}

pub(super) fn press(bench: &mut Bench, key: Key) {
    bench.key_press(key);
    bench.run();
}

/// Moves the pointer with a button held from one place to another.
fn drag(bench: &mut Bench, from: Pos2, to: Pos2, modifiers: Modifiers) {
    let button = |pos, pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers,
    };
    bench.event(Event::ModifiersChanged(modifiers));
    let middle = from + (to - from) / 2.0;
    for event in [
        Event::PointerMoved(from),
        button(from, true),
        Event::PointerMoved(middle),
        Event::PointerMoved(to),
        button(to, false),
    ] {
        bench.event(event);
        bench.step();
    }
    bench.event(Event::ModifiersChanged(Modifiers::NONE));
    bench.run();
}

#[test]
fn rows_can_be_found_by_their_names() {
    let bench = bench();
    for label in [
        "CPU 1",
        "java 4711",
        "request",
        "http-nio-8080-exec-7",
        "kernel threads",
    ] {
        bench.get_by_label_contains(label);
    }
    assert!(
        bench.query_by_label_contains("ksoftirqd").is_none(),
        "kernel threads are folded at first"
    );
}

#[test]
fn a_heading_opens_and_closes() {
    let mut bench = bench();
    bench.get_by_label_contains("kernel threads").click();
    bench.run();
    bench.get_by_label_contains("ksoftirqd/0");
    bench.get_by_label_contains("java 4711").click();
    bench.run();
    assert!(bench.query_by_label_contains("exec-7").is_none());
}

#[test]
fn keys_zoom_and_move() {
    let mut bench = bench();
    let whole = window(&bench);
    press(&mut bench, Key::W);
    let closer = window(&bench);
    assert!(closer.span_ns() < whole.span_ns() * 0.7);
    press(&mut bench, Key::D);
    assert!(window(&bench).from_ns > closer.from_ns);
    press(&mut bench, Key::A);
    assert!((window(&bench).from_ns - closer.from_ns).abs() < 1.0);
    press(&mut bench, Key::S);
    press(&mut bench, Key::Home);
    assert_eq!(window(&bench), whole);
}

#[test]
fn the_wheel_with_ctrl_zooms_at_the_pointer() {
    let mut bench = bench();
    bench.hover_at(LANE);
    bench.run();
    bench.event(Event::ModifiersChanged(Modifiers::CTRL));
    bench.event(Event::MouseWheel {
        unit: MouseWheelUnit::Line,
        delta: vec2(0.0, 3.0),
        phase: TouchPhase::Move,
        source: MouseWheelSource::Wheel,
        modifiers: Modifiers::CTRL,
    });
    bench.run_steps(20);
    let closer = window(&bench);
    assert!(closer.span_ns() < 1.9e9, "{closer:?}");
    // The pointer is at two thirds of the lanes: more was cut off on its left.
    assert!(closer.from_ns > 2e9 - closer.to_ns);
}

#[test]
fn a_drag_moves_and_a_drag_with_shift_zooms_to_a_box() {
    let mut bench = bench();
    apply(
        &mut bench,
        Command::Show(Window {
            from_ns: 0.5e9,
            to_ns: 1.5e9,
        }),
    );
    drag(&mut bench, LANE, LANE - vec2(200.0, 0.0), Modifiers::NONE);
    let moved = window(&bench);
    assert!(
        moved.from_ns > 0.6e9 && (moved.span_ns() - 1e9).abs() < 1.0,
        "{moved:?}"
    );
    drag(&mut bench, pos2(600.0, 251.0), pos2(700.0, 300.0), Modifiers::SHIFT);
    let boxed = window(&bench);
    assert!((0.08e9..0.16e9).contains(&boxed.span_ns()), "{boxed:?}");
    assert!(boxed.from_ns > moved.from_ns && boxed.to_ns < moved.to_ns);
}

#[test]
fn a_click_selects_and_escape_lets_go() {
    let mut bench = bench();
    apply(
        &mut bench,
        Command::Show(Window {
            from_ns: 0.5e9,
            to_ns: 0.53e9,
        }),
    );
    let row = bench.get_by_label_contains("http-nio-8080-exec-1  ").rect();
    drag(
        &mut bench,
        pos2(520.0, row.center().y),
        pos2(520.0, row.center().y),
        Modifiers::NONE,
    );
    let selection = bench.state().session.selection.expect("something was clicked");
    assert!(matches!(selection.what, Selected::State(_)), "{selection:?}");
    bench.get_by_label_contains("totals: ");
    bench.get_by_label("clock (UTC)");
    press(&mut bench, Key::Escape);
    assert_eq!(bench.state().session.selection, None);
}

#[test]
fn search_narrows_the_rows_and_enter_goes_through_them() {
    let mut bench = bench();
    press(&mut bench, Key::Slash);
    let field = bench.get_by_role(Role::TextInput);
    assert!(field.is_focused());
    field.type_text("exec-1");
    bench.run();
    assert!(bench.query_by_label_contains("exec-10").is_some());
    assert!(bench.query_by_label_contains("exec-7").is_none());
    bench.get_by_label("2 rows");
    press(&mut bench, Key::Enter);
    let first = bench.state().session.selection.expect("the first one found").key;
    press(&mut bench, Key::N);
    let second = bench.state().session.selection.expect("the next one").key;
    assert_ne!(first, second);
    press(&mut bench, Key::N);
    assert_eq!(bench.state().session.selection.expect("the first again").key, first);
}

#[test]
fn letters_in_the_search_box_are_no_commands() {
    let mut bench = bench();
    let before = window(&bench);
    press(&mut bench, Key::Slash);
    press(&mut bench, Key::W);
    press(&mut bench, Key::D);
    assert_eq!(window(&bench), before);
    press(&mut bench, Key::Escape);
    press(&mut bench, Key::W);
    assert_ne!(window(&bench), before);
}

#[test]
fn a_search_that_no_row_answers_goes_to_calls() {
    let mut bench = bench();
    apply(&mut bench, Command::Search("stock.reserve".to_owned()));
    apply(&mut bench, Command::Next { back: false });
    let first = bench.state().session.selection.expect("a call").what;
    apply(&mut bench, Command::Next { back: false });
    let second = bench.state().session.selection.expect("another call").what;
    match (first, second) {
        (Selected::Call(one), Selected::Call(two)) => assert!(one.start_ns < two.start_ns),
        other => panic!("{other:?}"),
    }
    apply(&mut bench, Command::Search("no such thing".to_owned()));
    apply(&mut bench, Command::Next { back: false });
    bench.get_by_label_contains("no thread and no call");
}

#[test]
fn the_page_of_keys_comes_and_goes() {
    let mut bench = bench();
    press(&mut bench, Key::Questionmark);
    bench.get_by_label("zoom to a stretch");
    press(&mut bench, Key::Escape);
    assert!(bench.query_by_label("zoom to a stretch").is_none());
}

#[test]
fn buttons_and_overview_work() {
    let mut bench = bench();
    bench.get_by_label("closer (W)").click();
    bench.run();
    let closer = window(&bench);
    assert!(closer.span_ns() < 1.9e9);
    let strip = bench.get_by_label("overview").rect();
    let at = pos2(strip.right() - 20.0, strip.center().y);
    drag(&mut bench, at, at, Modifiers::NONE);
    assert!(window(&bench).to_ns > closer.to_ns);
    bench.get_by_label("everything (Home)").click();
    bench.run();
    assert_eq!(window(&bench), Window::whole(2e9));
}

fn bench_with_counters() -> Bench {
    bench_with(vec![synthetic::source_with_counters()])
}

#[test]
fn a_counter_tells_its_value_to_screen_readers() {
    let mut bench = bench_with_counters();
    let value = |bench: &Bench| {
        let row = bench.get_by_role_and_label(Role::TreeItem, "CPU pressure, some");
        let value = row.accesskit_node().value();
        value.expect("a counter has a value")
    };
    let all = value(&bench);
    assert!(all.contains(" %, up to "), "{all}");
    let row = bench.get_by_label("CPU pressure, some").rect();
    bench.hover_at(pos2(800.0, row.center().y));
    bench.run();
    let here = value(&bench);
    assert!(here.ends_with(" %") && !here.contains("up to"), "{here}");
    bench.get_by_label_contains("part of the time in which some task waited for a CPU");
}

#[test]
fn counters_fold() {
    let mut bench = bench_with_counters();
    assert!(bench.query_by_label("throttled time").is_none());
    let heading = bench.get_by_label_contains("cgroup /shop");
    assert_eq!(heading.accesskit_node().data().is_expanded(), Some(false));
    heading.click();
    bench.run();
    bench.get_by_label("throttled time");
    bench.get_by_label_contains("counters  web-1").click();
    bench.run();
    assert!(bench.query_by_label("CPU pressure, some").is_none());
}

#[test]
fn counters_are_found_by_both_their_names() {
    let mut bench = bench_with_counters();
    for name in ["psi.io", "I/O pressure"] {
        apply(&mut bench, Command::Search(name.to_owned()));
        bench.get_by_label("I/O pressure, some");
        assert!(bench.query_by_label("CPU pressure, some").is_none());
    }
    apply(&mut bench, Command::Search("/shop".to_owned()));
    bench.get_by_label("throttled time");
}

#[test]
fn the_keyboard_reaches_a_counter_and_goes_through_its_values() {
    let mut bench = bench_with_counters();
    bench.get_by_label("CPU pressure, some").focus();
    bench.run();
    press(&mut bench, Key::Space);
    let selected = bench.state().session.selection.expect("the row");
    assert_eq!(selected.what, Selected::Row);
    bench.get_by_label_contains("sum of times");
    let starts: Vec<u64> = [Key::Period, Key::Period, Key::Comma]
        .into_iter()
        .map(|key| {
            press(&mut bench, key);
            match bench.state().session.selection.map(|selection| selection.what) {
                Some(Selected::Value(step)) => step.start_ns,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert!(starts[0] < starts[1] && starts[2] == starts[0], "{starts:?}");
}

#[test]
fn tab_goes_to_rows() {
    let mut bench = bench_with_counters();
    let reached = (0..40).any(|_| {
        press(&mut bench, Key::Tab);
        bench.get_by_label("CPU pressure, some").is_focused()
    });
    assert!(reached);
}

#[test]
fn states_are_in_the_legend() {
    let bench = bench();
    for state in ["running", "monitor", "unknown"] {
        assert_eq!(bench.get_by_label(state).accesskit_node().role(), Role::Label);
    }
}

#[test]
fn several_timelines_are_one_below_the_other() {
    let mut bench = bench_of(2);
    let titles: Vec<_> = bench.get_all_by_role(Role::TreeItem).collect();
    let first = titles[0].rect().center();
    drop(titles);
    drag(&mut bench, first, first, Modifiers::NONE);
    assert_eq!(bench.get_all_by_label_contains("tomcat.plumb  2.00 s").count(), 2);
    assert_eq!(
        bench.get_all_by_label_contains("java 4711").count(),
        1,
        "the first one is closed"
    );
}
