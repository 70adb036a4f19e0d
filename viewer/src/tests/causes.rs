//! Causes of sleeps and pauses, and what threads counted, as a screen reader finds them.

use super::interaction::{Bench, apply, bench_with, press};
use super::synthetic;
use crate::model::session::{Command, Selected};
use crate::model::time::Window;
use eframe::egui::Key;
use eframe::egui::accesskit::Role;
use egui_kittest::kittest::{NodeT, Queryable};
use plumb_trace::State;

fn bench_with_causes() -> Bench {
    bench_with(vec![synthetic::source_with_causes()])
}

/// Selects the first stretch of a row's that is like this, from 0.5 s on.
fn select(bench: &mut Bench, row: &str, is_wanted: impl Fn(Selected) -> bool) {
    apply(
        bench,
        Command::Show(Window {
            from_ns: 0.5e9,
            to_ns: 1.5e9,
        }),
    );
    let begin = format!("{row} ");
    let is_row = |node: &egui_kittest::Node<'_>| {
        let label = node.accesskit_node().label();
        label.is_some_and(|label| label.starts_with(&begin))
    };
    let rows = bench.get_all_by_role(Role::TreeItem);
    rows.into_iter().find(is_row).expect("a row of this name").focus();
    bench.run();
    press(bench, Key::Space);
    for _ in 0..20 {
        press(bench, Key::Period);
        let what = bench.state().session.selection.expect("a stretch").what;
        if is_wanted(what) {
            return;
        }
    }
    panic!("there is none within 20 stretches of {row}");
}

fn is_in(state: State) -> impl Fn(Selected) -> bool {
    move |what| matches!(what, Selected::State(interval) if interval.state == state)
}

#[test]
fn where_a_thread_slept_is_read_innermost_first() {
    let mut bench = bench_with_causes();
    select(&mut bench, "http-nio-8080-exec-3", is_in(State::Net));
    bench.get_by_label("recvfrom on a socket");
    for word in ["Java stack", "stack", "woken from"] {
        bench.get_by_label(word);
    }
    bench.get_by_label(
        "sun.nio.ch.NioSocketImpl.read\ncom.shop.PriceClient.fetch\ncom.shop.CartServlet.doGet\njava.lang.Thread.run",
    );
    bench.get_by_label("schedule_timeout_[k]\ntcp_recvmsg_[k]\n__recv libc.so.6");
    bench.get_by_label("sock_def_readable_[k]\nnet_rx_action_[k]");
    // Of a wait for a lock only the Java stack was recorded.
    select(&mut bench, "http-nio-8080-exec-3", is_in(State::Monitor));
    bench.get_by_label("com.shop.Stock.reserve\ncom.shop.CartServlet.doGet\njava.lang.Thread.run");
    assert!(bench.query_by_label("stack").is_none() && bench.query_by_label("woken from").is_none());
}

#[test]
fn the_keyboard_goes_from_pause_to_pause_and_their_causes_are_told() {
    let mut bench = bench_with_causes();
    apply(
        &mut bench,
        Command::Show(Window {
            from_ns: 0.5e9,
            to_ns: 1.5e9,
        }),
    );
    // The first row of this name is that of the JVM's counters.
    apply(&mut bench, Command::Search("java 4711".to_owned()));
    apply(&mut bench, Command::Next { back: false });
    apply(&mut bench, Command::Next { back: false });
    press(&mut bench, Key::Period);
    bench.get_by_label("pause: ThreadDump");
    bench.get_by_label("collects nothing");
    bench.get_by_label("until all stood");
    bench.get_by_label("250 µs");
    bench.get_by_label("ThreadDump 9.75 ms");
    press(&mut bench, Key::Period);
    bench.get_by_label("GC pause: G1CollectForAllocation");
    bench.get_by_label("collects garbage");
    press(&mut bench, Key::Comma);
    bench.get_by_label("pause: ThreadDump");
    for _ in 0..20 {
        press(&mut bench, Key::Period);
    }
    bench.get_by_label("no operation was seen");
    assert!(bench.query_by_label("until all stood").is_none());
}

#[test]
fn what_a_thread_counted_on_the_screen_is_told_with_instructions_per_cycle() {
    let mut bench = bench_with_causes();
    select(&mut bench, "http-nio-8080-exec-3", |_| true);
    let counted = |bench: &Bench, told: &str| {
        bench.get_by_label(&format!("counted: {told}"));
    };
    counted(
        &bench,
        "0.75 instructions per cycle, cycles 400 M, instructions 300 M, page-faults 20",
    );
    apply(
        &mut bench,
        Command::Show(Window {
            from_ns: 0.5e9,
            to_ns: 0.7e9,
        }),
    );
    counted(
        &bench,
        "0.75 instructions per cycle, cycles 80 M, instructions 60 M, page-faults 4",
    );
    select(&mut bench, "http-nio-8080-exec-4", |_| true);
    assert!(bench.query_by_label_contains("counted: ").is_none());
}
