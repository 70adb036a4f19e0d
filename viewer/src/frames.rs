//! What a frame costs, measured without a display: egui's run and its tessellation, everything but the graphics card.

use crate::app::Viewer;
use crate::model::session::Command;
use crate::model::source::Source;
use crate::{Part, ViewError, window_of};
use eframe::egui::{self, RawInput, Rect, Vec2};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Frames of each kind.
const FRAMES: usize = 60;
/// Part of the window that a frame of a pan moves it.
const PAN: f64 = 0.02;

/// What frames of one stretch of time cost.
#[derive(Clone, Copy, Debug)]
pub struct FrameCost {
    /// The first one: every answer is asked of the timeline.
    pub first: Duration,
    /// One in which nothing changed (median).
    pub still: Duration,
    /// One of a pan (median): most answers are in the cache.
    pub panned: Duration,
    /// The dearest of the pan: all answers are asked anew.
    pub panned_max: Duration,
    /// Triangles of a frame.
    pub triangles: usize,
}

/// Measures frames of `size` points over a part of timelines. The overview is complete before.
///
/// # Errors
/// No file or an unreadable one, a window of time that cannot be shown.
pub fn frame_cost(paths: &[PathBuf], size: (u32, u32), part: Part) -> Result<FrameCost, ViewError> {
    let mut bench = Bench::new(Viewer::new(Source::open_all(paths)?), size);
    bench.viewer.finish_overview();
    // The first frame of all makes the font's texture.
    bench.frame();
    let window = window_of(bench.viewer.sources(), part)?;
    bench.viewer.apply(Command::Show(window));
    let (first, triangles) = bench.frame();
    // Rows that have calls get their height one frame later.
    bench.frame();
    let still = bench.frames(|_| {});
    let panned = bench.frames(|viewer| {
        let (at, total) = (viewer.session.window, viewer.session.total_ns);
        let back = at.to_ns + at.span_ns() * PAN > total;
        let part = if back { at.from_ns - total } else { PAN * at.span_ns() };
        viewer.apply(Command::Pan {
            part: part / at.span_ns(),
        });
    });
    Ok(FrameCost {
        first,
        still: median(&still),
        panned: median(&panned),
        panned_max: panned.last().copied().unwrap_or_default(),
        triangles,
    })
}

/// The sorted durations' middle.
fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

struct Bench {
    ctx: egui::Context,
    viewer: Viewer,
    screen: Rect,
    number: u32,
}

impl Bench {
    fn new(viewer: Viewer, size: (u32, u32)) -> Bench {
        let ctx = egui::Context::default();
        crate::theme::install(&ctx);
        let screen = Rect::from_min_size(egui::Pos2::ZERO, Vec2::new(size.0 as f32, size.1 as f32));
        Bench {
            ctx,
            viewer,
            screen,
            number: 0,
        }
    }

    /// Durations of frames, sorted; `before` each of them something is done.
    fn frames(&mut self, mut before: impl FnMut(&mut Viewer)) -> Vec<Duration> {
        let mut durations: Vec<Duration> = (0..FRAMES)
            .map(|_| {
                before(&mut self.viewer);
                self.frame().0
            })
            .collect();
        durations.sort();
        durations
    }

    fn frame(&mut self) -> (Duration, usize) {
        self.number += 1;
        let input = RawInput {
            screen_rect: Some(self.screen),
            time: Some(f64::from(self.number) / 60.0),
            focused: true,
            ..RawInput::default()
        };
        let begin = Instant::now();
        let output = self.ctx.run_ui(input, |ui| self.viewer.ui(ui));
        let primitives = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        let duration = begin.elapsed();
        let triangles = primitives.iter().map(|primitive| match &primitive.primitive {
            egui::epaint::Primitive::Mesh(mesh) => mesh.indices.len() / 3,
            egui::epaint::Primitive::Callback(_) => 0,
        });
        (duration, triangles.sum())
    }
}
