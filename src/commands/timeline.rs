//! What the commands that read a timeline share.

use crate::{
    failure::{OrRemedy, of_reading},
    time::Time,
};
use anyhow::{Result, anyhow};
use plumb_analysis::Window;
use plumb_trace::timeline::{Query, TimelineFile};
use std::path::Path;

/// What to do about a timeline that cannot be read.
pub const REMEDY: &str = "if its recording is still there, make it again: plumb merge DIR";

/// Opens a timeline.
pub fn open(path: &Path) -> Result<TimelineFile> {
    TimelineFile::open(path).map_err(anyhow::Error::from).or_else(|error| {
        let remedy = of_reading(&error).unwrap_or(REMEDY);
        Err(error).or_remedy(remedy)
    })
}

/// The part of a timeline that the user asks for.
pub fn window(timeline: &TimelineFile, from: Option<Time>, to: Option<Time>) -> Result<Window> {
    let start_ns = timeline.info().from_ns;
    let window = Window::of(
        timeline,
        from.map(|time| time.to_ns(start_ns)),
        to.map(|time| time.to_ns(start_ns)),
    );
    // A recorder that was killed at its begin leaves a timeline without a length: what there is to say of it is the loss.
    if window.length_ns() == 0 && (from.is_some() || to.is_some()) {
        let length_ns = timeline.info().to_ns.saturating_sub(start_ns);
        let cause = Err(anyhow!(
            "the timeline, {length_ns} ns long, has nothing between --from and --to"
        ));
        return cause.remedy("give times within it, --from before --to");
    }
    Ok(window)
}
