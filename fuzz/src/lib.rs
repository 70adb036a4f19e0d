//! Whatever reads bytes that others wrote, as a function that takes any bytes: it may refuse them, it must not panic, and what it takes must hold together.
//!
//! Design constraints:
//! - A target is a function and its seeds; how it is driven is not its business. `cargo test` drives each with a few thousand mutations of its seeds (`tests/`),
//!   `cargo xtask fuzz` for as long as one likes, guided by coverage (`guided.rs`), and an input that failed is fed again by `plumb-fuzz replay`.
//! - Checksums are mended before a reader sees the bytes: somebody who means harm computes them too, and a fuzzer never gets past them.

mod build;
mod elf;
pub mod mutate;
mod targets;

pub use targets::{TARGETS, Target, target};
