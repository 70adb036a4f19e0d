//! The load: wrk, with few enough connections that the healthy server has CPU to spare.

use crate::process::{Background, bound};
use anyhow::Result;
use std::process::Stdio;

/// Connections, each with one request under way.
const CONNECTIONS: &str = "6";

/// What is asked of the shop. With auditing on, every request wants the lock of the audit log: one of the demo's two illnesses.
pub fn path(healthy: bool) -> &'static str {
    if healthy {
        "/order?rounds=200000"
    } else {
        "/order?rounds=2000000&audit=on"
    }
}

/// Starts wrk, for as long as the value lives.
pub fn start(url: &str) -> Result<Background> {
    let mut wrk = bound("wrk");
    wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--duration", "1h", url])
        .stdout(Stdio::null());
    Background::start("wrk", &mut wrk)
}
