//! One mesh for all bars of a frame: ten thousands of rectangles cost what one shape costs.

use eframe::egui::epaint::Vertex;
use eframe::egui::{Color32, Mesh, Painter, Pos2, Rect, Shape, Stroke, pos2, vec2};

/// Rectangles on whole pixels.
pub struct Bars {
    mesh: Mesh,
    hatches: Vec<Shape>,
    pixels_per_point: f32,
}

impl Bars {
    /// None yet.
    pub fn new(pixels_per_point: f32) -> Bars {
        Bars {
            mesh: Mesh::default(),
            hatches: Vec::new(),
            pixels_per_point,
        }
    }

    /// Adds a rectangle, at least one pixel wide.
    pub fn add(&mut self, rect: Rect, colour: Color32) {
        let snap = |at: f32| (at * self.pixels_per_point).round() / self.pixels_per_point;
        let (left, top, bottom) = (snap(rect.left()), snap(rect.top()), snap(rect.bottom()));
        let right = snap(rect.right()).max(left + 1.0 / self.pixels_per_point);
        self.quad(
            [
                pos2(left, top),
                pos2(right, top),
                pos2(right, bottom),
                pos2(left, bottom),
            ],
            colour,
        );
    }

    /// Adds slanted lines over a rectangle, which tell "not known" or "missing".
    pub fn hatch(&mut self, rect: Rect, colour: Color32) {
        const APART: f32 = 5.0;
        self.add(rect, colour.gamma_multiply(0.22));
        if rect.width() < 3.0 {
            return;
        }
        let height = rect.height();
        // Lines begin at multiples of their distance, so that they stand still while the bar's edges move.
        let mut foot = ((rect.left() - height) / APART).floor() * APART;
        while foot < rect.right() {
            let (from, to) = ((rect.left() - foot).max(0.0), (rect.right() - foot).min(height));
            if from < to {
                let at = |along: f32| rect.left_bottom() + vec2(foot + along - rect.left(), -along);
                self.hatches
                    .push(Shape::line_segment([at(from), at(to)], Stroke::new(1.0, colour)));
            }
            foot += APART;
        }
    }

    fn quad(&mut self, corners: [Pos2; 4], color: Color32) {
        let first = self.mesh.vertices.len() as u32;
        let uv = eframe::egui::epaint::WHITE_UV;
        self.mesh.vertices.extend(corners.map(|pos| Vertex { pos, uv, color }));
        self.mesh
            .indices
            .extend([0, 1, 2, 0, 2, 3].map(|corner| first + corner));
    }

    /// Draws them.
    pub fn paint(self, painter: &Painter) {
        painter.add(Shape::mesh(self.mesh));
        painter.extend(self.hatches);
    }
}
