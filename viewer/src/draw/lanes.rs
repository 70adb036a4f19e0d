//! What is drawn right of a row's label: states, calls, units, pauses, occupancy, losses.

use super::bars::Bars;
use super::text::Fit;
use super::{overview, rows, text};
use crate::cache::{Cache, Lanes, Want};
use crate::model::chart::{ChartBar, chart_bars};
use crate::model::counter::{self, Counter, Step};
use crate::model::lanes::{self, SliceBar, StateBar};
use crate::model::occupancy::{Columns, busy, shade_of};
use crate::model::search::Search;
use crate::model::source::Source;
use crate::model::time::Scale;
use crate::palette::{self, ui};
use crate::theme::SMALL;
use eframe::egui::{Color32, Painter, Rect, pos2, vec2};
use plumb_trace::State;
use plumb_trace::timeline::{CoarseOccupancy, Loss, TrackId, TrackKind, Unit};

/// Calls that are stacked under a thread, at the most.
pub const CALL_LANES_MAX: u16 = 8;
/// Height of a lane of calls, points.
pub const CALL_HEIGHT: f32 = 15.0;
/// Narrowest bar that is given a text, points.
const TEXT_WIDTH_MIN: f32 = 30.0;

/// A text that is drawn over the bars.
struct Caption {
    place: Rect,
    text: String,
    colour: Color32,
    fit: Fit,
}

/// Draws the lanes of one source's rows; everything is collected, and painted at the end.
pub struct Brush<'a> {
    /// The source and its number.
    pub source: (usize, &'a Source),
    /// The shades of its processes.
    pub shades: &'a [usize],
    /// Where times lie.
    pub scale: Scale,
    /// What is searched for.
    pub search: &'a Search,
    /// Answers.
    pub cache: &'a mut Cache,
    bars: Bars,
    captions: Vec<Caption>,
    pixel: f32,
}

impl<'a> Brush<'a> {
    /// A brush with nothing drawn.
    pub fn new(
        source: (usize, &'a Source),
        shades: &'a [usize],
        scale: Scale,
        search: &'a Search,
        cache: &'a mut Cache,
        pixels_per_point: f32,
    ) -> Brush<'a> {
        let (bars, captions, pixel) = (Bars::new(pixels_per_point), Vec::new(), 1.0 / pixels_per_point);
        Brush {
            source,
            shades,
            scale,
            search,
            cache,
            bars,
            captions,
            pixel,
        }
    }

    /// Paints what was drawn.
    pub fn paint(self, painter: &Painter) {
        self.bars.paint(painter);
        for caption in self.captions {
            text::inside(
                painter,
                caption.place,
                &caption.text,
                &SMALL,
                caption.colour,
                caption.fit,
            );
        }
    }

    fn answer(&mut self, track: TrackId, want: Want) -> std::rc::Rc<Lanes> {
        self.cache.lanes(self.source, track, want, self.scale)
    }

    fn span(&self, start_ns: u64, end_ns: u64, top: f32, bottom: f32) -> Rect {
        let source = self.source.1;
        let edge = |ns: u64| {
            let x = self.scale.x(source.since_start_ns(ns));
            x.clamp(self.scale.left - 1.0, self.scale.left + self.scale.width + 1.0)
        };
        Rect::from_min_max(pos2(edge(start_ns), top), pos2(edge(end_ns), bottom))
    }

    fn caption(&mut self, place: Rect, text: impl Into<String>, colour: Color32, fit: Fit) {
        if place.width() >= TEXT_WIDTH_MIN {
            self.captions.push(Caption {
                place,
                text: text.into(),
                colour,
                fit,
            });
        }
    }

    /// Draws a thread's row, and says how many lanes its calls want.
    pub fn thread(&mut self, row: Rect, thread: TrackId, jvm: Option<TrackId>) -> u16 {
        let answer = self.answer(thread, Want::Thread);
        let source = self.source.1;
        let bar = rows::bar(row);
        let from_start = |ns| source.since_start_ns(ns);
        for state in lanes::state_bars(&answer.states, from_start, self.scale, self.pixel) {
            self.state(bar, state);
        }
        self.units(row, thread);
        let calls = lanes::slice_bars(&answer.slices, from_start, self.scale, self.pixel, CALL_LANES_MAX);
        let wanted = lanes::lanes_needed(&calls, CALL_LANES_MAX);
        for call in calls.iter().filter(|call| call.slice.depth < wanted) {
            self.call(row, *call);
        }
        if let Some(jvm) = jvm {
            self.veil(row, jvm);
        }
        self.losses(bar, thread);
        wanted
    }

