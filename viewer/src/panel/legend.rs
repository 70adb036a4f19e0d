//! All states, as they are drawn.

use crate::draw::bars::Bars;
use crate::model::describe;
use crate::palette::{self, ui};
use eframe::egui::{self, Align2, FontFamily, FontId, Rect, Sense, pos2, vec2};
use plumb_trace::State;

const FONT: FontId = FontId::new(11.5, FontFamily::Proportional);

/// Height of a line of the legend, points.
const LINE: f32 = 20.0;
/// Side of a state's mark, points.
const MARK: f32 = 14.0;
/// Room between a mark and its name, and between a name and the next mark, points.
const GAPS: (f32, f32) = (6.0, 16.0);

/// The legend's states and where they go.
pub struct Legend {
    entries: Vec<(State, Rect)>,
    /// Height that it needs, points.
    pub height: f32,
}

/// Lays the legend out in as many lines as it needs.
pub fn layout(ui: &egui::Ui, width: f32) -> Legend {
    // Stolen time is no state of its own: it is told in tooltip and totals.
    let states = State::ALL.into_iter().filter(|state| *state != State::Stolen);
    let mut at = pos2(0.0, 0.0);
    let mut entries = Vec::new();
    for state in states {
        let text = ui.painter().layout_no_wrap(state.name().to_owned(), FONT, ui::WEAK);
        let entry = vec2(MARK + GAPS.0 + text.size().x, LINE);
        if at.x > 0.0 && at.x + entry.x > width {
            at = pos2(0.0, at.y + LINE);
        }
        entries.push((state, Rect::from_min_size(at, entry)));
        at.x += entry.x + GAPS.1;
    }
    Legend {
        entries,
        height: at.y + LINE,
    }
}

/// Shows the legend.
pub fn show(ui: &mut egui::Ui, legend: &Legend) {
    let origin = ui.max_rect().min.to_vec2();
    let mut bars = Bars::new(ui.ctx().pixels_per_point());
    for (state, place) in &legend.entries {
        let place = place.translate(origin);
        mark(
            &mut bars,
            *state,
            Rect::from_center_size(place.left_center() + vec2(MARK / 2.0, 0.0), vec2(MARK, MARK - 2.0)),
        );
        let text = place.left_center() + vec2(MARK + GAPS.0, 0.0);
        ui.painter()
            .text(text, Align2::LEFT_CENTER, state.name(), FONT, ui::WEAK);
        let response = ui.interact(place, egui::Id::unique(("legend", state.name())), Sense::hover());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, state.name()));
        response.on_hover_text(describe::meaning(*state));
    }
    bars.paint(ui.painter());
}

fn mark(bars: &mut Bars, state: State, square: Rect) {
    let look = palette::state(state);
    let top = square.bottom() - square.height() * look.height;
    bars.add(square, ui::BACKGROUND);
    match look.hatched {
        true => bars.hatch(square.with_min_y(top), look.colour),
        false => bars.add(square.with_min_y(top), look.colour),
    }
}
