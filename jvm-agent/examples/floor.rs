//! The floor under every probe that is called natively and looks at the clock: a native method of `examples/hot/Hot.java` that does nothing else.

#![allow(unsafe_code, missing_docs, reason = "a native method, for a benchmark")]

use std::ffi::c_void;
use std::hint::black_box;

/// `Hot.tick(int)`
#[unsafe(no_mangle)]
pub extern "system" fn Java_Hot_tick(_env: *mut c_void, _class: *mut c_void, _id: i32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    black_box(unsafe { core::arch::x86_64::_rdtsc() });
    #[cfg(not(target_arch = "x86_64"))]
    black_box(std::time::Instant::now());
}
