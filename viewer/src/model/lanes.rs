//! From what the timeline answers to bars on pixels: what is too small to be told apart is merged here, so that drawing never has more than a few bars a pixel.

use super::time::Scale;
use plumb_trace::State;
use plumb_trace::timeline::{CoarseState, Slice};

/// Bars of states of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateBar {
    /// Left edge, points.
    pub left: f32,
    /// Right edge, points.
    pub right: f32,
    /// The state that has the largest part.
    pub state: State,
    /// Part of it on a CPU, 0 to 1.
    pub running: f32,
}

/// What one column of pixels holds so far.
#[derive(Clone, Copy)]
struct Column {
    by_state: [f32; plumb_trace::STATE_COUNT],
    running: f32,
    covered: f32,
}

const NO_COLUMN: Column = Column {
    by_state: [0.0; plumb_trace::STATE_COUNT],
    running: 0.0,
    covered: 0.0,
};

/// The bars of a thread. Stretches wider than a pixel keep their edges; the rest is summed up by columns of one pixel.
///
/// `pixel` is the width of a pixel in points.
pub fn state_bars(states: &[CoarseState], from_start: impl Fn(u64) -> f64, scale: Scale, pixel: f32) -> Vec<StateBar> {
    let (left_end, right_end) = (scale.left, scale.left + scale.width);
    let mut bars = Bars {
        bars: Vec::new(),
        column: NO_COLUMN,
        number: i32::MIN,
        pixel,
    };
    for state in states {
        let left = scale.x(from_start(state.start_ns)).max(left_end);
        let right = scale.x(from_start(state.end_ns)).min(right_end);
        if left < right {
            bars.add(StateBar {
                left,
                right,
                state: state.state,
                running: f32::from(state.running) / 255.0,
            });
        }
    }
    bars.flush();
    bars.bars
}

struct Bars {
    bars: Vec<StateBar>,
    column: Column,
    number: i32,
    pixel: f32,
}

impl Bars {
    fn add(&mut self, bar: StateBar) {
        if bar.right - bar.left >= self.pixel {
            self.flush();
            self.push(bar);
            return;
        }
        let number = (bar.left / self.pixel).floor() as i32;
        if number != self.number {
            self.flush();
            self.number = number;
        }
        let width = bar.right - bar.left;
        self.column.by_state[bar.state as usize] += width;
        self.column.running += width * bar.running;
        self.column.covered += width;
    }

    /// Makes a bar of what the column holds.
    fn flush(&mut self) {
        let column = std::mem::replace(&mut self.column, NO_COLUMN);
        if column.covered <= 0.0 {
            return;
        }
        let most = (0..column.by_state.len()).max_by(|&a, &b| column.by_state[a].total_cmp(&column.by_state[b]));
        let Some(state) = most.and_then(|number| State::from_u8(number as u8)) else {
            return;
        };
        let start = self.number as f32 * self.pixel;
        let left = self
            .bars
            .last()
            .map_or(start, |last| last.right.clamp(start, start + self.pixel));
        self.push(StateBar {
            left,
            right: start + self.pixel,
            state,
            running: column.running / column.covered,
        });
    }

    /// Adds a bar, or lengthens the last one where there is no difference to see.
    fn push(&mut self, bar: StateBar) {
        if let Some(last) = self.bars.last_mut()
            && last.state == bar.state
            && (last.running - bar.running).abs() < 0.04
            && bar.left - last.right < self.pixel
        {
            last.right = last.right.max(bar.right);
            return;
        }
        self.bars.push(bar);
    }
}

/// The bar of a call or pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliceBar {
    /// Left edge, points.
    pub left: f32,
    /// Right edge, points.
    pub right: f32,
    /// What it is about.
    pub slice: Slice,
}

/// The bars of calls, `depth_max` of them stacked at the most. Those narrower than half a pixel are left out: their callers show.
pub fn slice_bars(
    slices: &[Slice],
    from_start: impl Fn(u64) -> f64,
    scale: Scale,
    pixel: f32,
    depth_max: u16,
) -> Vec<SliceBar> {
    let place = |slice: &Slice| {
        let left = scale.x(from_start(slice.start_ns)).max(scale.left - 1.0);
        let right = scale.x(from_start(slice.end_ns)).min(scale.left + scale.width + 1.0);
        SliceBar {
            left,
            right,
            slice: *slice,
        }
    };
    let bars = slices.iter().filter(|slice| slice.depth < depth_max).map(place);
    bars.filter(|bar| bar.right - bar.left >= pixel * 0.5).collect()
}

