//! A target under libFuzzer, which brings `main`; PLUMB_FUZZ_TARGET names the target. `cargo xtask fuzz` builds and runs this.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plumb_fuzz::{Target, target};
use std::sync::OnceLock;

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("PLUMB_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("PLUMB_FUZZ_TARGET names no target: {name:?}"))
    })
}

fuzz_target!(|bytes: &[u8]| (chosen().run)(bytes));
