//! The middle of the window: overview, axis, rows, and what the pointer does there.

use super::lanes::Brush;
use super::rows::{self, Layout, Row};
use super::{axis, overview};
use crate::cache::Cache;
use crate::model::occupancy::Overview;
use crate::model::session::{Command, LABEL_WIDTH, Selected, Selection, Session};
use crate::model::source::Source;
use crate::model::time::{Scale, Window, instant, length};
use crate::model::tree::{Lane, Tree};
use crate::palette::ui;
use crate::panel::tooltip;
use crate::pick;
use crate::theme::SMALL;
use eframe::egui::{self, Align2, Color32, CursorIcon, Painter, Pos2, Rect, Sense, Stroke, StrokeKind, pos2, vec2};
use std::collections::HashMap;

/// What is drawn.
pub struct Scene<'a> {
    /// The timelines.
    pub sources: &'a [Source],
    /// Their rows.
    pub tree: &'a Tree,
    /// What the user did to the window.
    pub session: &'a Session,
    /// CPUs over the whole timeline.
    pub overview: &'a Overview,
}

struct Places {
    scale: Scale,
    split: f32,
    axis: Rect,
    rows: Rect,
    lanes: Rect,
}

/// Draws everything and gathers what the user wants.
pub fn show(ui: &mut egui::Ui, scene: &Scene, cache: &mut Cache, commands: &mut Vec<Command>) {
    let area = ui.available_rect_before_wrap();
    ui.painter().rect_filled(area, 0.0, ui::BACKGROUND);
    let places = places(area, scene.session);
    let strip = overview::Strip {
        overview: scene.overview,
        window: scene.session.window,
        total_ns: scene.session.total_ns,
        rect: area.with_max_y(area.top() + overview::HEIGHT),
        left: places.split,
    };
    overview::show(ui, &strip, commands);
    axis::draw(&ui.painter_at(places.axis), places.axis, places.scale);
    let layout = rows::layout(scene.session, scene.tree, places.rows);
    if scene.session.reveal.is_some() || layout.scroll != scene.session.scroll {
        commands.push(Command::ScrollTo(layout.scroll));
    }
    let response = ui.interact(places.lanes, ui.scope_id().with("lanes"), Sense::click_and_drag());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Canvas, true, "timeline"));
    let pointer = response.hover_pos();
    draw_rows(ui, scene, &places, &layout, pointer, cache, commands);
    splitter(ui, &places, scene.session, commands);
    steer(ui, &response, scene, &places, commands);
    if let Some(at) = pointer.filter(|_| !response.dragged()) {
        let pointer = Pointer {
            at,
            clicked: response.clicked(),
        };
        hover(ui, scene, &places, &layout, &pointer, cache, commands);
    }
}

/// The pointer over the lanes.
struct Pointer {
    at: Pos2,
    clicked: bool,
}

fn places(area: Rect, session: &Session) -> Places {
    const RIGHT_MARGIN: f32 = 10.0;
    let split = area.left() + session.label_width.min(area.width() / 2.0);
    let top = area.top() + overview::HEIGHT;
    let axis = Rect::from_min_max(pos2(area.left(), top), pos2(area.right(), top + axis::HEIGHT));
    let rows = Rect::from_min_max(pos2(area.left(), axis.bottom()), area.max);
    let lanes = rows.with_min_x(split);
    let width = (area.right() - split - RIGHT_MARGIN).max(1.0);
    Places {
        scale: Scale {
            window: session.window,
            left: split,
            width,
        },
        split,
        axis,
        rows,
        lanes,
    }
}

fn draw_rows(
    ui: &mut egui::Ui,
    scene: &Scene,
    places: &Places,
    layout: &Layout,
    pointer: Option<Pos2>,
    cache: &mut Cache,
    commands: &mut Vec<Command>,
) {
    let pixels_per_point = ui.ctx().pixels_per_point();
    let painter = ui.painter_at(places.rows);
    let hovered = |row: &Row| pointer.is_some_and(|pointer| row.rect.contains(pointer));
    for row in &layout.rows {
        rows::background(
            &painter,
            *row,
            &scene.tree.nodes[row.node],
            scene.session,
            hovered(row),
            places.split,
        );
    }
    axis::grid(&painter.with_clip_rect(places.lanes), places.lanes, places.scale);
    let clipped = painter.with_clip_rect(places.lanes);
    let pointer_ns = pointer.map(|pointer| places.scale.ns(pointer.x));
    let mut values: HashMap<usize, String> = HashMap::new();
    for (number, source) in scene.sources.iter().enumerate() {
        let shades = &scene.tree.shades[number];
        let mut brush = Brush::new(
            (number, source),
            shades,
            places.scale,
            &scene.session.search,
            cache,
            pixels_per_point,
        );
        for row in layout
            .rows
            .iter()
            .filter(|row| scene.tree.nodes[row.node].key.source() == number)
        {
            let value = draw_lane(&mut brush, *row, pointer_ns, scene, commands);
            values.extend(value.map(|value| (row.node, value)));
        }
        brush.paint(&clipped);
    }
    draw_selection(&clipped, scene, places, layout);
    painter.vline(places.split - 0.5, places.rows.y_range(), Stroke::new(1.0, ui::GRID));
    ui.scope(|ui| {
        ui.set_clip_rect(places.rows);
        for row in &layout.rows {
            let value = values.get(&row.node).map(String::as_str);
            rows::label(ui, *row, &scene.tree.nodes[row.node], value, scene.session, commands);
        }
    });
    scroll_bar(&painter, places.rows, layout);
    if layout.rows.is_empty() {
        let text = "no process, thread or CPU in this timeline";
        painter.text(
            places.lanes.center(),
            Align2::CENTER_CENTER,
            text,
            egui::FontId::proportional(15.0),
            ui::WEAK,
        );
    }
}

