//! The kernel's record: 64 bytes, one cache line, written by `collector/bpf/sched.bpf.c` into the ring of its CPU.
//!
//! ```text
//! byte  0        8    9     10   12   16   20         24         28     32          40                48       50        51    52  56     58      60
//!       time_ns  kind flags cpu  tid  pid  other_tid  other_pid  value  charged_ns  other_charged_ns  syscall  fd_kind   prio  fd  nvcsw  nivcsw  lag
//! ```
//! Records with a name (fork, exec, exit, rename) hold 16 bytes of comm at byte 32 in place of the two charged times.
//!
//! Meaning by kind (`tid`/`pid` are thread and process (tgid) ids of the initial namespace):
//!
//! | kind    | tid, pid       | other_tid, other_pid | value               | more |
//! | --- | --- | --- | --- | --- |
//! | switch  | who leaves     | who comes            | prev_state, masked  | charged: `sum_exec_runtime` of the leaver; other charged: that of the comer, low 32 bits, and with the flag WAITED above them ns that the comer has waited for a CPU since its birth, this wait included, low 32 bits; syscall, fd_kind, fd: where the leaver blocks; nvcsw, nivcsw: of the leaver, low 16 bits, this switch included; prio: of the comer; lag; flag ALONE: a tid of 0 is somebody who was not recorded |
//! | waking  | who is woken   | the waker            | CPU it was on last  | flag INTERRUPT: the waker only happened to be running |
//! | wakeup  | who is queued  | 0                    | target CPU          | lag. Only where switches have no flag WAITED |
//! | fork    | the child      | the parent           | the child's tid in its own pid namespace, 0: not known | comm of the child; flag KTHREAD |
//! | exec    | who            | old tid              | 0                   | comm after exec |
//! | exit    | who            | 0                    | 0                   | comm |
//! | rename  | who            | who renames          | 0                   | new comm |
//!
//! Only where the rules ask for them:
//!
//! | kind    | tid, pid       | other_tid, other_pid | value               | more |
//! | --- | --- | --- | --- | --- |
//! | call enter | who calls   | 0                    | 0                   | flag SYSCALL; syscall, fd_kind, fd |
//! | call exit  | who calls   | 0                    | 0                   | syscall; charged: what the call returns, a signed number |
//! | toll    | who is about to leave the CPU | minor and major page faults since some were last told of it | interrupts since it came | charged: ns in their handlers; other charged: ns in soft interrupts, interrupts in their midst not counted; fd: number of soft interrupts |
//! | stack   | whose stack it is | whom it wakes; where it blocks: 0 | frames in the parts before it: kernel + user << 8 | charged: number of the kernel's stack; other charged: of the user's; 0: there is none. See [`stack_flags`] |
//! | counted | who is about to leave the CPU | 0 | number of the first counter (see the definition of counters of slices), low 16 bits | what this counter and the two after it grew by since the thread came: charged, other charged, bytes 48 to 56. Parts of 65,535 of that time in which each was not counted: nvcsw, nivcsw, high 16 bits of value. 65,535: not at all, and its growth is not known |
//! | request | 0              | cmd_flags of the request (its lowest 8 bits are the operation), 0 | device: major << 20 + minor | done now; charged: when it was issued, 0: not told, and done some time before now; other charged: bytes; fd: error, 0 if none |
//! | probe   | who comes by  | 0                    | a number of [`probe`] | bytes 32 to 60: the name that the probe hands over, cut off at its first NUL; flag MORE: it goes on in the thread's next record of this kind |

