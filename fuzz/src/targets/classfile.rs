//! The rewriter: any bytes may be a class of somebody's.

use plumb_agent::classfile::ClassView;
use plumb_agent::rewrite::{MethodInfo, Probes, rewrite, round_trip};

/// What is written can be read again, and is not much longer than what was given.
pub fn run(bytes: &[u8]) {
    let mut every = |_: &str, method: &MethodInfo<'_>| Some(method.code_len.wrapping_mul(1_000));
    if let Ok(Some(rewritten)) = rewrite(bytes, &Probes::PLUMB, &mut every) {
        // The shortest instruction, a return, grows to seven bytes; a method brings at most a few dozen.
        let bytes_max = 8 * bytes.len() + 100 * (rewritten.probed.len() + 10);
        assert!(
            rewritten.bytes.len() < bytes_max,
            "{} of {}",
            rewritten.bytes.len(),
            bytes.len()
        );
        ClassView::parse(&rewritten.bytes).expect("what was written can be read");
    }
    let _ = round_trip(bytes);
    if let Ok(view) = ClassView::parse(bytes) {
        let _ = view.annotations();
        for method in &view.methods {
            let _ = view.method_annotations(method);
        }
    }
}

/// Compiled from examples/ by javac 17; see seeds/README.md.
pub fn seeds() -> Vec<Vec<u8>> {
    let all: [&[u8]; 4] = [
        include_bytes!("../../seeds/classfile/Turnover.class"),
        include_bytes!("../../seeds/classfile/Calls.class"),
        include_bytes!("../../seeds/classfile/Inventory.class"),
        include_bytes!("../../seeds/classfile/OrderServlet.class"),
    ];
    all.map(<[u8]>::to_vec).to_vec()
}
