//! What the window looks like: pictures compared with those in `viewer/goldens/`.

use super::synthetic::{self, FROM_NS};
use crate::app::Viewer;
use crate::headless;
use crate::headless::raster::Picture;
use crate::model::session::{Command, Selected, Selection};
use crate::model::time::Window;
use crate::model::tree::Key;
use eframe::egui::{Color32, Event, pos2};
use std::path::{Path, PathBuf};

/// Set to bless new pictures.
const BLESS: &str = "PLUMB_BLESS";
/// A pixel differs where a channel differs by more.
const CHANNEL_MAX: i16 = 24;
/// Share of pixels that may differ.
const PIXELS_MAX: f64 = 0.002;

fn viewer() -> Viewer {
    let mut viewer = Viewer::new(vec![synthetic::source()]);
    viewer.finish_overview();
    viewer
}

fn picture(viewer: &mut Viewer, size: (u32, u32)) -> Picture {
    headless::render(size, Vec::new(), |ui| viewer.ui(ui)).expect("a picture of this size can be made")
}

fn window(from_ms: f64, to_ms: f64) -> Command {
    Command::Show(Window {
        from_ns: from_ms * 1e6,
        to_ns: to_ms * 1e6,
    })
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("goldens")
        .join(format!("{name}.png"))
}

fn read_png(path: &Path) -> Picture {
    let file =
        std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}; {BLESS}=1 makes it", path.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .expect("a golden is a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a golden is small")];
    let frame = reader.next_frame(&mut bytes).expect("a golden is whole");
    let pixels = bytes[..frame.buffer_size()]
        .as_chunks::<3>()
        .0
        .iter()
        .map(|&[r, g, b]| Color32::from_rgb(r, g, b))
        .collect();
    Picture {
        width: frame.width as usize,
        height: frame.height as usize,
        pixels,
    }
}

fn check(name: &str, picture: &Picture) {
    let path = golden(name);
    if std::env::var_os(BLESS).is_some() {
        headless::write_png(picture, &path).expect("a golden can be written");
        return;
    }
    let expected = read_png(&path);
    assert_eq!(
        (picture.width, picture.height),
        (expected.width, expected.height),
        "{name}"
    );
    let far = |(a, b): &(&Color32, &Color32)| {
        a.to_array()
            .iter()
            .zip(b.to_array())
            .any(|(a, b)| (i16::from(*a) - i16::from(b)).abs() > CHANNEL_MAX)
    };
    let different = picture.pixels.iter().zip(&expected.pixels).filter(far).count();
    let share = different as f64 / picture.pixels.len() as f64;
    if share > PIXELS_MAX {
        let actual = std::env::temp_dir().join(format!("plumb-{name}.png"));
        headless::write_png(picture, &actual).expect("the picture can be written");
        panic!(
            "{name}: {different} pixels differ; compare {} with {}",
            actual.display(),
            path.display()
        );
    }
}

/// The first stretch of a thread in a state, from 500 ms on.
fn first(viewer: &Viewer, name: &str, state: plumb_trace::State) -> Selection {
    let query = &viewer.sources()[0].query;
    let thread = query.tracks().iter().position(|track| track.name == name);
    let thread = plumb_trace::timeline::TrackId(thread.expect("it is there") as u32);
    let states = query.states(thread, FROM_NS + 500_000_000, FROM_NS + 530_000_000);
    let interval = states
        .expect("it has states")
        .into_iter()
        .find(|interval| interval.state == state);
    Selection {
        key: Key::Track(0, thread),
        what: Selected::State(interval.expect("it is in this state once")),
    }
}

#[test]
fn everything_at_once() {
    check("whole", &picture(&mut viewer(), (1600, 900)));
}

#[test]
fn a_selected_interval_is_explained() {
    let mut viewer = viewer();
    viewer.apply(window(500.0, 530.0));
    let monitor = first(&viewer, "http-nio-8080-exec-3", plumb_trace::State::Monitor);
    viewer.apply(Command::Select(Some(monitor)));
    check("selected", &picture(&mut viewer, (1600, 900)));
}

