//! Definitions: what gives names to the numbers in records. Variable length, written seldom.
//!
//! ```text
//! kind (u8) | at (varint) | fields in the order of the variant: numbers as varints, strings as varint length + UTF-8, flags as one byte
//! ```
//! `at` is a time on the clock of the stream that the definition stands in (ticks in a JVM's, CLOCK_MONOTONIC ns in the host's).
//! A reader skips kinds that it does not know: each definition is framed with its length by its carrier.

use crate::varint;

/// Longest string that is accepted or written, bytes; longer ones are cut at a character's border.
pub const STRING_MAX: usize = 16 << 10;

/// Most numbers of a list that is accepted or written; what is beyond is cut.
pub const LIST_MAX: usize = 1 << 10;

/// In place of a class in [`Definition::LeftAlone`]: stacks of long waits that were not taken.
pub const STACKS: &str = "(stacks)";

/// A definition with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// When, on the clock of its stream.
    pub at: u64,
    /// What.
    pub definition: Definition,
}

macro_rules! definitions {
    ($($(#[$doc:meta])* $name:ident = $number:literal { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? })*) => {
        /// What is defined.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Definition {
            $($(#[$doc])* $name { $($(#[$field_doc])* $field: $type),* },)*
        }

        impl Dated {
            /// Appends the definition's bytes.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match &self.definition {
                    $(Definition::$name { $($field),* } => {
                        out.push($number);
                        varint::put(out, self.at);
                        $($field.encode(out);)*
                    })*
                }
            }

            /// Reads one definition from exactly these bytes: `Ok(None)` where the kind is not known to this version.
            ///
            /// # Errors
            /// [`Malformed`] where a field is cut short, out of range or followed by more bytes.
            pub fn decode(mut bytes: &[u8]) -> Result<Option<Dated>, Malformed> {
                let (&kind, rest) = bytes.split_first().ok_or(Malformed)?;
                bytes = rest;
                let at = varint::take(&mut bytes).ok_or(Malformed)?;
                let definition = match kind {
                    $($number => Definition::$name { $($field: <$type as Field>::decode(&mut bytes).ok_or(Malformed)?),* },)*
                    _ => return Ok(None),
                };
                if bytes.is_empty() { Ok(Some(Dated { at, definition })) } else { Err(Malformed) }
            }
        }
    };
}

definitions! {
    /// A method with a probe: gives a name to a probe id. Written by the agent.
    Method = 1 {
        /// Probe id.
        id: u32,
        /// Class, with dots.
        class: String,
        /// Method name.
        name: String,
        /// Descriptor, as in the class file.
        descriptor: String,
        /// The unit that each call is, or empty.
        unit: String,
    }
    /// A class: gives a name to a class number. Written by the agent.
    Class = 2 {
        /// Class number.
        id: u32,
        /// Name with dots.
        name: String,
    }
    /// A Java thread, at its start or when first seen. Written by the agent.
    JavaThread = 3 {
        /// Linux thread id as the JVM sees it, 0 where unknown.
        tid: u32,
        /// The number that Thread.threadId() gives, 0 where unknown.
        java_id: u64,
        /// Full name.
        name: String,
        /// Thread group, or empty.
        group: String,
        /// Daemon.
        daemon: bool,
        /// Java priority.
        priority: u32,
        /// True when it started just now, false when it was there before.
        started: bool,
    }
    /// A Java thread has another name from now on. Written by the agent.
    JavaThreadName = 4 {
        /// Linux thread id as the JVM sees it.
        tid: u32,
        /// Full name.
        name: String,
    }
    /// A Java thread ends. Written by the agent.
    JavaThreadEnd = 5 {
        /// Linux thread id as the JVM sees it.
        tid: u32,
    }
    /// The JVM itself. Written by the agent.
    Jvm = 6 {
        /// `java.vm.name`
        vm_name: String,
        /// `java.vm.version`
        vm_version: String,
        /// The agent's version.
        agent_version: String,
    }
    /// A class or method was left alone. Written by the agent.
    LeftAlone = 7 {
        /// Class, with dots.
        class: String,
        /// Method and descriptor, or empty for the whole class.
        method: String,
        /// Why.
        reason: String,
    }
    /// A virtual thread that has a name, at its start. Written by the agent.
    VirtualThread = 8 {
        /// The number that Thread.threadId() gives.
        java_id: u64,
        /// Its name.
        name: String,
    }
    /// A place in the code where something is counted: gives a meaning to a place number. Written by the agent.
    Place = 9 {
        /// Place number.
        id: u32,
        /// What is counted: `exceptions` or `allocations`.
        what: String,
        /// Class of the objects, with dots; empty: several.
        class: String,
        /// Class and method, and after `<` the one that called it where the first is the JDK's; empty: several.
        method: String,
        /// `count` or `bytes`.
        unit: String,
        /// How many of the unit one in a record stands for.
        scale: u64,
    }
    /// A method on a stack: gives a name to a frame's number. Written by the agent.
    JavaFrame = 10 {
        /// Frame's number.
        id: u32,
        /// Class, with dots, and method: `com.shop.Cart.add`.
        name: String,
    }
    /// A stack of a thread that waited: gives a meaning to its number. Its frames are defined before it. Written by the agent.
    JavaStack = 11 {
        /// Stack's number.
        id: u32,
        /// Numbers of the frames, from the innermost on.
        frames: Vec<u32>,
    }
    /// A key of units, when first seen: gives a name to a key's number. Written by the agent.
    UnitKey = 14 {
        /// Key's number.
        id: u32,
        /// The key, cut where it was too long.
        key: String,
    }
    /// A method with a probe, each call of which is a unit that goes on in the tasks that it hands over. Follows the method's own definition. Written by the agent.
    HandsOver = 15 {
        /// Probe id.
        id: u32,
    }
    /// A process, at the start or when first seen. Written by the recorder.
    Process = 20 {
        /// Process id in the initial namespace.
        pid: u32,
        /// Process id in its own namespace.
        ns_pid: u32,
        /// Start time, clock ticks since boot (field 22 of /proc/PID/stat): with pid, the instance.
        start_ticks: u64,
        /// Parent.
        ppid: u32,
        /// Effective user id.
        uid: u32,
        /// comm
        comm: String,
        /// Command line, blanks between arguments.
        cmdline: String,
        /// cgroup path, or empty.
        cgroup: String,
    }
    /// A thread that was there when the recording began (or when it was first seen). Written by the recorder.
    Thread = 21 {
        /// Thread id in the initial namespace.
        tid: u32,
        /// Its process.
        pid: u32,
        /// Thread id in its own namespace.
        ns_tid: u32,
        /// Start time, ns after boot (coarse).
        start_ns: u64,
        /// comm
        comm: String,
        /// State letter of /proc/PID/task/TID/stat, as a number.
        state: u32,
        /// A kernel thread.
        kthread: bool,
    }
    /// A cgroup or scope boundary: the process is part of what is traced. Written by the recorder.
    Traced = 22 {
        /// Process id in the initial namespace.
        pid: u32,
        /// Start time, clock ticks since boot.
        start_ticks: u64,
    }
    /// What the kernel's records of kind `counted` count: gives a name to a place in them. Written by the recorder.
    SliceCounter = 30 {
        /// Its place.
        number: u32,
        /// Name, as perf has it.
        name: String,
        /// `ns` or `count`.
        unit: String,
    }
    /// On which CPUs a thread may run: as found when it is first seen, if these are not all, and each time that it is found to have changed. Written by the recorder.
    Affinity = 31 {
        /// Thread id in the initial namespace.
        tid: u32,
        /// Its process.
        pid: u32,
        /// How many CPUs.
        cpus: u32,
        /// Which, as the kernel writes lists: `0-3,8`.
        list: String,
        /// How many it was when this thread was asked before; 0: it was not.
        before: u32,
    }
    /// What a counter counts: gives a name to a counter number. Written by the recorder.
    Counter = 23 {
        /// Counter number.
        id: u32,
        /// What is counted, for example `psi.cpu.some` (see the recorder's watch of counters for all names).
        name: String,
        /// `ns`, `count` or `state`.
        unit: String,
        /// Whether values are sums since some earlier time (the difference of two is what happened between), not values of their own.
        cumulative: bool,
        /// CPU that it is about plus 1; 0: of none.
        cpu_plus_1: u32,
        /// Path of the cgroup that it is about, or empty.
        cgroup: String,
    }
    /// What a counter of one JVM counts: gives a name to a counter number. Written by the recorder.
    JvmCounter = 24 {
        /// Counter number.
        id: u32,
        /// What is counted, for example `jvm.compilations` (see the recorder's watch of JVMs for all names).
        name: String,
        /// `ns`, `count` or `state`.
        unit: String,
        /// Whether values are sums since some earlier time (the difference of two is what happened between), not values of their own.
        cumulative: bool,
        /// Process id in the initial namespace.
        pid: u32,
        /// Start time, clock ticks since boot.
        start_ticks: u64,
    }
    /// A block device: gives a name to its number. Written by the recorder, where requests to block devices are recorded.
    Device = 25 {
        /// major << 20 + minor
        number: u32,
        /// As in /sys/block.
        name: String,
    }
    /// A frame of stacks: gives a name to a frame's number. Written by the recorder, where stacks are recorded.
    Frame = 28 {
        /// Frame's number.
        id: u32,
        /// Whether it is the kernel's.
        kernel: bool,
        /// The function, as the symbol table has it; empty where none is known.
        function: String,
        /// File name of the module that it is in, `[java]` for compiled Java code, or empty.
        module: String,
        /// The module's build id in hexadecimal digits, or empty.
        build_id: String,
        /// Where the function begins in the module, or, where none is known, the frame's own place: an address as in the module's symbol table.
        offset: u64,
    }
    /// A stack: gives frames to a stack's number. Written by the recorder, where stacks are recorded.
    Stack = 29 {
        /// Stack's number: no two have the same, on one host in one recording.
        id: u64,
        /// Numbers of its frames, innermost first.
        frames: Vec<u32>,
    }
}

/// The bytes are no definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

trait Field: Sized {
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

impl Field for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, *self);
    }
    fn decode(bytes: &mut &[u8]) -> Option<u64> {
        varint::take(bytes)
    }
}

