//! The JVM's record: 16 bytes, written by probes and callbacks inside the JVM into the chunk of their carrier thread (see [`crate::arena`]).
//!
//! ```text
//! bit   0      64     72        96       128
//!       ticks  kind   detail    value
//! word  0      1 (low 8, next 24, high 32)
//! ```
//!
//! | kind           | detail (24 bits) | value (32 bits) |
//! | --- | --- | --- |
//! | enter          | key's number     | probe id: the method's number, see [`crate::definition::Definition::Method`]; the key is the unit's, 0 for none |
//! | exit           | 0                | probe id |
//! | thrown         | 0                | probe id: the call was left by an exception |
//! | monitor_enter  | class number     | identity hash of the object: a contended enter begins |
//! | monitor_entered| class number     | identity hash: the monitor is had |
//! | wait           | class number     | identity hash: Object.wait begins |
//! | waited         | 1: timed out     | identity hash |
//! | gc_start       | 0                | 0: a pause of the JVM begins (written by the VM thread) |
//! | gc_finish      | 0                | 0 |
//! | armed          | 0                | 0: from here on this thread is recorded (first record of a stream) |
//! | park           | class number     | 0: LockSupport.park begins; the class is the blocker's, 0 where there is none |
//! | unparked       | 0                | 0: it ends |
//! | sleep          | 0                | 0: Thread.sleep begins |
//! | slept          | 0                | 0: it ends |
//! | idle           | 0                | 0: from here on the thread, a pool's worker, asks for work |
//! | busy           | 0                | 0: it has some, or ends |
//! | mount          | id, high 24 bits | id, low 32 bits: from here on the virtual thread with this Java id is on this carrier |
//! | unmount        | id, high 24 bits | id, low 32 bits: from here on it is not |
//! | vthread_start  | id, high 24 bits | id, low 32 bits: the virtual thread begins, mounted here |
//! | vthread_end    | id, high 24 bits | id, low 32 bits: it ends |
//! | past           | ticks, high 24 bits | ticks, low 32 bits: a call that was long enough to be told began so long ago; `called` comes next |
//! | called         | depth * 2, plus 1 where an exception left it | probe id: that call ends here. Depth is that among calls of such rules |
//! | counted        | how many, in units of the place's scale | number of a place, see [`crate::definition::Definition::Place`]: so many more of what is counted there |
//! | stack          | number of a stack | Linux thread id, as the JVM sees it, of another thread that waits since long: this is where, see [`crate::definition::Definition::JavaStack`] |
//! | vthread_stack  | number of a stack | Java id, low 32 bits, of a virtual thread that waits since long, with a carrier or without: this is where |
//! | vthread_ready  | id, high 24 bits | id, low 32 bits: this thread gives the virtual thread with this Java id to its scheduler: from here on it waits for a carrier. It may be told twice before the mount |
//! | hand_over      | 0                | identity hash of a task: from here on it waits to be run, on behalf of whatever unit this thread works for |
//! | run            | 0: a pool's next task; 1: one within whatever runs | identity hash: that task begins here |
//! | ran            | 0                | identity hash: it ends |
//! | taken_back     | 0                | identity hash: no pool will run that task |
//! | starts         | id, high 24 bits | id, low 32 bits: this thread starts the virtual thread with this Java id |
//!
//! `ticks` are the TSC's, or CLOCK_MONOTONIC ns where the TSC cannot be used: the stream's segments say which.

/// Bytes of one record.
pub const JVM_RECORD_BYTES: usize = 16;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the module's table says it")]
pub enum JvmKind {
    Enter = 1,
    Exit = 2,
    Thrown = 3,
    MonitorEnter = 4,
    MonitorEntered = 5,
    Wait = 6,
    Waited = 7,
    GcStart = 8,
    GcFinish = 9,
    Armed = 10,
    Park = 11,
    Unparked = 12,
    Sleep = 13,
    Slept = 14,
    Idle = 15,
    Busy = 16,
    Mount = 17,
    Unmount = 18,
    VthreadStart = 19,
    VthreadEnd = 20,
    Past = 21,
    Called = 22,
    Counted = 23,
    Stack = 24,
    VthreadStack = 25,
    VthreadReady = 26,
    HandOver = 40,
    Run = 41,
    Ran = 42,
    TakenBack = 43,
    Starts = 44,
}

