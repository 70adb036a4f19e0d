//! The window without a window: egui runs, its meshes are drawn by [`raster`]. No display, no GL.

pub mod raster;

use crate::ViewError;
use eframe::egui::{self, Color32, Event, RawInput, Rect, Vec2};
use plumb_trace::private_file;
use raster::{Picture, Textures};
use std::io::BufWriter;
use std::path::Path;

/// Sizes of pictures that can be made, pixels each way.
const SIDES: std::ops::RangeInclusive<u32> = 200..=8192;
/// Frames until the layout has settled; animations are over by then.
const FRAMES_MAX: usize = 12;

/// Runs `draw` until it wants no further frame, and gives what is then on the screen. `events` come with the second frame.
///
/// # Errors
/// The size is out of bounds.
pub fn render(
    size: (u32, u32),
    mut events: Vec<Event>,
    mut draw: impl FnMut(&mut egui::Ui),
) -> Result<Picture, ViewError> {
    if !SIDES.contains(&size.0) || !SIDES.contains(&size.1) {
        return Err(ViewError::Size(size.0, size.1));
    }
    let ctx = egui::Context::default();
    crate::theme::install(&ctx);
    let screen = Rect::from_min_size(egui::Pos2::ZERO, Vec2::new(size.0 as f32, size.1 as f32));
    let mut textures = Textures::default();
    let mut output = None;
    for frame in 0..FRAMES_MAX {
        let time = Some(frame as f64 * 0.25);
        let events = if frame == 1 {
            std::mem::take(&mut events)
        } else {
            Vec::new()
        };
        let input = RawInput {
            screen_rect: Some(screen),
            time,
            predicted_dt: 0.25,
            focused: true,
            events,
            ..RawInput::default()
        };
        let mut full = ctx.run_ui(input, &mut draw);
        textures.apply(&mut full.textures_delta);
        let settled = full
            .viewport_output
            .values()
            .all(|viewport| !viewport.repaint_delay.is_zero());
        output = Some((full.shapes, full.pixels_per_point));
        if settled && frame > 1 {
            break;
        }
    }
    let mut picture = Picture::filled(size.0 as usize, size.1 as usize, Color32::BLACK);
    if let Some((shapes, pixels_per_point)) = output {
        let primitives = ctx.tessellate(shapes, pixels_per_point);
        picture.paint(&textures, &primitives, pixels_per_point);
    }
    Ok(picture)
}

/// Writes a picture as PNG, which only its owner may read.
///
/// # Errors
/// Somebody else has a file of this name, or it cannot be made or written.
pub fn write_png(picture: &Picture, path: &Path) -> Result<(), ViewError> {
    let file = private_file::create_or_empty(path).map_err(|cause| ViewError::write(path, cause))?;
    encode_png(picture, BufWriter::new(file)).map_err(|cause| ViewError::write(path, cause))
}

fn encode_png(picture: &Picture, out: impl std::io::Write) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(out, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.set_depth(png::BitDepth::Eight);
    let bytes: Vec<u8> = picture
        .pixels
        .iter()
        .flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()])
        .collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bytes)?;
    writer.finish()
}
