//! A timeline on the screen, or in a PNG where there is no screen.
//!
//! Design constraints:
//! - Timelines are read through [`plumb_trace::timeline::Query`] only. A frame asks for the rows on the screen, at the screen's resolution: what is
//!   not seen costs nothing, whatever the timeline's length.
//! - `model` knows nothing of egui, and drawing changes nothing: it gets the model to read and gives commands back, which
//!   [`run`]'s loop carries out after the frame.
//! - All bars of a frame are one mesh. `cargo run --release -p plumb-viewer --example frames [FILE]` measures what a frame costs.
//! - Whatever the pointer can reach the keyboard can too, and a screen reader is told: rows are tree items, a counter's value is theirs.
//! - A picture needs no display, no GL and no font of the system: egui runs headless and `headless::raster` draws its triangles.

mod app;
mod cache;
mod draw;
mod error;
mod frames;
mod headless;
mod model;
mod palette;
mod panel;
mod pick;
#[cfg(test)]
mod tests;
mod theme;

pub use error::ViewError;
pub use frames::{FrameCost, frame_cost};

use app::Viewer;
use eframe::egui;
use model::session::Command;
use model::source::Source;
use model::time::Window;
use std::path::{Path, PathBuf};

/// What of a timeline is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Begin, absolute ns as in the timeline; `None`: its start.
    pub from_ns: Option<u64>,
    /// End, absolute ns; `None`: its end.
    pub to_ns: Option<u64>,
}

/// Opens a window on timelines, and returns when it is closed. Several are laid over each other, each from its own start.
///
/// # Errors
/// No file or an unreadable one, a window of time that cannot be shown, no display.
pub fn run(paths: &[PathBuf], part: Part) -> Result<(), ViewError> {
    let mut viewer = Viewer::new(Source::open_all(paths)?);
    let window = window_of(viewer.sources(), part)?;
    viewer.apply(Command::Show(window));
    // The backend is X11 (on a Wayland desktop: XWayland), which would say the same in a worse way.
    if std::env::var_os("DISPLAY").is_none_or(|display| display.is_empty()) {
        return Err(ViewError::NoDisplay);
    }
    let title = viewer
        .sources()
        .iter()
        .map(|source| source.label.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_inner_size([1600.0, 900.0])
            .with_title(format!("plumb: {title}")),
        ..eframe::NativeOptions::default()
    };
    let start =
        |creation: &eframe::CreationContext| -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
            theme::install(&creation.egui_ctx);
            Ok(Box::new(viewer))
        };
    eframe::run_native("plumb", options, Box::new(start)).map_err(|cause| ViewError::Window(cause.to_string()))
}

/// Draws what the window would show into a PNG of `size` pixels, without a display.
///
/// # Errors
/// No file or an unreadable one, a size or window of time that cannot be shown, a place that cannot be written.
pub fn screenshot(paths: &[PathBuf], out: &Path, size: (u32, u32), part: Part) -> Result<(), ViewError> {
    let mut viewer = Viewer::new(Source::open_all(paths)?);
    let window = window_of(viewer.sources(), part)?;
    viewer.apply(Command::Show(window));
    viewer.finish_overview();
    let picture = headless::render(size, Vec::new(), |ui| viewer.ui(ui))?;
    headless::write_png(&picture, out)
}

fn window_of(sources: &[Source], part: Part) -> Result<Window, ViewError> {
    let Some(first) = sources.first() else {
        return Err(ViewError::NoFile);
    };
    let total_ns = model::source::total_ns(sources);
    let from_ns = part.from_ns.map_or(0.0, |ns| first.since_start_ns(ns));
    let to_ns = part.to_ns.map_or(total_ns, |ns| first.since_start_ns(ns));
    if (part.from_ns, part.to_ns) != (None, None) && (from_ns >= to_ns || from_ns >= total_ns || to_ns <= 0.0) {
        return Err(ViewError::NoTime {
            from_ns: from_ns.max(0.0) as u64,
            to_ns: to_ns.max(0.0) as u64,
        });
    }
    Ok(Window { from_ns, to_ns })
}
