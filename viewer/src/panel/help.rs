//! The page of keys.

use crate::model::session::Command;
use crate::palette::ui;
use eframe::egui::{self, RichText};

const KEYS: &[(&str, &str)] = &[
    ("Ctrl + wheel, W / S, + / −", "zoom in and out"),
    ("drag, A / D, Left / Right", "move in time"),
    ("Shift + wheel", "move in time"),
    ("wheel, Up / Down, Page up / down", "move through the rows"),
    ("Shift + drag", "zoom to a stretch"),
    ("F, double click", "zoom to what is selected, or to everything"),
    ("Home, 0", "everything"),
    ("click", "select: details at the bottom"),
    ("Tab, then Space", "go through buttons and rows; open or select one"),
    (". and ,", "next and previous interval or value of the selected row"),
    ("/ or Ctrl + F", "search for processes, threads, counters, methods"),
    ("Enter, Shift + Enter, N", "next and previous one found"),
    ("Esc", "leave search, selection, this page"),
    ("?", "this page"),
];

/// Shows the page.
pub fn show(ctx: &egui::Context, commands: &mut Vec<Command>) {
    let mut open = true;
    let window = egui::Window::new("Keys and pointer")
        .collapsible(false)
        .resizable(false)
        .open(&mut open);
    window.anchor(egui::Align2::CENTER_CENTER, egui::Vec2::ZERO).show(ctx, |ui| {
        egui::Grid::new("keys").num_columns(2).spacing(egui::vec2(28.0, 6.0)).show(ui, |ui| {
            for (keys, what) in KEYS {
                ui.label(RichText::new(*keys).color(ui::ACCENT));
                ui.label(*what);
                ui.end_row();
            }
        });
        ui.add_space(8.0);
        ui.label(RichText::new("A low bar waits by its own will, a middle one is blocked in the kernel, a full one has or wants a CPU.").color(ui::WEAK));
        ui.label(RichText::new("The line above a bar: the thread does a unit of work. Times count from the timeline's start.").color(ui::WEAK));
    });
    if !open {
        commands.push(Command::Help(false));
    }
}
