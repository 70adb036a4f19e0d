//! The time axis, and its lines through the rows.

use super::text;
use crate::model::time::{Scale, instant, length, tick_step_ns, ticks_ns};
use crate::palette::ui;
use crate::theme::SMALL;
use eframe::egui::{Painter, Rect, Stroke, pos2};

/// Points between two labels, at the least.
const LABEL_DISTANCE: f64 = 112.0;

/// Height of the axis, points.
pub const HEIGHT: f32 = 24.0;

/// Draws the axis: labels at round times, five smaller steps between them.
pub fn draw(painter: &Painter, axis: Rect, scale: Scale) {
    painter.rect_filled(axis, 0.0, ui::PANEL);
    let step_ns = tick_step_ns(scale.ns_per_point() * LABEL_DISTANCE);
    let lanes = Rect::from_min_max(pos2(scale.left, axis.top()), axis.right_bottom());
    let clipped = painter.with_clip_rect(lanes);
    for ns in ticks_ns(scale.window, step_ns / 5.0) {
        let x = scale.x(ns);
        clipped.vline(x, axis.bottom() - 4.0..=axis.bottom(), Stroke::new(1.0, ui::GRID));
    }
    for ns in ticks_ns(scale.window, step_ns) {
        let x = scale.x(ns);
        clipped.vline(x, axis.bottom() - 9.0..=axis.bottom(), Stroke::new(1.0, ui::WEAK));
        let galley = clipped.layout_no_wrap(instant(ns, step_ns), SMALL, ui::WEAK);
        let place = pos2(x + 4.0, axis.center().y - 2.0 - galley.size().y / 2.0);
        if place.x + galley.size().x < axis.right() {
            clipped.galley(place, galley, ui::WEAK);
        }
    }
    let span = format!("window {}", length(scale.window.span_ns() as u64));
    let corner = pos2(axis.left() + 10.0, axis.center().y);
    text::fitted(
        painter,
        corner,
        scale.left - axis.left() - 20.0,
        &span,
        &SMALL,
        ui::WEAK,
    );
    painter.hline(axis.x_range(), axis.bottom(), Stroke::new(1.0, ui::LINE));
}

/// Draws the axis's lines through the rows.
pub fn grid(painter: &Painter, rows: Rect, scale: Scale) {
    let step_ns = tick_step_ns(scale.ns_per_point() * LABEL_DISTANCE);
    for ns in ticks_ns(scale.window, step_ns) {
        painter.vline(scale.x(ns).round() + 0.5, rows.y_range(), Stroke::new(1.0, ui::GRID));
    }
}