/// Bytes of one record.
pub const KERNEL_RECORD_BYTES: usize = 64;
/// Counters that one record of kind [`KernelKind::Counted`] tells of.
pub const COUNTERS_A_RECORD: usize = 3;
/// Of a slice in which a counter was not on the hardware: its growth is not known. See [`KernelRecord::grown`].
pub const UNCOUNTED: u16 = u16::MAX;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KernelKind {
    /// sched_switch
    Switch = 1,
    /// sched_waking: the waker is known.
    Waking = 2,
    /// sched_wakeup: queued, waits for a CPU from here on.
    Wakeup = 3,
    /// sched_process_fork, also of threads (and sched_wakeup_new is a `Wakeup`).
    Fork = 4,
    /// sched_process_exec
    Exec = 5,
    /// sched_process_exit
    Exit = 6,
    /// task_rename
    Rename = 7,
    /// sys_enter
    CallEnter = 8,
    /// sys_exit
    CallExit = 9,
    /// What interrupts and page faults a slice had: written right before the switch that ends it, where there were any.
    Toll = 10,
    /// block_rq_complete
    Request = 11,
    /// A probe of libjvm.
    Probe = 12,
    /// Where a thread blocks, or who wakes it comes from: written right before its switch, or the waking.
    Stack = 13,
    /// What counters grew by in a slice: written right before the switch that ends it.
    Counted = 14,
}

impl KernelKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<KernelKind> {
        Some(match number {
            1 => KernelKind::Switch,
            2 => KernelKind::Waking,
            3 => KernelKind::Wakeup,
            4 => KernelKind::Fork,
            5 => KernelKind::Exec,
            6 => KernelKind::Exit,
            7 => KernelKind::Rename,
            8 => KernelKind::CallEnter,
            9 => KernelKind::CallExit,
            10 => KernelKind::Toll,
            11 => KernelKind::Request,
            12 => KernelKind::Probe,
            13 => KernelKind::Stack,
            14 => KernelKind::Counted,
            _ => return None,
        })
    }
}

/// In place of the ids of somebody who comes to a CPU in its end, when these were given back already, and could be one of several: only perf events tell so.
pub const NOT_TOLD: u32 = u32::MAX;

/// Bits of [`KernelRecord::flags`].
pub mod flags {
    /// switch: the leaver was preempted.
    pub const PREEMPT: u8 = 1;
    /// switch, fork: `tid` is a kernel thread.
    pub const KTHREAD: u8 = 2;
    /// waking: from interrupt context, so that the waker is not the cause.
    pub const INTERRUPT: u8 = 4;
    /// switch: who has the CPU when neither of both has it was not recorded; a tid of 0 is not the idle task.
    pub const ALONE: u8 = 4;
    /// switch: the leaver's cgroup is throttled.
    pub const THROTTLED: u8 = 8;
    /// switch: `syscall`, `fd_kind` and `fd` were read.
    pub const SYSCALL: u8 = 16;
    /// switch: the leaver sleeps on I/O (`in_iowait`).
    pub const IOWAIT: u8 = 32;
    /// switch: the comer is a kernel thread.
    pub const OTHER_KTHREAD: u8 = 64;
    /// switch: how long the comer has waited is told ([`super::KernelRecord::comer_waited`]).
    pub const WAITED: u8 = 128;
    /// probe: the name goes on.
    pub const MORE: u8 = 128;
}

/// Values of [`KernelRecord::value`] of a probe of libjvm: which one.
pub mod probe {
    /// The VM thread begins to bring all Java threads to a safepoint (`safepoint__begin`).
    pub const SAFEPOINT_BEGIN: u32 = 1;
    /// They go on (`safepoint__end`).
    pub const SAFEPOINT_END: u32 = 2;
    /// The VM thread begins an operation, with its name (`vmops__begin`).
    pub const OPERATION_BEGIN: u32 = 3;
    /// It is done (`vmops__end`).
    pub const OPERATION_END: u32 = 4;
    /// A thread is about to park (`thread__park__begin`).
    pub const PARK_BEGIN: u32 = 5;
    /// It has been parked (`thread__park__end`).
    pub const PARK_END: u32 = 6;

    /// Bytes of a name that one record holds.
    pub const PART_BYTES: usize = 28;
}

