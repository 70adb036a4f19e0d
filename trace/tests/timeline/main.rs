//! Timelines: answers of a file against a naive model of the same rows, and what is damaged.

mod damage;
mod levels;
mod model;
mod rows;
mod size;
