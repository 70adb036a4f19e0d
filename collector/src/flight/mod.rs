//! The flight recorder: the last of everything is kept in memory, encoded as it would be on the disk, and nothing is written until somebody asks.
//!
//! The writer hands its segments to a [`Window`] in place of files. The window forgets the oldest when it is full; what these defined (who is there, how it is called) goes
//! into its [`Base`], so that a recording that begins in the middle knows everybody. Saving makes an ordinary recording of base and window, in a thread of its own.

mod ask;
mod base;
mod save;
mod stacks;
mod window;

pub(crate) use ask::THREAD;
pub use ask::ask_to_save;
pub(crate) use base::Base;
pub(crate) use save::{Request, Saver};
pub(crate) use window::{Kept, Window};

use crate::trigger::Trigger;
use std::path::PathBuf;

/// Longest time after a trigger that is saved, too, where nothing else is said, ns.
pub const AFTER_NS: u64 = 1_000_000_000;
/// Most memory that encoded segments take where only a time is said, bytes.
const BYTES_MAX: u64 = 256 << 20;

/// How much a flight recorder keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// This many bytes of encoded segments.
    Bytes(u64),
    /// What is not older, ns; 256 MiB at most.
    Time(u64),
}

impl Keep {
    fn bytes_max(self) -> u64 {
        match self {
            Keep::Bytes(bytes) => bytes,
            Keep::Time(_) => BYTES_MAX,
        }
    }

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
