//! From a counter's steps to columns on pixels: never more than one a pixel.

use super::counter::Step;
use super::time::Scale;

/// A column of a chart, or a wide step of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChartBar {
    /// Left edge, points.
    pub left: f32,
    /// Right edge, points.
    pub right: f32,
    /// Smallest value in it.
    pub low: f64,
    /// Mean over its time.
    pub mean: f64,
    /// Largest value.
    pub high: f64,
}

/// The columns of what is on the screen. Steps wider than a pixel keep their edges; the rest is summed up by pixels of `pixel` points.
pub fn chart_bars(steps: &[Step], from_start: impl Fn(u64) -> f64, scale: Scale, pixel: f32) -> Vec<ChartBar> {
    let (left_end, right_end) = (scale.left, scale.left + scale.width);
    let mut bars: Vec<ChartBar> = Vec::new();
    // The pixel that is being filled, and how much of it is.
    let mut open: Option<(i32, f64)> = None;
    let before = steps.partition_point(|step| scale.x(from_start(step.end_ns)) <= left_end);
    for step in steps.get(before..).unwrap_or_default() {
        let left = scale.x(from_start(step.start_ns)).max(left_end);
        let right = scale.x(from_start(step.end_ns)).min(right_end);
        if left >= right_end {
            break;
        }
        if left >= right {
            continue;
        }
        let bar = ChartBar {
            left,
            right,
            low: step.low,
            mean: step.mean,
            high: step.high,
        };
        let number = (left / pixel).floor() as i32;
        let width = f64::from(right - left);
        if right - left >= pixel {
            open = None;
            bars.push(bar);
        } else if let (Some((_, filled)), Some(last)) = (open.as_mut().filter(|open| open.0 == number), bars.last_mut())
        {
            last.mean = (last.mean * *filled + bar.mean * width) / (*filled + width);
            last.low = last.low.min(bar.low);
            last.high = last.high.max(bar.high);
            last.right = right;
            *filled += width;
        } else {
            open = Some((number, width));
            bars.push(bar);
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Window;

    fn scale() -> Scale {
        Scale {
            window: Window {
                from_ns: 0.0,
                to_ns: 100.0,
            },
            left: 0.0,
            width: 100.0,
        }
    }

    fn step(start_ns: u64, end_ns: u64, value: f64) -> Step {
        Step {
            start_ns,
            end_ns,
            low: value,
            mean: value,
            high: value,
        }
    }

    #[test]
    fn wide_steps_keep_their_edges_and_the_window_cuts_them() {
        let bars = chart_bars(
            &[step(0, 30, 1.0), step(30, 200, 2.0), step(200, 300, 3.0)],
            |ns| ns as f64,
            scale(),
            1.0,
        );
        let edges: Vec<_> = bars.iter().map(|bar| (bar.left, bar.right, bar.mean)).collect();
        assert_eq!(edges, [(0.0, 30.0, 1.0), (30.0, 100.0, 2.0)]);
    }

    #[test]
    fn narrow_steps_are_one_column_a_pixel() {
        let steps: Vec<Step> = (0..1000).map(|at| step(at, at + 1, (at % 10) as f64)).collect();
        let scale = Scale {
            window: Window {
                from_ns: 0.0,
                to_ns: 1000.0,
            },
            ..scale()
        };
        let bars = chart_bars(&steps, |ns| ns as f64, scale, 1.0);
        assert!((100..=101).contains(&bars.len()), "{}", bars.len());
        assert!(bars.iter().all(|bar| bar.low <= bar.mean && bar.mean <= bar.high));
        assert!((bars[50].mean - 4.5).abs() < 1.0 && bars[50].high >= 8.0);
    }
}