/// Draws what is right of a row's label; gives what a counter has to say.
fn draw_lane(
    brush: &mut Brush,
    row: Row,
    pointer_ns: Option<f64>,
    scene: &Scene,
    commands: &mut Vec<Command>,
) -> Option<String> {
    let node = &scene.tree.nodes[row.node];
    match node.lane {
        Lane::Empty => {}
        Lane::Pauses(jvm) => brush.pauses(row.rect, jvm),
        Lane::Cpu(cpu) => brush.cpu(row.rect, cpu),
        Lane::Counter(counter) => return Some(brush.counter(row.rect, counter, pointer_ns)),
        Lane::Thread(thread, jvm) => {
            let wanted = brush.thread(row.rect, thread, jvm);
            if wanted != scene.session.call_lanes.get(&node.key).copied().unwrap_or(0) {
                commands.push(Command::CallLanes(node.key, wanted));
            }
        }
    }
    None
}

fn draw_selection(painter: &Painter, scene: &Scene, places: &Places, layout: &Layout) {
    let Some(selection) = scene.session.selection else {
        return;
    };
    let Some(row) = layout
        .rows
        .iter()
        .find(|row| scene.tree.nodes[row.node].key == selection.key)
    else {
        return;
    };
    let source = &scene.sources[selection.key.source()];
    if let Some(place) = pick::place(source, &selection, row.rect, places.scale) {
        painter.rect_stroke(
            place.expand(1.0),
            1.0,
            Stroke::new(2.0, Color32::WHITE),
            StrokeKind::Middle,
        );
    }
}

fn scroll_bar(painter: &Painter, rows: Rect, layout: &Layout) {
    if layout.total <= rows.height() {
        return;
    }
    let part = |points: f32| rows.top() + points / layout.total * rows.height();
    let track = rows.with_min_x(rows.right() - 6.0);
    let thumb = Rect::from_min_max(
        pos2(track.left(), part(layout.scroll)),
        pos2(track.right() - 2.0, part(layout.scroll + rows.height())),
    );
    painter.rect_filled(thumb, 2.0, ui::WEAK.gamma_multiply(0.5));
}

fn splitter(ui: &mut egui::Ui, places: &Places, session: &Session, commands: &mut Vec<Command>) {
    let grip = Rect::from_min_max(
        pos2(places.split - 3.0, places.rows.top()),
        pos2(places.split + 2.0, places.rows.bottom()),
    );
    let response = ui.interact(grip, ui.scope_id().with("splitter"), Sense::drag());
    if response.hovered() || response.dragged() {
        ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
    }
    if response.dragged() {
        let width = (session.label_width + response.drag_delta().x).clamp(*LABEL_WIDTH.start(), *LABEL_WIDTH.end());
        commands.push(Command::LabelWidth(width));
    }
}

/// Wheel and drags: zoom, pan, scroll, a box to zoom to.
fn steer(ui: &egui::Ui, response: &egui::Response, scene: &Scene, places: &Places, commands: &mut Vec<Command>) {
    let box_id = response.id.with("box");
    if response.drag_started() {
        let shift = ui.input(|input| input.modifiers.shift);
        ui.data_mut(|data| data.insert_temp(box_id, shift));
    }
    let boxing = ui.data(|data| data.get_temp::<bool>(box_id)).unwrap_or(false);
    if boxing && (response.dragged() || response.drag_stopped()) {
        zoom_box(ui, response, places, commands);
    } else if response.dragged() {
        let delta = response.drag_delta();
        commands.push(Command::Pan {
            part: -f64::from(delta.x / places.scale.width),
        });
        commands.push(Command::Scroll(-delta.y));
    }
    if response.double_clicked() {
        commands.push(Command::FitSelection);
    }
    let over_rows = ui
        .input(|input| input.pointer.hover_pos())
        .filter(|at| places.rows.contains(*at));
    if let Some(pointer) = over_rows.filter(|_| !scene.session.help) {
        wheel(ui, pointer, places, commands);
    }
}

