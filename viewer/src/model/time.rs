//! The window of time on the screen, its scale, and how times are written.

use plumb_trace::calendar::civil_date;

/// Shortest window that can be zoomed to, ns.
pub const SPAN_NS_MIN: f64 = 500.0;

/// A stretch of time, in ns from the start of the timeline. A double holds 104 days of them exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Begin.
    pub from_ns: f64,
    /// End, after the begin.
    pub to_ns: f64,
}

impl Window {
    /// Everything from 0 to `total_ns`.
    pub fn whole(total_ns: f64) -> Window {
        Window {
            from_ns: 0.0,
            to_ns: total_ns.max(SPAN_NS_MIN),
        }
    }

    /// Length, ns.
    pub fn span_ns(&self) -> f64 {
        self.to_ns - self.from_ns
    }

    /// `factor` times closer (below 1: farther), such that what is at `at_ns` stays where it is.
    pub fn zoomed(&self, factor: f64, at_ns: f64) -> Window {
        let factor = if factor.is_finite() && factor > 0.0 {
            factor
        } else {
            1.0
        };
        let span = (self.span_ns() / factor).max(SPAN_NS_MIN);
        let part = (at_ns - self.from_ns) / self.span_ns();
        let from_ns = at_ns - part * span;
        Window {
            from_ns,
            to_ns: from_ns + span,
        }
    }

    /// Moved by `ns`.
    pub fn moved(&self, ns: f64) -> Window {
        Window {
            from_ns: self.from_ns + ns,
            to_ns: self.to_ns + ns,
        }
    }

    /// Moved, and if need be shortened, to lie within 0 to `total_ns`; never shorter than [`SPAN_NS_MIN`].
    pub fn clamped(&self, total_ns: f64) -> Window {
        let span = self.span_ns().clamp(SPAN_NS_MIN, total_ns.max(SPAN_NS_MIN));
        let from_ns = self.from_ns.clamp(0.0, (total_ns - span).max(0.0));
        Window {
            from_ns,
            to_ns: from_ns + span,
        }
    }

    /// The same span around `at_ns`.
    pub fn centred(&self, at_ns: f64) -> Window {
        self.moved(at_ns - (self.from_ns + self.to_ns) / 2.0)
    }
}

/// Where the times of a window lie on the screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The window.
    pub window: Window,
    /// Left edge, points.
    pub left: f32,
    /// Width, points.
    pub width: f32,
}

impl Scale {
    /// The place of a time.
    pub fn x(&self, ns: f64) -> f32 {
        self.left + ((ns - self.window.from_ns) / self.window.span_ns() * f64::from(self.width)) as f32
    }

    /// The time of a place.
    pub fn ns(&self, x: f32) -> f64 {
        self.window.from_ns + f64::from((x - self.left) / self.width) * self.window.span_ns()
    }

    /// How much time a point is, ns.
    pub fn ns_per_point(&self) -> f64 {
        self.window.span_ns() / f64::from(self.width.max(1.0))
    }
}

/// The step between ticks of a time axis that are at least `min_ns` apart: 1, 2 or 5 times a power of ten.
pub fn tick_step_ns(min_ns: f64) -> f64 {
    let magnitude = 10f64.powf(min_ns.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * magnitude)
        .into_iter()
        .find(|step| *step >= min_ns)
        .unwrap_or(magnitude)
}

/// The times of ticks within a window.
pub fn ticks_ns(window: Window, step_ns: f64) -> impl Iterator<Item = f64> {
    let first = (window.from_ns / step_ns).ceil() as i64;
    let last = (window.to_ns / step_ns).floor() as i64;
    (first..=last).map(move |number| number as f64 * step_ns)
}

/// A time from the start, with the decimals that `step_ns` needs: `3.20412 s`, from two minutes on `2:03.5`.
pub fn instant(ns: f64, step_ns: f64) -> String {
    let decimals = (9.0 - step_ns.max(1.0).log10().floor()).clamp(0.0, 9.0) as usize;
    let unit = 10f64.powi(9 - decimals as i32);
    let rounded = (ns.max(0.0) / unit).round() as u64;
    let scale = 10u64.pow(decimals as u32);
    let (whole, fraction) = (rounded / scale, rounded % scale);
    let fraction = if decimals == 0 {
        String::new()
    } else {
        grouped(&format!("{fraction:0decimals$}"))
    };
    let point = if decimals == 0 { "" } else { "." };
    match whole {
        0..120 => format!("{whole}{point}{fraction} s"),
        120..3600 => format!("{}:{:02}{point}{fraction}", whole / 60, whole % 60),
        _ => format!(
            "{}:{:02}:{:02}{point}{fraction}",
            whole / 3600,
            whole / 60 % 60,
            whole % 60
        ),
    }
}