    fn state(&mut self, bar: Rect, state: StateBar) {
        let look = palette::state(state.state);
        let part = |height: f32| {
            let top = bar.bottom() - bar.height() * height;
            Rect::from_min_max(pos2(state.left, top), pos2(state.right, bar.bottom()))
        };
        let place = part(look.height);
        let running = palette::state(State::Running).colour;
        if look.hatched {
            self.bars.hatch(place, look.colour);
        } else if state.state == State::Running && state.running < 0.97 {
            self.bars.add(place, running.gamma_multiply(0.45));
        } else {
            self.bars.add(place, look.colour);
        }
        if state.state == State::Running || state.running > 0.02 {
            self.bars.add(part(state.running.max(0.14)), running);
        }
        let pure = state.running < 0.02 || state.state == State::Running;
        if pure && state.right - state.left >= TEXT_WIDTH_MIN {
            let colour = match look.height < 0.5 || look.hatched {
                true => ui::WEAK,
                false => palette::text_on(look.colour),
            };
            let text_place = if look.height < 0.5 {
                part(1.0).translate(eframe::egui::vec2(0.0, -2.0))
            } else {
                place
            };
            self.caption(text_place, state.state.name(), colour, Fit::Whole);
        }
    }

    /// A line above the states wherever the thread does a unit of work, with a gap between two.
    fn units(&mut self, row: Rect, thread: TrackId) {
        let units = self.cache.units(self.source, self.scale);
        let Some(units) = units.get(&thread) else { return };
        let mut last_right = f32::MIN;
        for unit in units {
            let mut place = self.span(unit.start_ns, unit.end_ns, row.top() + 0.5, row.top() + 3.0);
            if place.right() <= last_right {
                continue;
            }
            if place.width() >= 4.0 {
                place.min.x += 1.0;
            }
            last_right = place.right().max(place.left() + self.pixel);
            self.bars.add(place, unit_colour(unit));
        }
    }

    fn call(&mut self, row: Rect, call: SliceBar) {
        let top = row.top() + rows::ROW_HEIGHT + f32::from(call.slice.depth) * CALL_HEIGHT;
        let place = Rect::from_min_max(pos2(call.left, top), pos2(call.right, top + CALL_HEIGHT - 1.0));
        let (number, source) = self.source;
        let name = source.query.string(call.slice.name);
        let found = self.search.names(number, call.slice.name, name);
        let colour = match (found, self.search.is_empty() || self.search.rows().is_some()) {
            (true, _) => ui::FOUND,
            (false, true) => palette::method(name),
            (false, false) => palette::method(name).gamma_multiply(0.5),
        };
        self.bars.add(place, colour);
        if place.width() > 3.0 {
            // A dark edge, so that calls one after the other stay apart.
            self.bars.add(
                Rect::from_min_max(place.min, pos2(place.left() + 1.0, place.bottom())),
                ui::BACKGROUND,
            );
        }
        if call.slice.thrown {
            let edge = Rect::from_min_max(pos2(place.right() - 2.0, place.top()), place.max);
            self.bars.add(edge, ui::ALARM);
        }
        for (open, edge) in [
            (call.slice.open_start, place.left()),
            (call.slice.open_end, place.right() - 6.0),
        ] {
            if open && place.width() >= 6.0 {
                self.bars.hatch(
                    Rect::from_min_max(pos2(edge, place.top()), pos2(edge + 6.0, place.bottom())),
                    ui::TEXT,
                );
            }
        }
        self.caption(
            place,
            name,
            if found {
                ui::BACKGROUND
            } else {
                palette::text_on(colour)
            },
            Fit::Cut,
        );
    }

    /// The pauses of a JVM, laid faintly over a thread of its.
    fn veil(&mut self, row: Rect, jvm: TrackId) {
        let colour = palette::state(State::Pause).colour.gamma_multiply(0.24);
        for pause in self.pause_bars(jvm) {
            let place = Rect::from_min_max(pos2(pause.left, row.top()), pos2(pause.right, row.bottom()));
            self.bars.add(place, colour);
        }
    }

