//! What is selected: everything known about it, and what its thread did in the window.

use super::tooltip::{facts, title};
use crate::draw::bars::Bars;
use crate::model::counter;
use crate::model::describe::{self, Fact};
use crate::model::pauses;
use crate::model::session::{Command, Selected, Selection, Session, lane_of};
use crate::model::source::Source;
use crate::model::time::{length, percent};
use crate::model::tree::{Lane, Tree};
use crate::palette::{self, ui};
use eframe::egui::{self, Rect, RichText, Sense, pos2, vec2};
use plumb_trace::State;
use plumb_trace::timeline::{Slice, Totals, TrackId};

/// Height of the panel, points.
pub const HEIGHT: f32 = 168.0;
/// Width of a column, points.
const COLUMN: f32 = 400.0;

/// Shows the panel's content.
pub fn show(
    ui: &mut egui::Ui,
    selection: &Selection,
    scene: (&[Source], &Tree, &Session),
    commands: &mut Vec<Command>,
) {
    let (sources, tree, session) = scene;
    let source = &sources[selection.key.source()];
    let Some(lane) = lane_of(tree, selection.key) else {
        return;
    };
    ui.horizontal_top(|ui| {
        column(ui, |ui| selected(ui, selection, source, lane));
        ui.separator();
        match lane {
            Lane::Thread(thread, _) => {
                let has_stacks = slept(ui, selection, source, thread);
                // In a narrow window what was asked for last goes before what is the same for the whole thread.
                if !has_stacks || ui.available_width() >= 2.0 * COLUMN {
                    column(ui, |ui| who(ui, source, thread));
                    ui.separator();
                }
                ui.vertical(|ui| totals(ui, source, thread, session));
            }
            Lane::Counter(track) => drop(ui.vertical(|ui| about_counter(ui, source, track, session))),
            Lane::Pauses(jvm) => {
                if let Selected::Call(pause) = selection.what {
                    let known = pauses::operations(source, jvm, &pause);
                    column(ui, |ui| facts(ui, "selected operations", &known));
                }
            }
            Lane::Empty | Lane::Cpu(_) => {}
        }
    });
    let corner = Rect::from_min_size(ui.max_rect().right_top() - vec2(22.0, 0.0), vec2(22.0, 20.0));
    let close = ui
        .put(corner, egui::Button::new(RichText::new("×").size(18.0)).frame(false))
        .on_hover_text("close (Esc)");
    if close.clicked() {
        commands.push(Command::Select(None));
    }
}

fn column(ui: &mut egui::Ui, content: impl FnOnce(&mut egui::Ui)) {
    ui.vertical(|ui| {
        ui.set_width(COLUMN.min(ui.available_width()));
        egui::ScrollArea::vertical().id_salt(ui.next_auto_id()).show(ui, |ui| {
            content(ui);
        });
    });
}

/// Where it slept, beside what else is known of the interval; whether anything is known.
fn slept(ui: &mut egui::Ui, selection: &Selection, source: &Source, thread: TrackId) -> bool {
    let Selected::State(interval) = selection.what else {
        return false;
    };
    let stacks = describe::stacks(source, thread, &interval);
    if !stacks.is_empty() {
        column(ui, |ui| facts(ui, "selected stacks", &stacks));
        ui.separator();
    }
    !stacks.is_empty()
}

/// Shortest stretch whose counters are told, ns: they are written at the ends of slices on a CPU, once a millisecond at the most.
const COUNTED_NS_MIN: u64 = 10_000_000;

fn selected(ui: &mut egui::Ui, selection: &Selection, source: &Source, lane: Lane) {
    match (selection.what, lane) {
        (Selected::State(interval), Lane::Thread(thread, _)) => {
            let state = interval.state;
            title(ui, palette::state(state).colour, state.name(), describe::meaning(state));
            let mut known = describe::interval(source, thread, &interval);
            known.push(clock(source, interval.start_ns));
            facts(ui, "selected interval", &known);
        }
        (Selected::Value(step), Lane::Counter(track)) => {
            let Some(counter) = counter::of(source, track) else {
                return;
            };
            title(ui, palette::counter(counter.kind()), &counter.label(), "");
            let mut known = describe::step(source, &counter, &step);
            known.push(clock(source, step.start_ns));
            facts(ui, "selected interval", &known);
        }
        (Selected::Call(slice), lane) => {
            let name = source.query.string(slice.name);
            let mut known = if let Lane::Pauses(_) = lane {
                title(
                    ui,
                    palette::state(State::Pause).colour,
                    name,
                    "all threads of the JVM stand",
                );
                pauses::facts(source, &slice)
            } else {
                title(ui, palette::method(name), name, "");
                call(source, lane, &slice)
            };
            known.push(clock(source, slice.start_ns));
            facts(ui, "selected interval", &known);
        }
        (Selected::Row | Selected::State(_) | Selected::Value(_), _) => {
            ui.label(RichText::new("no interval selected").color(ui::WEAK));
            ui.label(RichText::new("click a bar of the row to see what it is").color(ui::WEAK));
        }
    }
}

