//! The look of egui's own widgets: dark, flat, dense.

use crate::palette::ui;
use eframe::egui::{self, Color32, CornerRadius, FontFamily, FontId, Stroke, TextStyle};

/// Text in bars, on the axis.
pub const SMALL: FontId = FontId::new(11.0, FontFamily::Proportional);
/// Labels of rows.
pub const LABEL: FontId = FontId::new(12.5, FontFamily::Proportional);

/// Puts the look in place.
pub fn install(ctx: &egui::Context) {
    ctx.set_theme(egui::Theme::Dark);
    ctx.options_mut(|options| options.zoom_with_keyboard = false);
    ctx.all_styles_mut(|style| {
        let size = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles.insert(TextStyle::Body, size(12.5));
        style.text_styles.insert(TextStyle::Button, size(12.5));
        style.text_styles.insert(TextStyle::Small, size(11.0));
        style.text_styles.insert(TextStyle::Heading, size(15.0));
        style.spacing.item_spacing = egui::vec2(8.0, 4.0);
        style.spacing.tooltip_width = 420.0;
        style.visuals = visuals();
    });
}

fn visuals() -> egui::Visuals {
    let mut visuals = egui::Visuals::dark();
    visuals.panel_fill = ui::PANEL;
    visuals.window_fill = Color32::from_rgb(0x20, 0x25, 0x2e);
    visuals.window_stroke = Stroke::new(1.0, Color32::from_rgb(0x3a, 0x42, 0x50));
    visuals.extreme_bg_color = ui::BACKGROUND;
    visuals.weak_text_color = Some(ui::WEAK);
    visuals.hyperlink_color = ui::ACCENT;
    visuals.selection.bg_fill = ui::SELECTED;
    visuals.selection.stroke = Stroke::new(1.0, ui::ACCENT);
    visuals.widgets.noninteractive.fg_stroke.color = ui::TEXT;
    visuals.widgets.noninteractive.bg_stroke.color = ui::LINE;
    for widget in [
        &mut visuals.widgets.inactive,
        &mut visuals.widgets.hovered,
        &mut visuals.widgets.active,
    ] {
        widget.corner_radius = CornerRadius::same(4);
        widget.fg_stroke.color = ui::TEXT;
    }
    visuals.widgets.inactive.weak_bg_fill = ui::HOVERED;
    visuals
}
