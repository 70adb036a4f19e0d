//! The class rewriter against real classes and real JVMs.

mod behaviour;
mod java;
mod linking;
mod mutations;