fn wheel(ui: &egui::Ui, pointer: Pos2, places: &Places, commands: &mut Vec<Command>) {
    let (zoom, scroll) = ui.input(|input| (input.zoom_delta(), input.smooth_scroll_delta()));
    if zoom != 1.0 {
        commands.push(Command::Zoom {
            factor: f64::from(zoom),
            at_ns: Some(places.scale.ns(pointer.x.max(places.split))),
        });
        return;
    }
    if scroll.y != 0.0 {
        commands.push(Command::Scroll(-scroll.y));
    }
    if scroll.x != 0.0 {
        commands.push(Command::Pan {
            part: -f64::from(scroll.x / places.scale.width),
        });
    }
}

fn zoom_box(ui: &egui::Ui, response: &egui::Response, places: &Places, commands: &mut Vec<Command>) {
    const WIDTH_MIN: f32 = 4.0;
    let ends = ui.input(|input| (input.pointer.press_origin(), input.pointer.latest_pos()));
    let origin_id = response.id.with("box origin");
    if let (Some(origin), _) = ends {
        ui.data_mut(|data| data.insert_temp(origin_id, origin));
    }
    let origin = ui.data(|data| data.get_temp::<Pos2>(origin_id));
    let (Some(origin), Some(latest)) = (origin, ends.1) else {
        return;
    };
    let (left, right) = (origin.x.min(latest.x).max(places.split), origin.x.max(latest.x));
    let (from_ns, to_ns) = (places.scale.ns(left), places.scale.ns(right));
    if response.drag_stopped() {
        if right - left >= WIDTH_MIN {
            commands.push(Command::Show(Window { from_ns, to_ns }));
        }
        return;
    }
    let painter = ui.painter_at(places.lanes);
    let marked = Rect::from_min_max(pos2(left, places.lanes.top()), pos2(right, places.lanes.bottom()));
    painter.rect_filled(marked, 0.0, ui::ACCENT.gamma_multiply(0.18));
    painter.rect_stroke(marked, 0.0, Stroke::new(1.0, ui::ACCENT), StrokeKind::Inside);
    let label = length((to_ns - from_ns).max(0.0) as u64);
    painter.text(
        marked.center_top() + vec2(0.0, 12.0),
        Align2::CENTER_CENTER,
        label,
        SMALL,
        ui::TEXT,
    );
}

/// Explains what is under the pointer; a click selects it.
fn hover(
    ui: &egui::Ui,
    scene: &Scene,
    places: &Places,
    layout: &Layout,
    pointer: &Pointer,
    cache: &mut Cache,
    commands: &mut Vec<Command>,
) {
    cursor(ui, places, pointer.at);
    let Some(row) = layout.rows.iter().find(|row| row.rect.contains(pointer.at)) else {
        return;
    };
    let node = &scene.tree.nodes[row.node];
    let source = (node.key.source(), &scene.sources[node.key.source()]);
    let hit = pick::pick(source, node, *row, pointer.at, places.scale, cache);
    if pointer.clicked {
        let what = hit.as_ref().and_then(|hit| hit.selected()).unwrap_or(Selected::Row);
        commands.push(Command::Select(Some(Selection { key: node.key, what })));
    }
    if let Some(hit) = hit {
        tooltip::show(ui, source.1, node, &hit);
    }
}

/// A line at the pointer, and its time on the axis.
fn cursor(ui: &egui::Ui, places: &Places, pointer: Pos2) {
    ui.painter_at(places.lanes).vline(
        pointer.x,
        places.lanes.y_range(),
        Stroke::new(1.0, Color32::from_white_alpha(70)),
    );
    let painter = ui.painter_at(places.axis);
    let text = instant(places.scale.ns(pointer.x), places.scale.ns_per_point());
    let galley = painter.layout_no_wrap(text, SMALL, ui::BACKGROUND);
    let left = (pointer.x - galley.size().x / 2.0).clamp(places.split, places.axis.right() - galley.size().x - 8.0);
    let at = pos2(left, places.axis.center().y - galley.size().y / 2.0);
    painter.rect_filled(
        Rect::from_min_size(at, galley.size()).expand2(vec2(4.0, 2.0)),
        3.0,
        ui::ACCENT,
    );
    painter.galley(at, galley, ui::BACKGROUND);
}