    fn pause_bars(&mut self, jvm: TrackId) -> Vec<SliceBar> {
        let answer = self.answer(jvm, Want::Pauses);
        let source = self.source.1;
        let mut bars: Vec<SliceBar> = Vec::new();
        for pause in answer.slices.iter().filter(|pause| pause.depth == 0) {
            let place = self.span(pause.start_ns, pause.end_ns, 0.0, 1.0);
            let inside = source.since_start_ns(pause.end_ns) >= self.scale.window.from_ns
                && source.since_start_ns(pause.start_ns) <= self.scale.window.to_ns;
            // Two within a pixel are one line.
            if inside && bars.last().is_none_or(|last| place.right() > last.left + self.pixel) {
                bars.push(SliceBar {
                    left: place.left(),
                    right: place.right().max(place.left() + self.pixel),
                    slice: *pause,
                });
            }
        }
        bars
    }

    /// Draws the pauses of a JVM on its own row.
    pub fn pauses(&mut self, row: Rect, jvm: TrackId) {
        let bar = rows::bar(row);
        let colour = palette::state(State::Pause).colour;
        for pause in self.pause_bars(jvm) {
            let place = Rect::from_min_max(pos2(pause.left, bar.top()), pos2(pause.right, bar.bottom()));
            self.bars.add(place, colour);
            let name = self.source.1.query.string(pause.slice.name);
            self.caption(place, name, Color32::WHITE, Fit::Cut);
        }
        self.losses(bar, jvm);
    }

    /// Draws who had a CPU.
    pub fn cpu(&mut self, row: Rect, cpu: TrackId) {
        let bar = rows::bar(row);
        self.bars.add(bar.with_min_x(self.scale.left), Color32::from_gray(30));
        let answer = self.answer(cpu, Want::Cpu);
        self.occupancy(bar, &answer.occupancy);
        self.losses(bar, cpu);
    }

    /// Wide stretches as they are; the rest summed up by pixels, so that the height tells the share.
    fn occupancy(&mut self, bar: Rect, occupancy: &[CoarseOccupancy]) {
        const WIDE: f32 = 3.0;
        let source = self.source.1;
        let count = (self.scale.width / self.pixel).ceil().max(1.0) as usize;
        let window = self.scale.window;
        let mut slivers = Columns::empty(window.from_ns, window.to_ns, count);
        let mut wide: Vec<(Rect, usize, TrackId)> = Vec::new();
        let first = occupancy.partition_point(|each| source.since_start_ns(each.end_ns) <= window.from_ns);
        let seen = occupancy.get(first..).unwrap_or_default().iter();
        for each in seen.take_while(|each| source.since_start_ns(each.start_ns) < window.to_ns) {
            let Some(track) = each.track else { continue };
            let Some(shade) = shade_of(source, self.shades, track) else {
                continue;
            };
            let (from_ns, to_ns) = (source.since_start_ns(each.start_ns), source.since_start_ns(each.end_ns));
            let place = self.span(each.start_ns, each.end_ns, bar.top(), bar.bottom());
            if place.width() >= WIDE {
                let top = bar.bottom() - bar.height() * busy(each);
                wide.push((place.with_min_y(top), shade, track));
            } else {
                slivers.add(from_ns, to_ns, shade, busy(each));
            }
        }
        self.columns(bar, &slivers);
        for (place, shade, track) in wide {
            let colour = palette::shade(shade);
            self.bars.add(place, colour);
            self.bars
                .add(place.with_max_x(place.left() + self.pixel), ui::BACKGROUND);
            if place.width() >= TEXT_WIDTH_MIN {
                let name = source.track(track).map_or("", |track| &track.name);
                self.caption(place, name, palette::text_on(colour), Fit::Cut);
            }
        }
    }

    fn columns(&mut self, bar: Rect, columns: &Columns) {
        for (number, column) in columns.columns.iter().enumerate() {
            let from_ns = columns.from_ns + number as f64 * columns.step_ns;
            let (left, right) = (self.scale.x(from_ns), self.scale.x(from_ns + columns.step_ns));
            if right > self.scale.left && left < self.scale.left + self.scale.width {
                overview::stack(&mut self.bars, bar, left.max(self.scale.left), right, column);
            }
        }
    }

    /// Draws a counter's chart. Gives its value under the pointer, else what its values on the screen are.
    pub fn counter(&mut self, row: Rect, track: TrackId, pointer_ns: Option<f64>) -> String {
        const NOTHING: &str = "no value here";
        let source = self.source.1;
        let answer = self.answer(track, Want::Counter);
        let window = self.scale.window;
        let absolute = (source.absolute_ns(window.from_ns), source.absolute_ns(window.to_ns));
        let (Some(counter), Some(summary)) = (counter::of(source, track), counter::summary(&answer.steps, absolute))
        else {
            return NOTHING.to_owned();
        };
        self.chart(row, &counter, &summary, &answer.steps);
        match pointer_ns {
            Some(at_ns) => {
                let step = counter::step_at(&answer.steps, source.absolute_ns(at_ns));
                step.map_or(NOTHING.to_owned(), |step| counter.written_step(step))
            }
            None => counter.written_summary(&summary),
        }
    }