impl Field for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, u64::from(*self));
    }
    fn decode(bytes: &mut &[u8]) -> Option<u32> {
        varint::take(bytes)?.try_into().ok()
    }
}

impl Field for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn decode(bytes: &mut &[u8]) -> Option<bool> {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        (byte < 2).then_some(byte == 1)
    }
}

impl Field for String {
    fn encode(&self, out: &mut Vec<u8>) {
        let text = &self[..self.floor_char_boundary(STRING_MAX)];
        varint::put(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
    fn decode(bytes: &mut &[u8]) -> Option<String> {
        let length = usize::try_from(varint::take(bytes)?).ok()?;
        if length > STRING_MAX {
            return None;
        }
        let (text, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

impl Field for Vec<u32> {
    fn encode(&self, out: &mut Vec<u8>) {
        let list = &self[..self.len().min(LIST_MAX)];
        varint::put(out, list.len() as u64);
        list.iter().for_each(|number| number.encode(out));
    }
    fn decode(bytes: &mut &[u8]) -> Option<Vec<u32>> {
        let length = usize::try_from(varint::take(bytes)?).ok()?;
        // Each takes a byte at least.
        (length <= LIST_MAX.min(bytes.len())).then_some(())?;
        (0..length).map(|_| u32::decode(bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method() -> Dated {
        let definition = Definition::Method {
            id: 7,
            class: "com.shop.Cart".into(),
            name: "add".into(),
            descriptor: "(J)V".into(),
            unit: String::new(),
        };
        Dated {
            at: 1 << 40,
            definition,
        }
    }

    #[test]
    fn bytes_and_back() {
        let mut bytes = Vec::new();
        method().encode(&mut bytes);
        assert_eq!(Dated::decode(&bytes), Ok(Some(method())));
    }

    #[test]
    fn lists_come_back_and_a_wrong_length_is_malformed() {
        let stack = |frames: Vec<u32>| Dated {
            at: 3,
            definition: Definition::Stack { id: u64::MAX, frames },
        };
        let mut bytes = Vec::new();
        stack(vec![0, 7, u32::MAX]).encode(&mut bytes);
        assert_eq!(Dated::decode(&bytes), Ok(Some(stack(vec![0, 7, u32::MAX]))));
        for length in 0..bytes.len() {
            assert_eq!(Dated::decode(&bytes[..length]), Err(Malformed), "{length}");
        }
        let mut long = Vec::new();
        stack(vec![1; LIST_MAX + 5]).encode(&mut long);
        assert_eq!(Dated::decode(&long), Ok(Some(stack(vec![1; LIST_MAX]))));
    }

    #[test]
    fn every_cut_is_malformed_and_unknown_kinds_are_skipped() {
        let mut bytes = Vec::new();
        method().encode(&mut bytes);
        for length in 0..bytes.len() {
            assert_eq!(Dated::decode(&bytes[..length]), Err(Malformed), "{length}");
        }
        assert_eq!(Dated::decode(&[200, 0, 1, 2]), Ok(None));
    }
}
