//! Timelines that are empty, odd, damaged or missing: the viewer says so, and lives on.

use super::synthetic::{server, source, with_counters};
use crate::app::Viewer;
use crate::model::session::Command;
use crate::model::source::Source;
use crate::model::time::Window;
use crate::{Part, ViewError, headless, screenshot, window_of};
use plumb_trace::timeline::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn drawn(query: impl Query + 'static) -> Viewer {
    let mut viewer = Viewer::new(vec![Source {
        query: Box::new(query),
        label: "bad.plumb".into(),
    }]);
    viewer.finish_overview();
    headless::render((800, 400), Vec::new(), |ui| viewer.ui(ui)).expect("a picture of this size can be made");
    viewer
}

#[test]
fn damage_is_said_once() {
    let mut damaged = with_counters();
    damaged.is_damaged = true;
    let viewer = drawn(damaged);
    assert_eq!(viewer.problems().len(), 1, "{:?}", viewer.problems());
    assert!(viewer.problems()[0].contains("4711"));
}

#[test]
fn a_timeline_of_nothing_is_shown_as_nothing() {
    drawn(Memory::default());
    let mut without_time = server();
    without_time.info.to_ns = without_time.info.from_ns;
    drawn(without_time);
}

#[test]
fn numbers_that_point_nowhere_do_no_harm() {
    let mut odd = server();
    for track in &mut odd.tracks {
        track.process = ProcessId(u32::MAX);
        track.group = Some(99);
    }
    drawn(odd);
    let mut groups = server();
    groups.info.groups.clear();
    groups.info.hosts.clear();
    drawn(groups);
}

#[test]
fn a_timeline_that_turns_back_is_drawn_as_empty() {
    let mut backwards = server();
    std::mem::swap(&mut backwards.info.from_ns, &mut backwards.info.to_ns);
    drawn(backwards);
}

#[test]
fn the_end_of_time_can_be_shown() {
    let mut late = server();
    late.info.from_ns = u64::MAX - 1000;
    late.info.to_ns = u64::MAX;
    drawn(late).apply(Command::Show(Window {
        from_ns: 900.0,
        to_ns: 1000.0,
    }));
}

fn message(path: &Path) -> String {
    let error = screenshot(
        &[path.to_owned()],
        Path::new("/nonexistent/out.png"),
        (800, 600),
        Part::default(),
    );
    error.expect_err("this is no timeline").to_string()
}

#[test]
fn files_that_are_no_timelines_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let empty = dir.path().join("empty.plumb");
    std::fs::write(&empty, b"").expect("a file");
    let junk = dir.path().join("junk.plumb");
    std::fs::write(&junk, vec![7; 4096]).expect("a file");
    let cases = [
        (dir.path(), "is a directory"),
        (&empty, "is empty"),
        (&junk, "junk.plumb"),
        (&dir.path().join("none"), "none: "),
    ];
    for (path, cause) in cases {
        let said = message(path);
        let lines: Vec<_> = said.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains(cause), "{said}");
    }
    assert!(matches!(
        screenshot(&[], Path::new("x.png"), (800, 600), Part::default()),
        Err(ViewError::NoFile)
    ));
}

#[test]
fn a_picture_of_a_recording_is_its_owner_s_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("out.png");
    let picture = headless::render((200, 200), Vec::new(), |_| {}).expect("a picture");
    headless::write_png(&picture, &path).expect("it is written");
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn sizes_and_windows_out_of_bounds_are_refused() {
    for size in [(0, 600), (800, 100_000)] {
        assert!(matches!(
            headless::render(size, Vec::new(), |_| {}),
            Err(ViewError::Size(..))
        ));
    }
    let sources = [source()];
    let from = sources[0].query.info().from_ns;
    let part = |from_ns, to_ns| Part { from_ns, to_ns };
    assert!(window_of(&sources, part(Some(from + 10), Some(from + 5))).is_err());
    assert!(window_of(&sources, part(Some(from + 3_000_000_000), None)).is_err());
    assert!(window_of(&sources, part(None, Some(from))).is_err());
    let window = window_of(&sources, part(Some(from + 1000), None)).expect("this is within");
    assert_eq!(
        window,
        Window {
            from_ns: 1000.0,
            to_ns: 2e9
        }
    );
}
