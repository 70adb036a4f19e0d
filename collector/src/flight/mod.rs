//! The flight recorder: the last of everything is kept in memory, encoded as it would be on the disk, and nothing is written until somebody asks.
//!
//! The writer hands its segments to a [`Window`] in place of files. The window forgets the oldest when it is full; what these defined (who is there, how it is called) goes
//! into its [`Base`], so that a recording that begins in the middle knows everybody. Saving makes an ordinary recording of base and window, in a thread of its own.

mod ask;
mod base;
mod memory;
mod save;
mod size;
mod stacks;
mod window;

pub(crate) use ask::THREAD;
pub use ask::ask_to_save;
pub(crate) use base::Base;
pub(crate) use memory::most as memory_max;
pub(crate) use save::{Request, Saver};
pub(crate) use size::{Load, Sizer};
pub(crate) use window::{Kept, Window};

use crate::trigger::Trigger;
use std::path::PathBuf;

/// Longest time after a trigger that is saved, too, where nothing else is said, ns.
pub const AFTER_NS: u64 = 1_000_000_000;

/// How much a flight recorder keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// This many bytes of encoded segments.
    Bytes(u64),
    /// What is not older, ns: as many bytes as come in that time, but no more than an eighth of the memory that is available.
    Time(u64),
}

impl Keep {
    fn age_max_ns(self) -> u64 {
        match self {
            Keep::Bytes(_) => u64::MAX,
            Keep::Time(ns) => ns,
        }
    }
}

/// What a flight recorder is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Flight {
    /// How much it keeps.
    pub keep: Keep,
    /// When it saves by itself.
    pub triggers: Vec<Trigger>,
}

/// A window that was saved, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The recording; within the directory of [`crate::Options`].
    pub dir: PathBuf,
    /// What set it off.
    pub reason: String,
    /// From when on everything is there, CLOCK_MONOTONIC ns. Later than was asked for where the memory did not hold more.
    pub from_ns: u64,
    /// Until when, CLOCK_MONOTONIC ns.
    pub to_ns: u64,
    /// How much before `from_ns` was asked for, too, and was forgotten because the memory held no more, ns.
    pub missing_ns: u64,
    /// Why it is not there, or not whole.
    pub error: Option<String>,
}
