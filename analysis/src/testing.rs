//! Timelines that tests fill.

pub(crate) use plumb_trace::timeline::Memory as Fake;
use plumb_trace::timeline::TimelineFile;

/// The same as a file, for what a reader of files must answer alike.
pub(crate) fn written(fake: &Fake) -> TimelineFile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fake.plumb");
    fake.write(&path).unwrap();
    TimelineFile::open(&path).unwrap()
}
