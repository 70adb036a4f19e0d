//! plumb inside a JVM, and the client that puts it there.
//!
//! Three parts:
//! - [`agent`] is `libplumb_agent.so`: JVMTI callbacks, probes, the threads' rings, a control thread.
//! - [`classfile`] and [`rewrite`] put probes into methods; they know nothing of a JVM.
//! - [`client`] is what `plumb record` uses: the attach protocol, and the conversation with the agent ([`protocol`]).
//!
//! Design constraints:
//! - A traced JVM never crashes, hangs or changes behaviour because of plumb: every callback has a panic barrier, every doubt about a class
//!   leaves it alone and counts it, and no lock of ours is held across a call into the JVM.
//! - A probe does not allocate, lock, call the kernel or call back into Java (`agent::probe`).
//! - The library links std, libc, libloading, the types of JVMTI and the two small parts of plumb that it shares with the recorder: the records' layout and the rules' matcher.
//! - The socket to the recorder is the life line: when it closes, for whatever reason, the JVM gets its own bytecode back.

pub mod agent;
pub mod classfile;
pub mod client;
mod credentials;
mod look;
pub mod protocol;
pub mod rewrite;
