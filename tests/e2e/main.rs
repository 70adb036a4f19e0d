//! The command against real JVMs and a real kernel. What judges a timeline here are books that somebody else keeps: the kernel's
//! (schedstat), the JVM's (its GC log), or those of the traced program itself (examples/).
//!
//! `cargo xtask test` installs what these tests need. On a machine that denies something, the tests that need it say so and why;
//! what `plumb doctor` calls working may not be skipped.

mod bad_input;
mod calls;
mod carriers;
mod counters;
mod damage;
mod enter;
mod exits;
mod extras;
mod flight;
mod gc;
mod held;
mod interrupt;
#[path = "../../jvm-agent/tests/support/jdks.rs"]
mod jdks;
mod jvm_counters;
mod kernel_books;
mod killed;
mod left_behind;
mod live_rules;
mod long_waits;
mod losses;
mod netty;
mod offline;
mod queues;
mod rules_check;
mod safepoints;
mod spinner;
mod stacks;
mod support;
mod survive;
mod units;
mod witness;
