//! A small rasteriser for what egui tessellates: textured triangles with vertex colours, clipped, blended in gamma space as egui's own
//! renderers do it. It needs no display, no GPU and no library, and its pictures are the same everywhere.
//!
//! Vertices are snapped to 1/256 pixel and coverage is decided by exact integer edge functions with the top-left rule, so that two triangles that share an
//! edge touch every pixel along it exactly once. Anti-aliasing is in the geometry already (egui's feathering).

use eframe::egui::epaint::{ClippedPrimitive, ImageData, ImageDelta, Mesh, Primitive, Vertex};
use eframe::egui::{Color32, Rect, TextureFilter, TextureId, TexturesDelta};
use std::collections::HashMap;

/// A picture: rows from the top, RGBA.
pub struct Picture {
    /// Width, pixels.
    pub width: usize,
    /// Height, pixels.
    pub height: usize,
    /// `width × height` pixels, opaque.
    pub pixels: Vec<Color32>,
}

struct Texture {
    width: usize,
    height: usize,
    pixels: Vec<Color32>,
    nearest: bool,
}

/// The textures that egui handed over: the glyphs, mostly.
#[derive(Default)]
pub struct Textures(HashMap<TextureId, Texture>);

impl Textures {
    /// Takes changed textures, all of `delta`.
    pub fn apply(&mut self, delta: &mut TexturesDelta) {
        for (id, changes) in delta.set.drain() {
            for change in changes {
                self.change(id, change);
            }
        }
        for id in delta.free.drain() {
            self.0.remove(&id);
        }
    }

    fn change(&mut self, id: TextureId, change: ImageDelta) {
        let ImageData::Color(image) = change.image;
        let [width, height] = image.size;
        let Some([left, top]) = change.pos else {
            let nearest = change.options.magnification == TextureFilter::Nearest;
            self.0.insert(
                id,
                Texture {
                    width,
                    height,
                    pixels: image.pixels.clone(),
                    nearest,
                },
            );
            return;
        };
        let Some(texture) = self.0.get_mut(&id) else { return };
        for row in 0..height {
            let at = (top + row) * texture.width + left;
            texture.pixels[at..at + width].copy_from_slice(&image.pixels[row * width..(row + 1) * width]);
        }
    }
}

impl Texture {
    fn texel(&self, x: isize, y: isize) -> Color32 {
        let x = x.clamp(0, self.width as isize - 1) as usize;
        let y = y.clamp(0, self.height as isize - 1) as usize;
        self.pixels[y * self.width + x]
    }

    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let (x, y) = (u * self.width as f32, v * self.height as f32);
        if self.nearest {
            return self
                .texel(x.floor() as isize, y.floor() as isize)
                .to_array()
                .map(f32::from);
        }
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (right_part, bottom_part) = (x - left, y - top);
        let (left, top) = (left as isize, top as isize);
        let corner = |dx, dy| self.texel(left + dx, top + dy).to_array();
        let [nw, ne, sw, se] = [corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1)];
        std::array::from_fn(|channel| {
            let mix = |a: u8, b: u8, part: f32| f32::from(a) * (1.0 - part) + f32::from(b) * part;
            let upper = mix(nw[channel], ne[channel], right_part);
            let lower = mix(sw[channel], se[channel], right_part);
            upper * (1.0 - bottom_part) + lower * bottom_part
        })
    }
}

/// Pixels from `left` (inclusive) to `right` (exclusive), likewise down.
#[derive(Clone, Copy)]
struct Clip {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

/// A vertex in 1/256 pixels.
#[derive(Clone, Copy)]
struct Point {
    x: i64,
    y: i64,
}

const SUBPIXELS: i64 = 256;

impl Picture {
    /// An empty picture of one colour.
    pub fn filled(width: usize, height: usize, colour: Color32) -> Picture {
        Picture {
            width,
            height,
            pixels: vec![colour; width * height],
        }
    }

    /// Draws meshes over what is there.
    pub fn paint(&mut self, textures: &Textures, primitives: &[ClippedPrimitive], pixels_per_point: f32) {
        for primitive in primitives {
            let Primitive::Mesh(mesh) = &primitive.primitive else {
                continue;
            };
            let Some(texture) = textures.0.get(&mesh.texture_id) else {
                continue;
            };
            let clip = self.clip(primitive.clip_rect, pixels_per_point);
            self.paint_mesh(mesh, texture, clip, pixels_per_point);
        }
    }

