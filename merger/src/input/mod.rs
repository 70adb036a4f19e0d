//! What the merge reads: recordings, put on one clock and in one order.

mod absent;
mod clock;
mod definitions;
mod lane;
mod lanes;
mod left_alone;
mod load;
mod order;

pub(crate) use definitions::{Classes, Place};
pub(crate) use lane::{Consumer, Gap, Lane, LaneKind};
pub(crate) use load::{HostInput, Input, JvmInput, load};
pub(crate) use order::run;