/// Bits of [`KernelRecord::flags`] of a record of kind [`KernelKind::Stack`].
///
/// A stack that was not told before is told by parts, of six addresses each, innermost frame first, right before the record that refers to it: those of the kernel's stack, then those
/// of the user's. The recorder makes definitions of parts; no recording holds them.
pub mod stack_flags {
    /// A part: six addresses stand at bytes 16 to 64.
    pub const PART: u8 = 1;
    /// It is the waker's stack; otherwise that of who blocks.
    pub const WAKER: u8 = 2;
    /// It is not told: there were too many new ones, or no room for it.
    pub const UNTOLD: u8 = 4;
}

/// Addresses in a part of a stack.
pub const STACK_PART_FRAMES: usize = 6;

/// Values of [`KernelRecord::fd_kind`]: the kind of file behind the descriptor of a blocking call.
pub mod fd_kind {
    /// The call is not on one descriptor, or it was not read.
    pub const NONE: u8 = 0;
    /// Socket.
    pub const SOCKET: u8 = 1;
    /// Regular file.
    pub const REGULAR: u8 = 2;
    /// Pipe or FIFO.
    pub const PIPE: u8 = 3;
    /// Anonymous inode: epoll, eventfd, timerfd, signalfd.
    pub const ANON: u8 = 4;
    /// Block device.
    pub const BLOCK: u8 = 5;
    /// Character device (a terminal).
    pub const CHAR: u8 = 6;
    /// Anything else.
    pub const OTHER: u8 = 7;
}

/// One record of the kernel. See the module's table for what the fields mean by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KernelRecord {
    /// CLOCK_MONOTONIC, ns.
    pub time_ns: u64,
    /// A [`KernelKind`].
    pub kind: u8,
    /// [`flags`].
    pub flags: u8,
    /// CPU that wrote the record.
    pub cpu: u16,
    /// Thread id.
    pub tid: u32,
    /// Process id.
    pub pid: u32,
    /// Thread id of the other side.
    pub other_tid: u32,
    /// Process id of the other side.
    pub other_pid: u32,
    /// prev_state or target CPU.
    pub value: u32,
    /// `sum_exec_runtime` of `tid`, ns since it was born.
    pub charged_ns: u64,
    /// switch: see [`Self::comer_charged`] and [`Self::comer_waited`].
    pub other_charged_ns: u64,
    /// System call number, -1 outside one.
    pub syscall: i16,
    /// [`fd_kind`]
    pub fd_kind: u8,
    /// Kernel priority (0..=139) of the thread that comes.
    pub prio: u8,
    /// Descriptor of the call.
    pub fd: i32,
    /// Voluntary switches of `tid` so far, low 16 bits.
    pub nvcsw: u16,
    /// Involuntary switches of `tid` so far, low 16 bits.
    pub nivcsw: u16,
    /// How far the clock that the scheduler accounts with (`rq->clock`) is behind `time_ns`, ns, plus an unknown that is the same in all records: low 32
    /// bits. 0: not known.
    pub lag: u32,
}

const _: () = assert!(size_of::<KernelRecord>() == KERNEL_RECORD_BYTES);

