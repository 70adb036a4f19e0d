//! A program whose threads sleep in functions that are known: `waits_for_stock` in `checks_stock` in `serves_order`, and `waits_for_door` in `closes_shop`.
//!
//! These keep frame pointers, whatever the compiler does elsewhere, so that an unwinder that goes by them finds each; and each sleeps by itself, so that nothing lies between them and the kernel. One
//! thread wakes another, from `wakes_other`. Prints one line of JSON: its process's and threads' ids, and how often and how long at least each has slept.

#![allow(unsafe_code, reason = "functions whose frames are known are written in assembly")]

use anyhow::Result;
use rustix::thread::gettid;
use std::arch::naked_asm;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often each sleeps.
const ORDERS: u32 = 20;
const CLOSINGS: u32 = 15;
const WAKES: u32 = 10;
/// How long, ns.
const STOCK_NS: u64 = 5_000_000;
const DOOR_NS: u64 = 8_000_000;
/// Between two wakes.
const BETWEEN: Duration = Duration::from_millis(5);

/// What nanosleep takes.
#[repr(C)]
struct Timespec {
    seconds: u64,
    ns: u64,
}

/// Calls another function with the same argument, in a frame of its own.
macro_rules! calls {
    ($name:ident => $inner:ident) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        extern "C" fn $name(argument: *const Timespec) {
            naked_asm!("push rbp", "mov rbp, rsp", "call {inner}", "nop", "pop rbp", "ret", inner = sym $inner)
        }
    };
}

/// nanosleep(argument, NULL), in a frame of its own.
macro_rules! sleeps {
    ($name:ident) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        extern "C" fn $name(argument: *const Timespec) {
            naked_asm!(
                "push rbp",
                "mov rbp, rsp",
                "mov eax, 35",
                "xor esi, esi",
                "syscall",
                "pop rbp",
                "ret"
            )
        }
    };
}

sleeps!(waits_for_stock);
calls!(checks_stock => waits_for_stock);
calls!(serves_order => checks_stock);
sleeps!(waits_for_door);
calls!(closes_shop => waits_for_door);

/// futex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL), in a frame of its own.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn waits_for_other(word: *const AtomicU32) {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov esi, 128",
        "xor edx, edx",
        "xor r10d, r10d",
        "mov eax, 202",
        "syscall",
        "pop rbp",
        "ret"
    )
}

/// futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1), in a frame of its own.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn wakes_other(word: *const AtomicU32) {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov esi, 129",
        "mov edx, 1",
        "mov eax, 202",
        "syscall",
        "pop rbp",
        "ret"
    )
}

fn main() -> Result<()> {
    let clerk = std::thread::Builder::new()
        .name("clerk".into())
        .spawn(|| sleep_often(serves_order, ORDERS, STOCK_NS))?;
    let porter = std::thread::Builder::new()
        .name("porter".into())
        .spawn(|| sleep_often(closes_shop, CLOSINGS, DOOR_NS))?;
    let (clerk, porter) = (joined(clerk)?, joined(porter)?);
    let woken = wake_often()?;
    println!(
        "{{\"pid\": {}, \"clerk\": {clerk}, \"porter\": {porter}, \"woken\": {{\"tid\": {woken}, \"times\": {WAKES}}}}}",
        std::process::id()
    );
    Ok(())
}

fn joined(thread: std::thread::JoinHandle<String>) -> Result<String> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread died"))
}

fn sleep_often(sleep: extern "C" fn(*const Timespec), times: u32, ns: u64) -> String {
    let argument = Timespec { seconds: 0, ns };
    for _ in 0..times {
        sleep(&raw const argument);
    }
    let tid = gettid().as_raw_nonzero();
    format!(
        "{{\"tid\": {tid}, \"times\": {times}, \"ns\": {}}}",
        u64::from(times) * ns
    )
}

/// The main thread wakes another, each time when that sleeps. Gives the other's thread id.
fn wake_often() -> Result<i32> {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    let sleeper = std::thread::Builder::new().name("sleeper".into()).spawn(|| {
        for _ in 0..WAKES {
            waits_for_other(&raw const WORD);
            WOKEN.fetch_add(1, Ordering::SeqCst);
        }
        gettid().as_raw_nonzero().get()
    })?;
    for wake in 1..=WAKES {
        let began = Instant::now();
        while WOKEN.load(Ordering::SeqCst) < wake && began.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(BETWEEN);
            wakes_other(&raw const WORD);
        }
    }
    sleeper.join().map_err(|_| anyhow::anyhow!("a thread died"))
}