    fn clip(&self, rect: Rect, pixels_per_point: f32) -> Clip {
        let edge = |at: f32, end: usize| (at * pixels_per_point).round().clamp(0.0, end as f32) as i64;
        Clip {
            left: edge(rect.min.x, self.width),
            top: edge(rect.min.y, self.height),
            right: edge(rect.max.x, self.width),
            bottom: edge(rect.max.y, self.height),
        }
    }

    fn paint_mesh(&mut self, mesh: &Mesh, texture: &Texture, clip: Clip, pixels_per_point: f32) {
        for corners in mesh.indices.as_chunks::<3>().0 {
            let corners = corners.map(|index| mesh.vertices.get(index as usize));
            if let [Some(a), Some(b), Some(c)] = corners {
                self.paint_triangle([a, b, c], texture, clip, pixels_per_point);
            }
        }
    }

    fn paint_triangle(&mut self, corners: [&Vertex; 3], texture: &Texture, clip: Clip, pixels_per_point: f32) {
        let snap = |at: f32| {
            (f64::from(at * pixels_per_point) * SUBPIXELS as f64)
                .round()
                .clamp(-1e9, 1e9) as i64
        };
        let [mut a, mut b, c] = corners;
        let point = |vertex: &Vertex| Point {
            x: snap(vertex.pos.x),
            y: snap(vertex.pos.y),
        };
        let mut area = edge(point(a), point(b), point(c));
        if area == 0 {
            return;
        }
        if area < 0 {
            std::mem::swap(&mut a, &mut b);
            area = -area;
        }
        let shade = Shade::new([a, b, c], texture, area);
        self.fill([a, b, c].map(point), &shade, clip);
    }

    /// Fills a triangle whose corners go clockwise (y points down).
    fn fill(&mut self, [a, b, c]: [Point; 3], shade: &Shade, clip: Clip) {
        let first = |least: i64| (least - SUBPIXELS / 2).div_euclid(SUBPIXELS);
        let (left, right) = (a.x.min(b.x).min(c.x), a.x.max(b.x).max(c.x));
        let (top, bottom) = (a.y.min(b.y).min(c.y), a.y.max(b.y).max(c.y));
        let (left, right) = (first(left).max(clip.left), (first(right) + 1).min(clip.right - 1));
        let (top, bottom) = (first(top).max(clip.top), (first(bottom) + 1).min(clip.bottom - 1));
        let bias = [edge_bias(b, c), edge_bias(c, a), edge_bias(a, b)];
        for y in top..=bottom {
            let centre = |x: i64| Point {
                x: x * SUBPIXELS + SUBPIXELS / 2,
                y: y * SUBPIXELS + SUBPIXELS / 2,
            };
            let start = centre(left);
            let mut weights = [edge(b, c, start), edge(c, a, start), edge(a, b, start)];
            let step = [b.y - c.y, c.y - a.y, a.y - b.y].map(|rise| rise * SUBPIXELS);
            for x in left..=right {
                if (0..3).all(|side| weights[side] + bias[side] >= 0) {
                    let pixel = &mut self.pixels[y as usize * self.width + x as usize];
                    *pixel = blend(*pixel, shade.colour(weights));
                }
                for side in 0..3 {
                    weights[side] += step[side];
                }
            }
        }
    }
}

/// Twice the area of a triangle, positive if its corners go clockwise on the screen.
fn edge(a: Point, b: Point, c: Point) -> i64 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

/// The top-left rule: a pixel centre exactly on an edge belongs to the triangle below or right of it.
fn edge_bias(from: Point, to: Point) -> i64 {
    let top = from.y == to.y && to.x > from.x;
    let left = to.y < from.y;
    if top || left { 0 } else { -1 }
}

/// What colour a triangle has where.
enum Shade<'a> {
    Flat([f32; 4]),
    Mixed {
        corners: [&'a Vertex; 3],
        texture: &'a Texture,
        area: f32,
    },
}

impl<'a> Shade<'a> {
    fn new(corners: [&'a Vertex; 3], texture: &'a Texture, area: i64) -> Shade<'a> {
        let [a, b, c] = corners;
        if a.uv == b.uv && b.uv == c.uv && a.color == b.color && b.color == c.color {
            return Shade::Flat(tinted(
                texture.sample(a.uv.x, a.uv.y),
                a.color.to_array().map(f32::from),
            ));
        }
        Shade::Mixed {
            corners,
            texture,
            area: area as f32,
        }
    }