/// Decimals in groups of three, with a thin space between them.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place % 3 == 0 {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// A length of time with three or four digits: `1.24 s`, `18.3 ms`, `850 µs`, `120 ns`.
pub fn length(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// A share, written so that something is never shown as nothing.
pub fn percent(part: f64) -> String {
    match part * 100.0 {
        value if value <= 0.0 => "0 %".to_owned(),
        value if value < 0.1 => "<0.1 %".to_owned(),
        value if value < 10.0 => format!("{value:.1} %"),
        value => format!("{value:.0} %"),
    }
}

/// A wall-clock time in UTC: `2026-11-22 03:57:41.123`.
pub fn wall_clock(realtime_ns: i128) -> String {
    let millis = realtime_ns.div_euclid(1_000_000);
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = civil_date(days as i64);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zooming_keeps_the_place_under_the_pointer() {
        let window = Window {
            from_ns: 1e6,
            to_ns: 3e6,
        };
        let closer = window.zoomed(4.0, 1.5e6);
        assert_eq!(closer.span_ns(), 0.5e6);
        let part = |window: Window| (1.5e6 - window.from_ns) / window.span_ns();
        assert!((part(closer) - part(window)).abs() < 1e-12);
        assert_eq!(window.zoomed(f64::NAN, 1.5e6), window);
    }

    #[test]
    fn a_window_never_leaves_the_timeline() {
        let total = 1e9;
        assert_eq!(
            Window {
                from_ns: -5.0,
                to_ns: 2e9
            }
            .clamped(total),
            Window::whole(total)
        );
        assert_eq!(
            Window {
                from_ns: 0.9e9,
                to_ns: 1.2e9
            }
            .clamped(total),
            Window {
                from_ns: 0.7e9,
                to_ns: 1e9
            }
        );
        assert_eq!(
            Window {
                from_ns: 5.0,
                to_ns: 6.0
            }
            .clamped(total)
            .span_ns(),
            SPAN_NS_MIN
        );
        assert_eq!(
            Window::whole(0.0).clamped(0.0),
            Window {
                from_ns: 0.0,
                to_ns: SPAN_NS_MIN
            }
        );
    }

    #[test]
    fn a_scale_goes_both_ways() {
        let scale = Scale {
            window: Window {
                from_ns: 1e9,
                to_ns: 2e9,
            },
            left: 100.0,
            width: 500.0,
        };
        assert_eq!(scale.x(1.5e9), 350.0);
        assert_eq!(scale.ns(350.0), 1.5e9);
        assert_eq!(scale.ns_per_point(), 2e6);
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(tick_step_ns(3.0e6), 5.0e6);
        assert_eq!(tick_step_ns(1.0e6), 1.0e6);
        assert_eq!(tick_step_ns(6.0e6), 1.0e7);
        let window = Window {
            from_ns: 1.1e9,
            to_ns: 1.7e9,
        };
        assert_eq!(ticks_ns(window, 2e8).collect::<Vec<_>>(), [1.2e9, 1.4e9, 1.6e9]);
    }

    #[test]
    fn times_are_written_as_short_as_their_step_allows() {
        assert_eq!(instant(3e9, 1e9), "3 s");
        assert_eq!(instant(3.204_12e9, 1e4), "3.204\u{2009}12 s");
        assert_eq!(instant(123.5e9, 5e8), "2:03.5");
        assert_eq!(instant(3_723e9, 1e9), "1:02:03");
        assert_eq!(instant(59.999_6e9, 1e6), "60.000 s");
    }

    #[test]
    fn lengths_and_shares() {
        let written = [999, 1_000, 18_300, 850_000, 1_240_000_000, 99_960_000_000].map(length);
        assert_eq!(written, ["999 ns", "1.00 µs", "18.3 µs", "850 µs", "1.24 s", "100.0 s"]);
        assert_eq!(
            [0.0, 0.0004, 0.031, 0.5].map(percent),
            ["0 %", "<0.1 %", "3.1 %", "50 %"]
        );
    }

    #[test]
    fn wall_clocks() {
        assert_eq!(wall_clock(0), "1970-01-01 00:00:00.000");
        assert_eq!(wall_clock(1_709_210_096_789_000_000), "2024-02-29 12:34:56.789");
        assert_eq!(wall_clock(-1_000_000), "1969-12-31 23:59:59.999");
    }
}
