//! The Paraver export of a timeline written by hand, and what Paraver's readers want of any.

mod support;

use plumb_trace::timeline::Query;
use std::path::Path;
use support::{Script, merge};

#[test]
fn paraver() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join("calls.in")).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = Script::parse(&text).record(&temp.path().join("in"), 5).dir;
    let (_, timeline) = merge(&[dir], &temp.path().join("out.plumb")).unwrap();
    let files = plumb_merger::export::paraver(&timeline, &temp.path().join("out.prv")).unwrap();
    for file in &files {
        let found = std::fs::read_to_string(file).unwrap();
        let expected = folder.join("calls").with_extension(file.extension().unwrap());
        if std::env::var_os("PLUMB_BLESS").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(found == wanted, "PLUMB_BLESS=1 makes this the expectation:\n{found}");
    }
    check_order_and_sums(&std::fs::read_to_string(&files[0]).unwrap(), &timeline);
}

/// Records are in order of time, calls are balanced, and the states of each row are as long as its life.
fn check_order_and_sums(prv: &str, timeline: &dyn Query) {
    let mut last = 0;
    let mut states = 0;
    let mut open = 0i64;
    for line in prv.lines().skip(1) {
        let fields: Vec<u64> = line.split(':').map(|field| field.parse().unwrap()).collect();
        assert!(fields[5] >= last, "{line}");
        last = fields[5];
        match fields[0] {
            1 => states += fields[6] - fields[5],
            _ => open += if fields[7] == 0 { -1 } else { 1 },
        }
        assert!(open >= 0);
    }
    let lives: u64 = timeline
        .tracks()
        .iter()
        .filter(|track| track.kind == plumb_trace::timeline::TrackKind::Thread)
        .map(|track| track.end_ns - track.start_ns)
        .sum();
    assert_eq!((states, open), (lives, 0));
}
