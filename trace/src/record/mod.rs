//! Records: what probes write into rings. Fixed size, plain data, the same on both sides.

mod jvm;
mod kernel;

pub use jvm::{JVM_RECORD_BYTES, JvmKind, JvmRecord};
pub use kernel::{
    COUNTERS_A_RECORD, KERNEL_RECORD_BYTES, KernelKind, KernelRecord, NOT_TOLD, STACK_PART_FRAMES, UNCOUNTED, fd_kind,
    flags, probe, stack_flags,
};
