//! What the merge reads: recordings, put on one clock and in one order.

mod clock;
mod definitions;
mod lane;
mod load;
mod order;

pub(crate) use definitions::Classes;
pub(crate) use lane::{Consumer, Gap, Lane, LaneKind};
pub(crate) use load::{HostInput, Input, JvmInput, load, written_until};
pub(crate) use order::run;
