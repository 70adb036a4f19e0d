//! What is around the timeline: the bar at the top, the details and the legend at the bottom, tooltip, keys.

pub mod details;
pub mod help;
pub mod keys;
pub mod legend;
pub mod toolbar;
pub mod tooltip;
