//! The recorder's side: puts the agent into JVMs and talks to it.
//!
//! - [`attach`] reaches a JVM that runs, [`Listener`] those that are started with the agent. Both give a [`JvmSession`].
//! - [`look`] asks what rules would match, and changes nothing.
//! - [`detach`] ends a session that somebody else left behind.
//! - [`checks`] is `plumb doctor`'s part for JVMs.
//!
//! Everything has a timeout, and nothing that a JVM or its user can write (process names, sockets, messages) is believed further than it is checked.

mod attach;
mod doctor;
mod error;
mod hotspot;
mod identity;
mod library;
mod listener;
mod look;
mod options;
mod patience;
mod place;
mod receive_fd;
mod seats;
mod session;
mod stale;
mod target;

pub use crate::look::{LoadedClass, LoadedMethod};
pub use crate::protocol::{Armed, Stopped};
pub use attach::{AttachOptions, attach, detach};
pub use doctor::{Check, JvmProcess, checks, running_jvms};
pub use error::AttachError;
pub use library::agent_library;
pub use listener::{Listener, Users};
pub use look::{Loaded, look};
pub use session::JvmSession;

use plumb_trace::arena::{self, Clock};

/// What a session records, and how.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Compiled rules (`plumb_filters::Rules::compile`).
    pub matcher: Vec<u8>,
    /// Bytes of the arena of each JVM.
    pub arena_bytes: usize,
    /// Clock of the records: see [`host_clock`].
    pub clock: Clock,
}

impl SessionConfig {
    /// These rules, an arena of the default size, the host's clock.
    #[must_use]
    pub fn new(matcher: Vec<u8>) -> SessionConfig {
        SessionConfig {
            matcher,
            arena_bytes: arena::DEFAULT_BYTES,
            clock: host_clock(),
        }
    }
}

/// The clock that probes may read here: the TSC where the kernel itself trusts it.
#[must_use]
pub fn host_clock() -> Clock {
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let is_tsc = cfg!(target_arch = "x86_64") && source.is_ok_and(|source| source.trim() == "tsc");
    if is_tsc { Clock::Tsc } else { Clock::Monotonic }
}
