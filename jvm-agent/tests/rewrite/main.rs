//! The class rewriter against real classes and real JVMs.

mod begins;
mod behaviour;
mod java;
mod linking;
mod mutations;
