//! Ctrl-C and SIGTERM: the first asks the work to finish cleanly, the second ends the process as the system does by itself.

use anyhow::{Context, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use std::sync::{Arc, atomic::AtomicBool};

/// A flag that is raised by the first such signal.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Registered first, so that it looks at the flag before the other raises it.
        flag::register_conditional_default(signal, Arc::clone(&stop)).context("cannot catch signals")?;
        flag::register(signal, Arc::clone(&stop)).context("cannot catch signals")?;
    }
    Ok(stop)
}
