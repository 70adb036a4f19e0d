//! The class rewriter against real classes and real JVMs.

mod begins;
mod behaviour;
mod java;
mod left_alone;
mod linking;
mod mutations;
