//! The strip at the top: how busy the CPUs were over the whole timeline, and where the window is in it.

use super::bars::Bars;
use crate::model::occupancy::Overview;
use crate::model::session::Command;
use crate::model::time::{Scale, Window};
use crate::palette::{self, ui};
use crate::theme::SMALL;
use eframe::egui::{self, Align2, Color32, CursorIcon, Rect, Sense, Stroke, StrokeKind, pos2};

/// Height of the strip, points.
pub const HEIGHT: f32 = 44.0;

/// What the strip needs to know.
pub struct Strip<'a> {
    /// How busy the CPUs were.
    pub overview: &'a Overview,
    /// What is on the screen.
    pub window: Window,
    /// Length of the timeline, ns.
    pub total_ns: f64,
    /// Where it is drawn.
    pub rect: Rect,
    /// Where its time begins, points.
    pub left: f32,
}

/// Draws the strip; a click or drag in it moves the window.
pub fn show(ui: &mut egui::Ui, strip: &Strip, commands: &mut Vec<Command>) {
    let Strip {
        overview,
        window,
        total_ns,
        rect,
        left,
    } = *strip;
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 0.0, ui::PANEL);
    let lane = Rect::from_min_max(pos2(left, rect.top() + 4.0), pos2(rect.right(), rect.bottom() - 4.0));
    let scale = Scale {
        window: Window::whole(total_ns),
        left,
        width: lane.width(),
    };
    painter.rect_filled(lane, 0.0, ui::BACKGROUND);
    let label = if overview.is_empty() {
        "whole timeline"
    } else {
        "CPUs, whole timeline"
    };
    painter.text(
        pos2(rect.left() + 10.0, rect.center().y),
        Align2::LEFT_CENTER,
        label,
        SMALL,
        ui::WEAK,
    );
    draw_columns(&painter, overview, lane, scale, ui.ctx().pixels_per_point());
    draw_window(&painter, lane, scale, window);

    let response = ui.interact(lane, ui.scope_id().with("overview"), Sense::click_and_drag());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::ScrollBar, true, "overview"));
    if response.hovered() {
        ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
    }
    if let Some(pointer) = response
        .interact_pointer_pos()
        .filter(|_| response.clicked() || response.dragged())
    {
        commands.push(Command::Show(window.centred(scale.ns(pointer.x))));
    }
}

fn draw_columns(painter: &egui::Painter, overview: &Overview, lane: Rect, scale: Scale, pixels_per_point: f32) {
    let mut bars = Bars::new(pixels_per_point);
    let columns = overview.columns();
    for (number, column) in columns.columns.iter().enumerate() {
        let from_ns = columns.from_ns + number as f64 * columns.step_ns;
        let (left, right) = (scale.x(from_ns), scale.x(from_ns + columns.step_ns));
        stack(&mut bars, lane, left, right, column);
    }
    bars.paint(painter);
}

/// Draws a column's parts on top of each other, from the bottom.
pub fn stack(bars: &mut Bars, lane: Rect, left: f32, right: f32, parts: &[f32]) {
    let mut bottom = lane.bottom();
    for (shade, part) in parts.iter().enumerate().filter(|(_, part)| **part > 0.004) {
        let top = (bottom - part.min(1.0) * lane.height()).max(lane.top());
        bars.add(
            Rect::from_min_max(pos2(left, top), pos2(right, bottom)),
            palette::shade(shade),
        );
        bottom = top;
    }
}

fn draw_window(painter: &egui::Painter, lane: Rect, scale: Scale, window: Window) {
    let (from, to) = (
        scale.x(window.from_ns),
        scale.x(window.to_ns).max(scale.x(window.from_ns) + 2.0),
    );
    let veil = Color32::from_black_alpha(150);
    painter.rect_filled(Rect::from_min_max(lane.min, pos2(from, lane.bottom())), 0.0, veil);
    painter.rect_filled(Rect::from_min_max(pos2(to, lane.top()), lane.max), 0.0, veil);
    let frame = Rect::from_min_max(pos2(from, lane.top()), pos2(to, lane.bottom()));
    painter.rect_stroke(frame, 0.0, Stroke::new(1.0, ui::ACCENT), StrokeKind::Inside);
}