/// How many lanes of calls a row needs: none before some call is wide enough to be named, then as many as have something to see.
pub fn lanes_needed(bars: &[SliceBar], depth_max: u16) -> u16 {
    const NAMED_MIN: f32 = 24.0;
    const SEEN_MIN: f32 = 3.0;
    let width = |bar: &SliceBar| bar.right - bar.left;
    if !bars.iter().any(|bar| width(bar) >= NAMED_MIN) {
        return 0;
    }
    let deepest = bars
        .iter()
        .filter(|bar| width(bar) >= SEEN_MIN)
        .map(|bar| bar.slice.depth + 1)
        .max();
    deepest.unwrap_or(0).min(depth_max)
}

#[cfg(test)]
mod tests {
    use super::super::time::Window;
    use super::*;
    use plumb_trace::timeline::StringId;

    const SCALE: Scale = Scale {
        window: Window {
            from_ns: 0.0,
            to_ns: 1000.0,
        },
        left: 0.0,
        width: 100.0,
    };

    fn coarse(start_ns: u64, end_ns: u64, state: State, running: u8) -> CoarseState {
        CoarseState {
            start_ns,
            end_ns,
            state,
            running,
        }
    }

    fn bars(states: &[CoarseState]) -> Vec<StateBar> {
        state_bars(states, |ns| ns as f64, SCALE, 1.0)
    }

    #[test]
    fn wide_stretches_keep_their_edges() {
        let found = bars(&[coarse(5, 205, State::Running, 255), coarse(205, 605, State::Park, 0)]);
        let edges: Vec<_> = found.iter().map(|bar| (bar.left, bar.right, bar.state)).collect();
        assert_eq!(edges, [(0.5, 20.5, State::Running), (20.5, 60.5, State::Park)]);
    }

    #[test]
    fn slivers_are_summed_up_by_pixels() {
        // In every pixel (10 ns): 3 ns running, 7 ns net.
        let states: Vec<_> = (0..50)
            .flat_map(|pixel| {
                let start = pixel * 10;
                [
                    coarse(start, start + 3, State::Running, 255),
                    coarse(start + 3, start + 10, State::Net, 0),
                ]
            })
            .collect();
        let found = bars(&states);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].left, found[0].right, found[0].state), (0.0, 50.0, State::Net));
        assert!((found[0].running - 0.3).abs() < 0.01);
    }

    #[test]
    fn nothing_outside_the_window_comes() {
        let found = bars(&[coarse(0, 5000, State::Idle, 0), coarse(5000, 9000, State::Running, 255)]);
        assert_eq!(
            found,
            [StateBar {
                left: 0.0,
                right: 100.0,
                state: State::Idle,
                running: 0.0
            }]
        );
        assert!(bars(&[]).is_empty());
    }

    fn slice(start_ns: u64, end_ns: u64, depth: u16) -> Slice {
        Slice {
            start_ns,
            end_ns,
            name: StringId(1),
            depth,
            thrown: false,
            open_start: false,
            open_end: false,
        }
    }

    #[test]
    fn calls_stack_as_deep_as_there_is_something_to_see() {
        let slices = [slice(0, 500, 0), slice(10, 400, 1), slice(20, 22, 2), slice(30, 300, 9)];
        let found = slice_bars(&slices, |ns| ns as f64, SCALE, 1.0, 8);
        assert_eq!(found.iter().map(|bar| bar.slice.depth).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(lanes_needed(&found, 8), 2);
        assert_eq!(lanes_needed(&found, 1), 1);
        assert_eq!(lanes_needed(&found[1..], 8), 2);
        let narrow = slice_bars(&[slice(0, 200, 0), slice(0, 100, 1)], |ns| ns as f64, SCALE, 1.0, 8);
        assert_eq!(lanes_needed(&narrow, 8), 0, "no call could be named");
        assert_eq!(lanes_needed(&[], 8), 0);
    }
}