#[test]
fn the_pointer_explains_what_it_is_over() {
    let mut viewer = viewer();
    viewer.apply(window(500.0, 530.0));
    let pointer = vec![Event::PointerMoved(pos2(450.0, 251.0))];
    let picture =
        headless::render((1200, 600), pointer, |ui| viewer.ui(ui)).expect("a picture of this size can be made");
    check("hovered", &picture);
}

#[test]
fn counters_are_charts() {
    let mut viewer = Viewer::new(vec![synthetic::source_with_counters()]);
    viewer.finish_overview();
    let headings = viewer.headings_of_counters();
    for key in headings {
        viewer.apply(Command::Toggle(key));
    }
    let pointer = vec![Event::PointerMoved(pos2(700.0, 240.0))];
    let picture =
        headless::render((1200, 700), pointer, |ui| viewer.ui(ui)).expect("a picture of this size can be made");
    check("counters", &picture);
}

#[test]
fn a_selected_value_is_explained() {
    let mut viewer = Viewer::new(vec![synthetic::source_with_counters()]);
    viewer.finish_overview();
    viewer.apply(window(500.0, 1500.0));
    let track = |(place, _): (usize, &plumb_trace::timeline::Track)| plumb_trace::timeline::TrackId(place as u32);
    let pressure = viewer.sources()[0]
        .query
        .tracks()
        .iter()
        .enumerate()
        .find(|(_, track)| track.name == "psi.io.some")
        .map(track);
    viewer.apply(Command::Select(Some(Selection {
        key: Key::Track(0, pressure.expect("it is there")),
        what: Selected::Row,
    })));
    viewer.apply(Command::Step { back: false });
    viewer.apply(Command::Step { back: false });
    check("selected-value", &picture(&mut viewer, (1600, 700)));
}

fn viewer_with_causes() -> Viewer {
    let mut viewer = Viewer::new(vec![synthetic::source_with_causes()]);
    viewer.finish_overview();
    // A sample of the counters lies within.
    viewer.apply(window(495.0, 525.0));
    viewer
}

#[test]
fn stacks_and_counters_of_a_sleep_are_shown() {
    let mut viewer = viewer_with_causes();
    let net = first(&viewer, "http-nio-8080-exec-3", plumb_trace::State::Net);
    viewer.apply(Command::Select(Some(net)));
    check("stacks", &picture(&mut viewer, (1600, 900)));
}

#[test]
fn causes_of_a_pause_are_shown() {
    let mut viewer = viewer_with_causes();
    let heading = viewer.row_of_pauses().expect("a JVM");
    viewer.apply(Command::Select(Some(Selection {
        key: heading,
        what: Selected::Row,
    })));
    viewer.apply(Command::Step { back: false });
    check("pause", &picture(&mut viewer, (1600, 900)));
}

#[test]
fn keys_are_explained() {
    let mut viewer = viewer();
    viewer.apply(Command::Help(true));
    check("help", &picture(&mut viewer, (1200, 600)));
}

#[test]
fn a_search_narrows_the_rows_in_a_small_window() {
    let mut viewer = viewer();
    viewer.apply(window(1300.0, 1600.0));
    viewer.apply(Command::Search("exec-1".to_owned()));
    check("search", &picture(&mut viewer, (900, 420)));
}

#[test]
fn found_calls_stand_out() {
    let mut viewer = viewer();
    viewer.apply(Command::Search("stock.reserve".to_owned()));
    viewer.apply(Command::Next { back: false });
    check("found-call", &picture(&mut viewer, (1600, 900)));
}

#[test]
fn the_same_picture_every_time() {
    let one = picture(&mut viewer(), (1200, 600));
    let other = picture(&mut viewer(), (1200, 600));
    assert!(one.pixels == other.pixels);
}