impl KernelRecord {
    /// Reads a record from its bytes (little endian).
    #[inline]
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KERNEL_RECORD_BYTES]) -> KernelRecord {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        KernelRecord {
            time_ns: u64_at(0),
            kind: bytes[8],
            flags: bytes[9],
            cpu: u16_at(10),
            tid: u32_at(12),
            pid: u32_at(16),
            other_tid: u32_at(20),
            other_pid: u32_at(24),
            value: u32_at(28),
            charged_ns: u64_at(32),
            other_charged_ns: u64_at(40),
            syscall: u16_at(48) as i16,
            fd_kind: bytes[50],
            prio: bytes[51],
            fd: u32_at(52) as i32,
            nvcsw: u16_at(56),
            nivcsw: u16_at(58),
            lag: u32_at(60),
        }
    }

    /// The bytes of the record (little endian).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; KERNEL_RECORD_BYTES] {
        let Self {
            time_ns,
            kind,
            flags,
            cpu,
            tid,
            pid,
            other_tid,
            other_pid,
            value,
            charged_ns,
            other_charged_ns,
            syscall,
            fd_kind,
            prio,
            fd,
            nvcsw,
            nivcsw,
            lag,
        } = *self;
        let mut bytes = [0; KERNEL_RECORD_BYTES];
        bytes[0..8].copy_from_slice(&time_ns.to_le_bytes());
        bytes[8] = kind;
        bytes[9] = flags;
        bytes[10..12].copy_from_slice(&cpu.to_le_bytes());
        bytes[12..16].copy_from_slice(&tid.to_le_bytes());
        bytes[16..20].copy_from_slice(&pid.to_le_bytes());
        bytes[20..24].copy_from_slice(&other_tid.to_le_bytes());
        bytes[24..28].copy_from_slice(&other_pid.to_le_bytes());
        bytes[28..32].copy_from_slice(&value.to_le_bytes());
        bytes[32..40].copy_from_slice(&charged_ns.to_le_bytes());
        bytes[40..48].copy_from_slice(&other_charged_ns.to_le_bytes());
        bytes[48..50].copy_from_slice(&syscall.to_le_bytes());
        bytes[50] = fd_kind;
        bytes[51] = prio;
        bytes[52..56].copy_from_slice(&fd.to_le_bytes());
        bytes[56..58].copy_from_slice(&nvcsw.to_le_bytes());
        bytes[58..60].copy_from_slice(&nivcsw.to_le_bytes());
        bytes[60..64].copy_from_slice(&lag.to_le_bytes());
        bytes
    }

    /// switch: the comer's `sum_exec_runtime`, ns, low 32 bits.
    #[must_use]
    pub fn comer_charged(&self) -> u32 {
        self.other_charged_ns as u32
    }

    /// switch: how long the comer has waited for a CPU since its birth, this wait included (the kernel's `run_delay`), ns, low 32 bits; `None` where it is not told.
    #[must_use]
    pub fn comer_waited(&self) -> Option<u32> {
        (self.flags & flags::WAITED != 0).then_some((self.other_charged_ns >> 32) as u32)
    }

    /// switch: puts in what [`Self::comer_charged`] and [`Self::comer_waited`] give.
    pub fn set_comer(&mut self, charged_ns: u64, waited_ns: Option<u64>) {
        let waited = waited_ns.unwrap_or(0) << 32;
        self.other_charged_ns = charged_ns & u64::from(u32::MAX) | waited;
        self.flags |= if waited_ns.is_some() { flags::WAITED } else { 0 };
    }

    /// The addresses of a part of a stack, see [`stack_flags`].
    #[must_use]
    pub fn frames(&self) -> [u64; STACK_PART_FRAMES] {
        let bytes = self.to_bytes();
        let mut words = bytes[16..].as_chunks::<8>().0.iter();
        std::array::from_fn(|_| words.next().map_or(0, |word| u64::from_le_bytes(*word)))
    }

    /// counted: the number of the first counter, and what it and the two after it grew by, each with the part (of 65,535) of the slice in which it was not counted.
    #[must_use]
    pub fn grown(&self) -> (u16, [(u64, u16); COUNTERS_A_RECORD]) {
        let bytes = self.to_bytes();
        let third = u64::from_le_bytes(std::array::from_fn(|at| bytes[48 + at]));
        let grown = [
            (self.charged_ns, self.nvcsw),
            (self.other_charged_ns, self.nivcsw),
            (third, (self.value >> 16) as u16),
        ];
        (self.value as u16, grown)
    }

    /// counted: puts in what [`Self::grown`] gives.
    pub fn set_grown(&mut self, first: u16, [one, two, three]: [(u64, u16); COUNTERS_A_RECORD]) {
        self.value = u32::from(first) | u32::from(three.1) << 16;
        (self.charged_ns, self.nvcsw) = one;
        (self.other_charged_ns, self.nivcsw) = two;
        let mut bytes = self.to_bytes();
        bytes[48..56].copy_from_slice(&three.0.to_le_bytes());
        *self = KernelRecord::from_bytes(&bytes);
    }

    /// The comm of fork, exec, exit and rename, up to its first NUL; what is not UTF-8 is replaced.
    #[must_use]
    pub fn comm(&self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.charged_ns.to_le_bytes());
        bytes[8..].copy_from_slice(&self.other_charged_ns.to_le_bytes());
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// What this record holds of a probe's name, up to its first NUL.
    #[must_use]
    pub fn name_part(&self) -> Vec<u8> {
        let part = &self.to_bytes()[32..32 + probe::PART_BYTES];
        part.iter().copied().take_while(|&byte| byte != 0).collect()
    }

    /// Puts a part of a name (cut to [`probe::PART_BYTES`]) where [`Self::name_part`] finds it.
    pub fn set_name_part(&mut self, part: &[u8]) {
        let mut bytes = self.to_bytes();
        let name = &mut bytes[32..32 + probe::PART_BYTES];
        let length = part.len().min(name.len());
        name.fill(0);
        name[..length].copy_from_slice(&part[..length]);
        *self = KernelRecord::from_bytes(&bytes);
    }

    /// Puts a comm (cut to 15 bytes) where [`Self::comm`] finds it.
    pub fn set_comm(&mut self, comm: &str) {
        let mut bytes = [0; 16];
        let length = comm.len().min(15);
        bytes[..length].copy_from_slice(&comm.as_bytes()[..length]);
        let (low, high) = bytes.split_at(8);
        self.charged_ns = u64::from_le_bytes(low.try_into().unwrap_or_default());
        self.other_charged_ns = u64::from_le_bytes(high.try_into().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        let bytes: [u8; 64] = std::array::from_fn(|index| index as u8 ^ 0xa5);
        assert_eq!(KernelRecord::from_bytes(&bytes).to_bytes(), bytes);
    }

    #[test]
    fn what_counters_grew_by_leaves_the_rest_of_the_record_alone() {
        let bytes: [u8; 64] = std::array::from_fn(|index| index as u8 ^ 0xa5);
        let mut record = KernelRecord::from_bytes(&bytes);
        let grown = (3, [(1 << 40, 5), (u64::MAX, UNCOUNTED), (0x0102_0304_0506_0708, 9)]);
        record.set_grown(grown.0, grown.1);
        assert_eq!(record.grown(), grown);
        assert_eq!(
            (&record.to_bytes()[..28], &record.to_bytes()[60..]),
            (&bytes[..28], &bytes[60..])
        );
    }

    #[test]
    fn comm_is_cut_to_fifteen_bytes() {
        let mut record = KernelRecord::default();
        record.set_comm("http-nio-8080-exec-1");
        assert_eq!(record.comm(), "http-nio-8080-e");
    }

    #[test]
    fn a_part_of_a_name_leaves_the_rest_of_the_record_alone() {
        let bytes: [u8; 64] = std::array::from_fn(|index| index as u8 ^ 0xa5);
        let mut record = KernelRecord::from_bytes(&bytes);
        for name in ["", "G1CollectForAllocation", "VirtualThreadGetFrameLocation"] {
            record.set_name_part(name.as_bytes());
            assert_eq!(
                record.name_part(),
                &name.as_bytes()[..name.len().min(probe::PART_BYTES)]
            );
            assert_eq!(
                (&record.to_bytes()[..32], &record.to_bytes()[60..]),
                (&bytes[..32], &bytes[60..])
            );
        }
    }
}
