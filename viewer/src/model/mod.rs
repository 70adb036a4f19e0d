//! What the window shows, apart from how it is drawn: no type of egui's here.

pub mod chart;
pub mod counter;
pub mod describe;
pub mod lanes;
pub mod occupancy;
pub mod pauses;
pub mod search;
pub mod session;
pub mod source;
pub mod time;
pub mod tree;
pub mod units;
