//! Everything known about what the pointer is over.

use crate::model::counter::{self, Step};
use crate::model::describe::{self, Fact};
use crate::model::pauses;
use crate::model::source::Source;
use crate::model::time::{length, percent};
use crate::model::tree::{Lane, Node};
use crate::palette::{self, ui};
use crate::pick::Hit;
use eframe::egui::{self, Color32, PopupAnchor, RichText, Sense, vec2};
use plumb_trace::timeline::{Occupancy, ProcessId, TrackId, Unit};
use plumb_trace::{State, timeline};

/// Shows it beside the pointer.
pub fn show(ui: &egui::Ui, source: &Source, node: &Node, hit: &Hit) {
    let id = ui.scope_id().with("lane tooltip");
    let tip = egui::Tooltip::always_open(ui.ctx().clone(), ui.layer_id(), id, PopupAnchor::Pointer);
    tip.gap(14.0).show(|ui| content(ui, source, node, hit));
}

fn content(ui: &mut egui::Ui, source: &Source, node: &Node, hit: &Hit) {
    match hit {
        Hit::State {
            thread,
            interval,
            unit,
            pixel,
        } => state(ui, source, *thread, interval, *unit, pixel.as_deref()),
        Hit::Call(slice) => {
            let name = source.query.string(slice.name);
            title(ui, palette::method(name), name, &node.label);
            facts(ui, "tip", &describe::call_of(source, slice));
        }
        Hit::Pause(slice) => {
            title(
                ui,
                palette::state(State::Pause).colour,
                source.query.string(slice.name),
                "pause of the JVM",
            );
            let Lane::Pauses(jvm) = node.lane else { return };
            let mut known = pauses::facts(source, slice);
            known.extend(pauses::operations(source, jvm, slice));
            facts(ui, "tip", &known);
        }
        Hit::Occupancy { here, pixel } => occupancy(ui, source, here, pixel),
        Hit::Counter(step) => counter(ui, source, node, step),
        Hit::Loss(loss) => lost(ui, loss),
    }
}

fn state(
    ui: &mut egui::Ui,
    source: &Source,
    thread: TrackId,
    interval: &timeline::StateInterval,
    unit: Option<Unit>,
    pixel: Option<&timeline::Totals>,
) {
    title(
        ui,
        palette::state(interval.state).colour,
        interval.state.name(),
        describe::meaning(interval.state),
    );
    let mut known = vec![Fact {
        word: "thread",
        value: source.thread_title(thread),
    }];
    known.extend(describe::interval(source, thread, interval));
    known.extend(unit.map(|unit| describe::unit(source, &unit)));
    if let Some(totals) = pixel {
        let parts = describe::shares(totals).into_iter().take(4);
        let parts: Vec<_> = parts
            .map(|(state, share)| format!("{} {}", state.name(), percent(share)))
            .collect();
        known.push(Fact {
            word: "in this pixel",
            value: parts.join(", "),
        });
    }
    facts(ui, "tip", &known);
}

fn counter(ui: &mut egui::Ui, source: &Source, node: &Node, step: &Step) {
    let Lane::Counter(track) = node.lane else { return };
    let Some(counter) = counter::of(source, track) else {
        return;
    };
    title(ui, palette::counter(counter.kind()), &node.label, counter.meaning());
    facts(ui, "tip", &describe::step(source, &counter, step));
}

fn occupancy(ui: &mut egui::Ui, source: &Source, each: &Occupancy, pixel: &[(ProcessId, f64)]) {
    let name = each
        .track
        .and_then(|track| source.track(track))
        .map_or("idle", |track| &track.name);
    let process = each
        .track
        .and_then(|track| source.track(track))
        .map(|track| source.process_title(track.process));
    title(ui, ui::WEAK, name, "had the CPU");
    let mut known: Vec<Fact> = process
        .into_iter()
        .map(|value| Fact { word: "process", value })
        .collect();
    known.push(Fact {
        word: "length",
        value: length(each.end_ns.saturating_sub(each.start_ns)),
    });
    if !pixel.is_empty() {
        const NAMED_MAX: usize = 4;
        let named = pixel.iter().take(NAMED_MAX);
        let named: Vec<_> = named
            .map(|(process, part)| format!("{} {}", source.process_title(*process), percent(*part)))
            .collect();
        known.push(Fact {
            word: "in this pixel",
            value: format!("about {}", named.join(", ")),
        });
    }
    facts(ui, "tip", &known);
}

fn lost(ui: &mut egui::Ui, loss: &timeline::Loss) {
    title(ui, ui::ALARM, "lost", "records are missing here");
    let count = loss
        .events
        .map_or("an unknown number".to_owned(), |events| events.to_string());
    let known = [
        Fact {
            word: "stream",
            value: loss.stream.clone(),
        },
        Fact {
            word: "events",
            value: count,
        },
        Fact {
            word: "length",
            value: length(loss.to_ns.saturating_sub(loss.from_ns)),
        },
    ];
    facts(ui, "tip", &known);
}

/// A coloured square, a name, and what it means.
pub fn title(ui: &mut egui::Ui, colour: Color32, name: &str, meaning: &str) {
    ui.horizontal(|ui| {
        let (square, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
        ui.painter().rect_filled(square, 2.0, colour);
        ui.label(RichText::new(name).strong());
        ui.label(RichText::new(meaning).color(ui::WEAK));
    });
}

/// Words and values in two columns.
pub fn facts(ui: &mut egui::Ui, id: &str, facts: &[Fact]) {
    egui::Grid::new(id)
        .num_columns(2)
        .spacing(vec2(14.0, 2.0))
        .show(ui, |ui| {
            for fact in facts {
                word(ui, fact);
                ui.label(&fact.value);
                ui.end_row();
            }
        });
}

/// Beside the first line of its value: a grid would put it beside the middle one.
fn word(ui: &mut egui::Ui, fact: &Fact) {
    let word = egui::Label::new(RichText::new(fact.word).color(ui::WEAK)).extend();
    let lines = fact.value.lines().count();
    if lines < 2 {
        ui.add(word);
        return;
    }
    let height = ui.text_style_height(&egui::TextStyle::Body) * lines as f32;
    ui.vertical(|ui| {
        ui.set_min_height(height);
        ui.add(word);
    });
}
