//! The kernel side of plumb, and the recorder that drains every ring to disk.
//!
//! Design constraints:
//! - What the scheduler does is written by BPF programs into rings that user space has mapped: no record passes through a system call.
//! - Produced = stored + lost, for each ring, exactly; a loss stands in the recording where it happened.
//! - Memory is bounded whatever comes: rings, arenas and parcels have fixed sizes, and where they are full records are lost and counted.
//! - One thread drains at real-time priority and does nothing else; another one encodes and writes at ordinary priority.
//! - Whatever is killed at whatever moment, what was written can be read: segments are appended whole.
//!
//! Entry points: [`Recorder::start`], [`doctor::checks`].

mod arena;
mod cgroup;
pub mod clock;
mod devices;
pub mod doctor;
mod drain;
mod error;
pub mod flight;
mod glob;
mod kernel;
mod libjvm;
mod live;
#[doc(hidden)]
pub mod outside;
mod parcel;
mod privilege;
pub mod proc;
mod recorder;
mod shared_memory;
mod snapshot;
mod symbols;
pub mod trigger;
pub mod usdt;
mod watch;
mod writer;

pub use arena::{ArenaTotals, JvmSource};
pub use error::CollectorError;
pub use kernel::{
    COUNTERS_MAX, Counter, Extras, Interface, KernelOptions, ProgramCost, RingTotals, Scope, Selectors, Stacks,
    enable_statistics, probe_cost,
};
pub use live::Counts;
pub use privilege::Capabilities;
pub use recorder::{Options, Recorder, Summary};
