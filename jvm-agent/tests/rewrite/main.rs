//! The class rewriter against real classes and real JVMs.

mod begins;
mod behaviour;
mod java;
#[allow(dead_code, reason = "other tests ask more of a runtime")]
#[path = "../support/jdks.rs"]
mod jdks;
mod left_alone;
mod linking;
mod mutations;
