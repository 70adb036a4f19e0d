//! Where rows lie, and their labels.

use super::lanes::CALL_HEIGHT;
use super::text;
use crate::model::session::{Command, Selected, Selection, Session};
use crate::model::tree::{Key, Lane, Node, Tree};
use crate::palette::{self, ui};
use crate::theme::LABEL;
use eframe::egui::{self, Align2, Color32, FontId, Painter, Rect, Sense, Shape, Stroke, StrokeKind, pos2, vec2};

/// Height of a row without calls, points.
pub const ROW_HEIGHT: f32 = 22.0;
/// Height of a counter's row, points.
const COUNTER_HEIGHT: f32 = 34.0;
/// Height of a row's bars, points.
const BAR_HEIGHT: f32 = 16.0;
/// Room for what stands right of a label, points.
const NOTE_WIDTH_MAX: f32 = 150.0;

/// A row on the screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its node.
    pub node: usize,
    /// Label and lane.
    pub rect: Rect,
}

/// The part of a row where its bars are.
pub fn bar(row: Rect) -> Rect {
    let top = row.top() + ROW_HEIGHT - BAR_HEIGHT - 2.0;
    Rect::from_min_max(pos2(row.left(), top), pos2(row.right(), top + BAR_HEIGHT))
}

/// The part of a counter's row where its chart is.
pub fn chart(row: Rect) -> Rect {
    Rect::from_min_max(pos2(row.left(), row.top() + 2.0), pos2(row.right(), row.bottom() - 2.0))
}

fn height(session: &Session, node: &Node) -> f32 {
    if let Lane::Counter(_) = node.lane {
        return COUNTER_HEIGHT;
    }
    let calls = session.call_lanes.get(&node.key).copied().unwrap_or(0);
    let gap = if calls > 0 { 4.0 } else { 0.0 };
    ROW_HEIGHT + f32::from(calls) * CALL_HEIGHT + gap
}

/// Rows that are on the screen, and what the scroll has to be so that no empty space is shown, and the revealed row is.
pub struct Layout {
    /// The rows, from the top.
    pub rows: Vec<Row>,
    /// Height of all rows, on the screen or not, points.
    pub total: f32,
    /// The scroll, as it is and as it should be.
    pub scroll: f32,
}

/// Lays out the rows in an area.
pub fn layout(session: &Session, tree: &Tree, area: Rect) -> Layout {
    let numbers = session.rows(tree);
    let mut tops = Vec::with_capacity(numbers.len() + 1);
    let mut total = 0.0;
    for &number in &numbers {
        tops.push(total);
        total += height(session, &tree.nodes[number]);
    }
    tops.push(total);
    let revealed = session
        .reveal
        .and_then(|key| numbers.iter().position(|&number| tree.nodes[number].key == key));
    let wanted = match revealed.map(|place| (tops[place], tops[place + 1])) {
        Some((top, bottom)) if top < session.scroll || bottom > session.scroll + area.height() => {
            top - area.height() / 3.0
        }
        _ => session.scroll,
    };
    let scroll = wanted.clamp(0.0, (total - area.height()).max(0.0));
    let first = tops.partition_point(|top| *top <= scroll).saturating_sub(1);
    let on_screen = (first..numbers.len()).take_while(|&place| tops[place] < scroll + area.height());
    let place_row = |place: usize| {
        let top = (area.top() + tops[place] - scroll).round();
        let bottom = (area.top() + tops[place + 1] - scroll).round();
        Row {
            node: numbers[place],
            rect: Rect::from_min_max(pos2(area.left(), top), pos2(area.right(), bottom)),
        }
    };
    Layout {
        rows: on_screen.map(place_row).collect(),
        total,
        scroll,
    }
}

fn is_heading(node: &Node) -> bool {
    !matches!(node.key, Key::Track(..))
}

/// Draws what is behind a row.
pub fn background(painter: &Painter, row: Row, node: &Node, session: &Session, hovered: bool, split: f32) {
    let selected = session.selection.is_some_and(|selection| selection.key == node.key);
    let label = row.rect.with_max_x(split);
    let found = !session.search.is_empty() && session.search.direct().contains(&node.key);
    let colour = match (selected, hovered, is_heading(node)) {
        (true, ..) => ui::SELECTED,
        (_, true, _) => ui::HOVERED,
        (_, _, true) => ui::HEADING,
        _ => ui::PANEL,
    };
    painter.rect_filled(label, 0.0, colour);
    if is_heading(node) {
        painter.rect_filled(row.rect.with_min_x(split), 0.0, ui::HEADING.gamma_multiply(0.55));
    }
    if found {
        painter.rect_filled(label.with_max_x(label.left() + 3.0), 0.0, ui::FOUND);
    }
    painter.hline(row.rect.x_range(), row.rect.bottom() - 0.5, Stroke::new(1.0, ui::LINE));
}