    fn chart(&mut self, row: Rect, counter: &Counter, summary: &Step, steps: &[Step]) {
        let source = self.source.1;
        let limits = counter::limits(counter.shape(), summary.low, summary.high);
        let area = rows::chart(row).with_min_x(self.scale.left);
        let colour = palette::counter(counter.kind());
        self.bars.add(area, Color32::from_gray(24));
        for bar in chart_bars(steps, |ns| source.since_start_ns(ns), self.scale, self.pixel) {
            self.chart_bar(area, limits, bar, colour);
        }
        let top = Rect::from_min_size(area.min, vec2(160.0, 13.0));
        self.caption(top, counter.written(limits.1), ui::TEXT, Fit::Whole);
    }

    /// An area up to the mean with a bright edge, and fainter above it up to the largest value.
    fn chart_bar(&mut self, area: Rect, (bottom, top): (f64, f64), bar: ChartBar, colour: Color32) {
        let y = |value: f64| area.bottom() - ((value - bottom) / (top - bottom)).clamp(0.0, 1.0) as f32 * area.height();
        let part = |from: f32, to: f32| {
            Rect::from_min_max(
                pos2(bar.left, from.min(to)),
                pos2(bar.right, from.max(to).max(from.min(to) + 1.0)),
            )
        };
        if bar.high > bar.low {
            self.bars
                .add(part(y(bar.low), y(bar.high)), colour.gamma_multiply(0.35));
        }
        if bar.mean != 0.0 {
            self.bars.add(part(y(0.0), y(bar.mean)), colour.gamma_multiply(0.5));
        }
        let edge = y(bar.mean).min(area.bottom() - 1.0);
        self.bars.add(part(edge, edge + 1.0), colour);
    }

    fn losses(&mut self, bar: Rect, track: TrackId) {
        let source = self.source.1;
        for loss in source.query.losses() {
            let place = self.span(loss.from_ns, loss.to_ns, bar.top(), bar.bottom());
            let inside = place.right() >= self.scale.left && place.left() <= self.scale.left + self.scale.width;
            if inside && concerns(source, loss, track) {
                // What is drawn there is a guess: push it back.
                self.bars.add(place, ui::BACKGROUND.gamma_multiply(0.8));
                self.bars.hatch(place, ui::ALARM);
            }
        }
    }
}

fn unit_colour(unit: &Unit) -> Color32 {
    match (unit.thrown, unit.complete) {
        (true, _) => ui::ALARM,
        (false, true) => ui::TEXT,
        (false, false) => ui::WEAK,
    }
}

/// Whether a stream that lost records is that of a track: `cpu-0` of CPU 0, `jvm-4711/NAME` of a thread of that name, `jvm-4711` of the JVM.
pub fn concerns(source: &Source, loss: &Loss, track: TrackId) -> bool {
    let Some(found) = source.track(track) else { return false };
    let Some(process) = source.query.processes().get(found.process.0 as usize) else {
        return false;
    };
    let stream = loss.stream.as_str();
    match found.kind {
        TrackKind::Cpu => number_after(stream, "cpu-") == found.tid,
        TrackKind::Jvm => number_after(stream, "jvm-") == Some(process.pid),
        _ => {
            number_after(stream, "jvm-") == Some(process.pid)
                && stream.split_once('/').is_some_and(|(_, name)| name == found.name)
        }
    }
}

/// The number behind the last `mark` of a stream's name; names of several hosts have the host before it.
fn number_after(stream: &str, mark: &str) -> Option<u32> {
    let (_, rest) = stream.rsplit_once(mark)?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_tell_whose_they_are() {
        assert_eq!(number_after("cpu-12", "cpu-"), Some(12));
        assert_eq!(number_after("host-a/cpu-0", "cpu-"), Some(0));
        assert_eq!(number_after("jvm-4711/exec-1", "jvm-"), Some(4711));
        assert_eq!(number_after("cpu-", "cpu-"), None);
        assert_eq!(number_after("jvm-99999999999", "jvm-"), None);
    }
}
