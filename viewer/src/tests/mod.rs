//! Tests of the whole viewer, on a timeline in memory.

mod damage;
mod interaction;
mod model;
mod pictures;
mod synthetic;