/// What is known of a call, with what its thread counted meanwhile.
fn call(source: &Source, lane: Lane, slice: &Slice) -> Vec<Fact> {
    let mut known = describe::call_of(source, slice);
    if let Lane::Thread(thread, _) = lane
        && slice.end_ns.saturating_sub(slice.start_ns) >= COUNTED_NS_MIN
        && let Ok(Some(value)) = describe::counted(source, thread, (slice.start_ns, slice.end_ns))
    {
        known.push(Fact { word: "counted", value });
    }
    known
}

fn clock(source: &Source, absolute_ns: u64) -> Fact {
    Fact {
        word: "clock (UTC)",
        value: describe::wall_clock_at(source, source.since_start_ns(absolute_ns)),
    }
}

fn who(ui: &mut egui::Ui, source: &Source, thread: TrackId) {
    let name = source.track(thread).map_or("", |track| &track.name);
    ui.label(RichText::new(name).strong());
    facts(ui, "selected thread", &describe::thread(source, thread));
}

/// What a counter is, and its values on the screen.
fn about_counter(ui: &mut egui::Ui, source: &Source, track: TrackId, session: &Session) {
    let Some(counter) = counter::of(source, track) else {
        return;
    };
    ui.label(RichText::new(counter.label()).strong());
    let window = session.window;
    let absolute = (source.absolute_ns(window.from_ns), source.absolute_ns(window.to_ns));
    let pixel_ns = (window.span_ns() / 1000.0) as u64;
    let mut known = describe::counter(&counter);
    match counter::steps(source, track, absolute, pixel_ns) {
        Ok(steps) => {
            let said =
                counter::summary(&steps, absolute).map_or("no value".to_owned(), |sum| counter.written_summary(&sum));
            known.push(Fact {
                word: "on the screen",
                value: said,
            });
        }
        Err(error) => {
            ui.colored_label(ui::ALARM, error.to_string());
        }
    }
    facts(ui, "selected counter", &known);
}

fn totals(ui: &mut egui::Ui, source: &Source, thread: TrackId, session: &Session) {
    let window = session.window;
    let answer = source.query.totals(
        thread,
        source.absolute_ns(window.from_ns),
        source.absolute_ns(window.to_ns),
    );
    let totals = match answer {
        Ok(totals) => totals,
        Err(error) => {
            ui.colored_label(ui::ALARM, error.to_string());
            return;
        }
    };
    let span = length(window.span_ns() as u64);
    ui.label(RichText::new(format!("what it did in the {span} on the screen")).strong());
    bar(ui, &totals);
    shares(ui, &totals);
    let prorated = if totals.prorated {
        "; stolen time at the edges is prorated"
    } else {
        ""
    };
    let switches = format!(
        "left its CPU {} by its own will, {} not; {}{prorated}",
        times(totals.voluntary),
        times(totals.involuntary),
        describe::count(totals.migrations as usize, "migration")
    );
    ui.label(RichText::new(switches).color(ui::WEAK));
    let absolute = (source.absolute_ns(window.from_ns), source.absolute_ns(window.to_ns));
    match describe::counted(source, thread, absolute) {
        Ok(None) => {}
        Ok(Some(counted)) => drop(ui.label(format!("counted: {counted}"))),
        Err(error) => drop(ui.colored_label(ui::ALARM, error.to_string())),
    }
}

fn times(number: u64) -> String {
    describe::count(number as usize, "time")
}

fn bar(ui: &mut egui::Ui, totals: &Totals) {
    const MARGIN: f32 = 34.0;
    let width = (ui.available_width() - MARGIN).max(80.0);
    let (place, response) = ui.allocate_exact_size(vec2(width, 16.0), Sense::hover());
    let mut bars = Bars::new(ui.ctx().pixels_per_point());
    let mut left = place.left();
    let mut spoken = Vec::new();
    for state in State::ALL {
        let part = totals.states.get(state) as f64 / totals.states.sum().max(1) as f64;
        if part <= 0.0 {
            continue;
        }
        let right = left + part as f32 * place.width();
        let rect = Rect::from_min_max(pos2(left, place.top()), pos2(right, place.bottom()));
        let look = palette::state(state);
        match look.hatched {
            true => bars.hatch(rect, look.colour),
            false => bars.add(rect, look.colour),
        }
        left = right;
        spoken.push(format!("{} {}", state.name(), percent(part)));
    }
    bars.paint(ui.painter());
    let name = format!("totals: {}", spoken.join(", "));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Meter, true, &name));
}

fn shares(ui: &mut egui::Ui, totals: &Totals) {
    ui.horizontal_wrapped(|ui| {
        for (state, share) in describe::shares(totals) {
            let (square, _) = ui.allocate_exact_size(vec2(9.0, 9.0), Sense::hover());
            ui.painter().rect_filled(square, 2.0, palette::state(state).colour);
            let text = format!(
                "{} {} ({})",
                state.name(),
                percent(share),
                length(totals.states.get(state))
            );
            ui.label(text);
            ui.add_space(6.0);
        }
    });
}
