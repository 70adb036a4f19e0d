//! Text that has to fit.

use eframe::egui::{Align2, Color32, FontId, Painter, Pos2, Rect};

/// A text cut in its middle to a width: names that differ at their ends stay apart.
pub fn elided(text: &str, fits: impl Fn(&str) -> bool) -> String {
    if fits(text) {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let cut = |kept: usize| -> String {
        let head = kept.div_ceil(2);
        letters[..head]
            .iter()
            .chain(&['…'])
            .chain(&letters[letters.len() - (kept - head)..])
            .collect()
    };
    let (mut fitting, mut too_long) = (0, letters.len());
    while fitting + 1 < too_long {
        let middle = (fitting + too_long) / 2;
        if fits(&cut(middle)) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    cut(fitting)
}

/// Draws a text, cut if need be, and gives its width in points.
pub fn fitted(painter: &Painter, place: Pos2, width: f32, text: &str, font: &FontId, colour: Color32) -> f32 {
    let measure = |text: &str| painter.layout_no_wrap(text.to_owned(), font.clone(), colour).size().x;
    let text = elided(text, |text| measure(text) <= width);
    painter
        .text(place, Align2::LEFT_CENTER, text, font.clone(), colour)
        .width()
}

/// What to do with a text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Leave it out.
    Whole,
    /// Cut it.
    Cut,
}

/// Draws a text within a bar if at least a few letters fit; the last name of `package.Class.method` is what stays.
pub fn inside(painter: &Painter, bar: Rect, text: &str, font: &FontId, colour: Color32, fit: Fit) {
    const PADDING: f32 = 4.0;
    const CUT_MIN: f32 = 40.0;
    let visible = bar.intersect(painter.clip_rect());
    let width = visible.width() - 2.0 * PADDING;
    if width <= 0.0 {
        return;
    }
    let measure = |text: &str| painter.layout_no_wrap(text.to_owned(), font.clone(), colour).size().x;
    let shown = [text, short_name(text), last_name(text)]
        .into_iter()
        .find(|text| measure(text) <= width);
    let place = Pos2::new(visible.left() + PADDING, bar.center().y);
    match shown {
        Some(shown) => {
            painter.text(place, Align2::LEFT_CENTER, shown, font.clone(), colour);
        }
        None if fit == Fit::Whole || width < CUT_MIN => {}
        None => {
            fitted(painter, place, width, last_name(text), font, colour);
        }
    }
}

/// `Class.method` of a full name.
fn short_name(text: &str) -> &str {
    let arguments = text.find('(').unwrap_or(text.len());
    match text[..arguments].rmatch_indices('.').nth(1) {
        Some((dot, _)) => &text[dot + 1..],
        None => text,
    }
}

/// `method` of a full name.
fn last_name(text: &str) -> &str {
    let arguments = text.find('(').unwrap_or(text.len());
    text[..arguments].rfind('.').map_or(text, |dot| &text[dot + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_loses_its_middle() {
        let fits = |limit: usize| move |text: &str| text.chars().count() <= limit;
        assert_eq!(elided("http-nio-8080-exec-12", fits(40)), "http-nio-8080-exec-12");
        assert_eq!(elided("http-nio-8080-exec-12", fits(11)), "http-…ec-12");
        assert_eq!(elided("äöü", fits(1)), "…");
        assert_eq!(elided("", fits(0)), "");
    }

    #[test]
    fn names_of_methods_get_shorter_from_the_left() {
        assert_eq!(short_name("com.shop.Cart.add"), "Cart.add");
        assert_eq!(
            short_name("com.shop.Cart.add(java.lang.String)"),
            "Cart.add(java.lang.String)"
        );
        assert_eq!(last_name("com.shop.Cart.add"), "add");
        assert_eq!(last_name("GC pause"), "GC pause");
    }
}