/// Draws a row's label and takes clicks on it. `value` is what a counter has to say.
pub fn label(
    ui: &mut egui::Ui,
    row: Row,
    node: &Node,
    value: Option<&str>,
    session: &Session,
    commands: &mut Vec<Command>,
) {
    let place = row.rect.with_max_x(row.rect.left() + session.label_width - 4.0);
    let height = if value.is_some() { COUNTER_HEIGHT } else { ROW_HEIGHT };
    let place = place.with_max_y(place.top() + height).intersect(ui.clip_rect());
    if !place.is_positive() {
        return;
    }
    let painter = ui.painter().with_clip_rect(
        row.rect
            .with_max_x(row.rect.left() + session.label_width)
            .intersect(ui.clip_rect()),
    );
    draw_label(&painter, row, node, value.unwrap_or(&node.note), session);
    let response = ui.interact(place, egui::Id::unique(("row", node.key)), Sense::click());
    describe(ui.ctx(), &response, node, value, session);
    if response.has_focus() {
        painter.rect_stroke(place.shrink(1.0), 2.0, Stroke::new(1.0, ui::ACCENT), StrokeKind::Inside);
    }
    if response.clicked() {
        commands.push(match is_heading(node) {
            true => Command::Toggle(node.key),
            false => Command::Select(Some(Selection {
                key: node.key,
                what: Selected::Row,
            })),
        });
    }
}

/// What a screen reader is told of a row.
fn describe(ctx: &egui::Context, response: &egui::Response, node: &Node, value: Option<&str>, session: &Session) {
    let selected = session.selection.is_some_and(|selection| selection.key == node.key);
    let name = format!("{}  {}", node.label, node.note);
    response.widget_info(|| {
        let role = egui::accesskit::Role::TreeItem;
        let mut info = egui::WidgetInfo::selected(role, true, selected, name.trim_end());
        info.current_text_value = value.map(str::to_owned);
        info
    });
    if is_heading(node) {
        let open = session.search.rows().is_some() || session.is_open(node);
        ctx.accesskit_node_builder(response.id, |builder| builder.set_expanded(open));
    }
}

fn draw_label(painter: &Painter, row: Row, node: &Node, note: &str, session: &Session) {
    const INDENT: f32 = 14.0;
    let height = match node.lane {
        Lane::Counter(_) => COUNTER_HEIGHT,
        _ => ROW_HEIGHT,
    };
    let middle = row.rect.top() + height / 2.0;
    let mut left = row.rect.left() + 10.0 + node.depth as f32 * INDENT;
    if is_heading(node) {
        let open = session.search.rows().is_some() || session.is_open(node);
        painter.add(triangle(left + 4.0, middle, open));
    }
    left += 15.0;
    if let Some(shade) = node.shade {
        let chip = Rect::from_center_size(pos2(left + 4.0, middle), vec2(8.0, 8.0));
        painter.rect_filled(chip, 2.0, palette::shade(shade));
        left += 14.0;
    }
    let right = row.rect.left() + session.label_width - 10.0;
    let note_width = painter
        .text(
            pos2(right, middle),
            Align2::RIGHT_CENTER,
            note,
            FontId::proportional(11.0),
            ui::WEAK,
        )
        .width();
    let room = right - left - note_width.min(NOTE_WIDTH_MAX) - 8.0;
    text::fitted(
        painter,
        pos2(left, middle),
        room,
        &node.label,
        &LABEL,
        label_colour(node),
    );
}

fn label_colour(node: &Node) -> Color32 {
    match (node.key, node.lane) {
        (Key::Group(..), _) if node.serves => ui::ACCENT,
        (Key::Track(..), Lane::Cpu(_) | Lane::Counter(_)) => ui::WEAK,
        _ => ui::TEXT,
    }
}

/// The mark of a heading: points down when it is open.
fn triangle(x: f32, y: f32, open: bool) -> Shape {
    let corners = match open {
        true => [vec2(-4.0, -2.5), vec2(4.0, -2.5), vec2(0.0, 3.5)],
        false => [vec2(-2.5, -4.0), vec2(3.5, 0.0), vec2(-2.5, 4.0)],
    };
    let points = corners.map(|corner| pos2(x, y) + corner).to_vec();
    Shape::convex_polygon(points, ui::WEAK, Stroke::NONE)
}
