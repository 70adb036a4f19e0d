//! The bar at the top: what is shown, search, zoom, what one should know before trusting it.

use crate::cache::Cache;
use crate::model::describe;
use crate::model::session::{Command, Session};
use crate::model::source::Source;
use crate::model::time::length;
use crate::palette::ui;
use eframe::egui::{self, Align, Key, Layout, RichText, TextEdit};

/// Shows the bar's content.
pub fn show(ui: &mut egui::Ui, sources: &[Source], session: &Session, commands: &mut Vec<Command>) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        buttons(ui, commands);
        ui.add_space(10.0);
        search(ui, session, commands);
        ui.add_space(10.0);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| names(ui, sources));
    });
}

fn names(ui: &mut egui::Ui, sources: &[Source]) {
    ui.label(RichText::new("plumb").size(15.0).strong().color(ui::ACCENT));
    for source in sources {
        ui.add_space(6.0);
        ui.label(RichText::new(&source.label).strong());
        let about = about(source);
        ui.add(egui::Label::new(RichText::new(&about).color(ui::WEAK)).truncate())
            .on_hover_text(about);
    }
}

fn about(source: &Source) -> String {
    let info = source.query.info();
    let hosts: Vec<_> = info
        .hosts
        .iter()
        .map(|host| format!("{}, {} CPUs", host.name, host.cpus))
        .collect();
    let start = describe::wall_clock_at(source, 0.0);
    format!("{} from {start} UTC   {}", length(source.total_ns()), hosts.join("; "))
}

fn buttons(ui: &mut egui::Ui, commands: &mut Vec<Command>) {
    let mut button = |text: &str, name: &'static str, command: Command| {
        let response = ui
            .add(egui::Button::new(text).min_size(egui::vec2(24.0, 22.0)))
            .on_hover_text(name);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Button, true, name));
        if response.clicked() {
            commands.push(command);
        }
    };
    button("?", "keys (?)", Command::Help(true));
    button("Fit", "everything (Home)", Command::Fit);
    button(
        "+",
        "closer (W)",
        Command::Zoom {
            factor: 1.5,
            at_ns: None,
        },
    );
    button(
        "−",
        "farther (S)",
        Command::Zoom {
            factor: 1.0 / 1.5,
            at_ns: None,
        },
    );
}

fn search(ui: &mut egui::Ui, session: &Session, commands: &mut Vec<Command>) {
    let mut text = session.search.text().to_owned();
    let edit = TextEdit::singleline(&mut text)
        .hint_text("search: thread, counter, method   ( / )")
        .desired_width(250.0);
    let response = ui.add(edit);
    if session.focus_search {
        response.request_focus();
    }
    if response.changed() {
        commands.push(Command::Search(text));
    }
    if response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
        let back = ui.input(|input| input.modifiers.shift);
        commands.push(Command::Next { back });
    }
    let said = match (
        &session.notice,
        session.search.is_empty(),
        session.search.direct().len(),
    ) {
        (Some(notice), ..) => notice.clone(),
        (None, true, _) => return,
        (None, false, 0) => "no row of this name; Enter finds the next call".to_owned(),
        (None, false, 1) => "1 row".to_owned(),
        (None, false, count) => format!("{count} rows"),
    };
    ui.label(RichText::new(said).color(ui::FOUND));
}

/// What one should know, one line each: damage first.
pub fn cautions(sources: &[Source], cache: &Cache) -> Vec<(bool, String)> {
    let damage = cache.problems().iter().map(|line| (true, line.clone()));
    damage
        .chain(sources.iter().flat_map(describe::cautions).map(|line| (false, line)))
        .collect()
}

/// Shows the first cautions, and how many more there are.
pub fn show_cautions(ui: &mut egui::Ui, cautions: &[(bool, String)]) {
    const SHOWN: usize = 2;
    for (damage, line) in cautions.iter().take(SHOWN) {
        let colour = if *damage { ui::ALARM } else { ui::FOUND };
        ui.add(egui::Label::new(RichText::new(line).color(colour)).truncate())
            .on_hover_text(line);
    }
    let more = cautions
        .iter()
        .skip(SHOWN)
        .map(|(_, line)| line.as_str())
        .collect::<Vec<_>>();
    if !more.is_empty() {
        ui.label(RichText::new(format!("and {} more", more.len())).color(ui::WEAK))
            .on_hover_text(more.join("\n"));
    }
}