    fn colour(&self, weights: [i64; 3]) -> [f32; 4] {
        match self {
            Shade::Flat(colour) => *colour,
            Shade::Mixed { corners, texture, area } => {
                let parts = weights.map(|weight| weight as f32 / area);
                let mix = |of: &dyn Fn(&Vertex) -> f32| (0..3).map(|corner| of(corners[corner]) * parts[corner]).sum();
                let colour = std::array::from_fn(|channel| mix(&|vertex| f32::from(vertex.color.to_array()[channel])));
                tinted(
                    texture.sample(mix(&|vertex| vertex.uv.x), mix(&|vertex| vertex.uv.y)),
                    colour,
                )
            }
        }
    }
}

fn tinted(texel: [f32; 4], colour: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|channel| texel[channel] * colour[channel] / 255.0)
}

/// Premultiplied source over an opaque pixel.
fn blend(below: Color32, above: [f32; 4]) -> Color32 {
    let through = 1.0 - above[3] / 255.0;
    let below = below.to_array();
    let [red, green, blue] =
        std::array::from_fn(|channel| (above[channel] + f32::from(below[channel]) * through + 0.5) as u8);
    Color32::from_rgb(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Pos2, pos2};

    fn white() -> Texture {
        Texture {
            width: 1,
            height: 1,
            pixels: vec![Color32::WHITE],
            nearest: false,
        }
    }

    fn textures() -> Textures {
        Textures(HashMap::from([(TextureId::default(), white())]))
    }

    fn painted(shape: &[Pos2], indices: &[u32], colour: Color32, clip: Rect) -> Picture {
        let vertices = shape
            .iter()
            .map(|&pos| Vertex {
                pos,
                uv: Pos2::ZERO,
                color: colour,
            })
            .collect();
        let mesh = Mesh {
            indices: indices.to_vec(),
            vertices,
            texture_id: TextureId::default(),
        };
        let mut picture = Picture::filled(8, 8, Color32::BLACK);
        picture.paint(
            &textures(),
            &[ClippedPrimitive {
                clip_rect: clip,
                primitive: Primitive::Mesh(mesh),
            }],
            1.0,
        );
        picture
    }

    fn text(picture: &Picture) -> Vec<String> {
        let mark = |pixel: &Color32| if *pixel == Color32::BLACK { '.' } else { '#' };
        picture
            .pixels
            .chunks(picture.width)
            .map(|row| row.iter().map(mark).collect())
            .collect()
    }

    #[test]
    fn a_rectangle_covers_its_pixels_once() {
        let corners = [pos2(1.0, 1.0), pos2(5.0, 1.0), pos2(5.0, 3.0), pos2(1.0, 3.0)];
        let half = Color32::from_rgba_premultiplied(100, 100, 100, 128);
        let picture = painted(&corners, &[0, 1, 2, 0, 2, 3], half, Rect::EVERYTHING);
        assert_eq!(text(&picture)[..4], ["........", ".####...", ".####...", "........"]);
        let levels: Vec<u8> = picture
            .pixels
            .iter()
            .map(Color32::r)
            .filter(|level| *level > 0)
            .collect();
        assert_eq!(
            levels, [100; 8],
            "a pixel on the diagonal was drawn twice or not at all"
        );
    }

    #[test]
    fn winding_does_not_matter_and_the_clip_holds() {
        let corners = [pos2(-2.0, -2.0), pos2(20.0, -2.0), pos2(-2.0, 20.0)];
        let clip = Rect::from_min_max(pos2(2.0, 2.0), pos2(4.0, 5.0));
        let one = painted(&corners, &[0, 1, 2], Color32::WHITE, clip);
        let other = painted(&corners, &[2, 1, 0], Color32::WHITE, clip);
        assert_eq!(text(&one), text(&other));
        assert_eq!(text(&one).concat().matches('#').count(), 6);
    }

    #[test]
    fn indices_out_of_range_and_wild_places_do_no_harm() {
        let corners = [pos2(f32::NAN, 0.0), pos2(f32::INFINITY, 1e30), pos2(3.0, -1e30)];
        painted(&corners, &[0, 1, 2, 7, 8, 9], Color32::WHITE, Rect::EVERYTHING);
    }

    #[test]
    fn blending_is_exact_at_its_ends() {
        let below = Color32::from_rgb(10, 20, 30);
        assert_eq!(blend(below, [0.0; 4]), below);
        assert_eq!(blend(below, [255.0, 128.0, 1.0, 255.0]), Color32::from_rgb(255, 128, 1));
    }

    #[test]
    fn sampling_is_linear_between_texels() {
        let pixels = vec![Color32::BLACK, Color32::WHITE];
        let texture = Texture {
            width: 2,
            height: 1,
            pixels,
            nearest: false,
        };
        assert_eq!(texture.sample(0.5, 0.5)[0], 127.5);
        assert_eq!(texture.sample(0.0, 0.5)[0], 0.0);
        assert_eq!(texture.sample(1.0, 0.5)[0], 255.0);
    }
}
