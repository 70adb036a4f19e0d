//! Where a thread's next record goes: a few words per thread, reached in one instruction.
//!
//! A library that is loaded at run time reaches its thread-locals through a call (`__tls_get_addr`), which a probe would pay twice per method.
//! These words use the initial-exec model instead: the dynamic loader gives them a place in the static block of every thread,
//! those that run already included, and zeroes it. Glibc keeps 512 bytes of room for this; we take 32.

#![allow(
    unsafe_code,
    reason = "a thread-local of the initial-exec model has no other form in stable Rust"
)]

use std::sync::atomic::AtomicU32;

use plumb_trace::arena::{CHUNK_HEADER_BYTES, CHUNK_RECORDS, ChunkHeader};
use plumb_trace::record::JvmRecord;

/// Where the calling thread's next record goes. All zero until the thread has written its first one.
#[repr(C)]
pub struct Cursor {
    /// The session that `chunk` belongs to. 0: none yet.
    pub epoch: u64,
    /// The thread's chunk, or null.
    pub chunk: *mut u8,
    /// Records in it.
    pub count: u32,
    reserved: u32,
}

impl Cursor {
    /// No chunk, no room: the next record takes the slow path.
    pub const fn without_chunk(epoch: u64) -> Cursor {
        Cursor {
            epoch,
            chunk: std::ptr::null_mut(),
            count: CHUNK_RECORDS as u32,
            reserved: 0,
        }
    }

    /// At the begin of a chunk of session `epoch`.
    pub const fn at(epoch: u64, chunk: *mut u8) -> Cursor {
        Cursor {
            epoch,
            chunk,
            count: 0,
            reserved: 0,
        }
    }

    /// Where record `index` of the chunk stands.
    #[inline(always)]
    pub fn record(&self, index: u32) -> *mut JvmRecord {
        self.chunk
            .wrapping_add(CHUNK_HEADER_BYTES)
            .cast::<JvmRecord>()
            .wrapping_add(index as usize)
    }

    /// The count of records that the recorder sees.
    #[inline(always)]
    pub fn head(&self) -> *const AtomicU32 {
        self.chunk.wrapping_add(std::mem::offset_of!(ChunkHeader, head)).cast()
    }
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .tbss.plumb_cursor, \"awT\", @nobits",
    ".p2align 5",
    ".globl plumb_cursor",
    ".hidden plumb_cursor",
    ".type plumb_cursor, @object",
    ".size plumb_cursor, 32",
    "plumb_cursor:",
    ".zero 32",
    ".popsection",
);

const _: () = assert!(size_of::<Cursor>() <= 32);

/// The calling thread's cursor: valid until the thread ends.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn cursor() -> *mut Cursor {
    let address: *mut Cursor;
    // SAFETY: reads the symbol's offset from the global offset table and adds the thread pointer; nothing is written.
    unsafe {
        core::arch::asm!(
            "mov {address}, qword ptr [rip + plumb_cursor@GOTTPOFF]",
            "add {address}, qword ptr fs:[0]",
            address = out(reg) address,
            options(pure, nomem, nostack),
        );
    }
    address
}

/// The calling thread's cursor: valid until the thread ends.
#[cfg(not(target_arch = "x86_64"))]
pub fn cursor() -> *mut Cursor {
    use std::cell::UnsafeCell;
    thread_local! {
        static CURSOR: UnsafeCell<Cursor> =
            const { UnsafeCell::new(Cursor { epoch: 0, chunk: std::ptr::null_mut(), count: 0, reserved: 0 }) };
    }
    CURSOR.with(UnsafeCell::get)
}
