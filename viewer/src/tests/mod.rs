//! Tests of the whole viewer, on a timeline in memory.

mod pictures;
mod synthetic;
