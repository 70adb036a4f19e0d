//! Tests of the whole viewer, on a timeline in memory.

mod causes;
mod damage;
mod interaction;
mod model;
mod pictures;
mod synthetic;