impl JvmKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<JvmKind> {
        Some(match number {
            1 => JvmKind::Enter,
            2 => JvmKind::Exit,
            3 => JvmKind::Thrown,
            4 => JvmKind::MonitorEnter,
            5 => JvmKind::MonitorEntered,
            6 => JvmKind::Wait,
            7 => JvmKind::Waited,
            8 => JvmKind::GcStart,
            9 => JvmKind::GcFinish,
            10 => JvmKind::Armed,
            11 => JvmKind::Park,
            12 => JvmKind::Unparked,
            13 => JvmKind::Sleep,
            14 => JvmKind::Slept,
            15 => JvmKind::Idle,
            16 => JvmKind::Busy,
            17 => JvmKind::Mount,
            18 => JvmKind::Unmount,
            19 => JvmKind::VthreadStart,
            20 => JvmKind::VthreadEnd,
            21 => JvmKind::Past,
            22 => JvmKind::Called,
            23 => JvmKind::Counted,
            24 => JvmKind::Stack,
            25 => JvmKind::VthreadStack,
            26 => JvmKind::VthreadReady,
            40 => JvmKind::HandOver,
            41 => JvmKind::Run,
            42 => JvmKind::Ran,
            43 => JvmKind::TakenBack,
            44 => JvmKind::Starts,
            _ => return None,
        })
    }
}

/// One record of the JVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct JvmRecord {
    /// TSC, or CLOCK_MONOTONIC ns.
    pub ticks: u64,
    /// Kind, detail and value, packed.
    pub word: u64,
}

const _: () = assert!(size_of::<JvmRecord>() == JVM_RECORD_BYTES);

impl JvmRecord {
    /// Largest class number: what does not fit is class 0, "not named".
    pub const DETAIL_MAX: u32 = (1 << 24) - 1;

    /// In place of a key's number: a key beyond those that are told apart.
    pub const KEY_OTHER: u32 = Self::DETAIL_MAX;

    /// The second word of a record.
    #[must_use]
    pub const fn pack(kind: JvmKind, detail: u32, value: u32) -> u64 {
        kind as u64 | ((detail & Self::DETAIL_MAX) as u64) << 8 | (value as u64) << 32
    }

    /// The second word of a record with one large number in the place of detail and value, of 56 bits: a virtual thread's Java id, or ticks.
    #[must_use]
    pub const fn pack_id(kind: JvmKind, java_id: u64) -> u64 {
        Self::pack(kind, (java_id >> 32) as u32, java_id as u32)
    }

    /// The large number of such a record.
    #[must_use]
    pub const fn java_id(&self) -> u64 {
        (self.detail() as u64) << 32 | self.value() as u64
    }

    /// A record of its parts.
    #[must_use]
    pub const fn new(ticks: u64, kind: JvmKind, detail: u32, value: u32) -> JvmRecord {
        JvmRecord {
            ticks,
            word: Self::pack(kind, detail, value),
        }
    }

    /// The kind, or `None` where the number means nothing to this version.
    #[must_use]
    pub fn kind(&self) -> Option<JvmKind> {
        JvmKind::from_u8(self.word as u8)
    }

    /// The detail: the number of a class or a key, or a flag.
    #[must_use]
    pub const fn detail(&self) -> u32 {
        (self.word >> 8) as u32 & Self::DETAIL_MAX
    }

    /// The value: a probe id or an identity hash.
    #[must_use]
    pub const fn value(&self) -> u32 {
        (self.word >> 32) as u32
    }

    /// Reads a record from its bytes (little endian).
    #[must_use]
    pub fn from_bytes(bytes: &[u8; JVM_RECORD_BYTES]) -> JvmRecord {
        let word = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        JvmRecord {
            ticks: word(0),
            word: word(8),
        }
    }

    /// The bytes of the record (little endian).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; JVM_RECORD_BYTES] {
        let mut bytes = [0; JVM_RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.ticks.to_le_bytes());
        bytes[8..].copy_from_slice(&self.word.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        let record = JvmRecord::new(7, JvmKind::MonitorEnter, 0x00ab_cdef, 0xdead_beef);
        assert_eq!(
            (record.kind(), record.detail(), record.value()),
            (Some(JvmKind::MonitorEnter), 0xab_cdef, 0xdead_beef)
        );
        assert_eq!(JvmRecord::from_bytes(&record.to_bytes()), record);
    }
}
