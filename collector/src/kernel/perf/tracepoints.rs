//! The scheduler's tracepoints as perf events: why a thread leaves, who wakes it, when it is queued. To be had where tracefs tells their numbers.
//!
//! Where fields lie differs between kernels: the `format` file of each tracepoint says it.

use super::event::{DEAD, SLEEPS};
use super::tracefs::Tracefs;
use perf_event::events::Tracepoint;
use std::collections::HashMap;

/// Bits of `common_flags`: in an interrupt handler, in a soft interrupt.
const IN_INTERRUPT: u8 = 0x08 | 0x10;

/// What a tracepoint tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Somebody is about to leave its CPU.
    Leaves {
        /// As the scheduler has it; 0: it could go on.
        state: u32,
    },
    /// A thread is being woken.
    Waking {
        /// The thread.
        tid: u32,
        /// Where it was last.
        cpu: u32,
        /// By an interrupt.
        by_interrupt: bool,
    },
    /// A thread waits for a CPU from now on.
    Queued {
        /// The thread.
        tid: u32,
        /// For which.
        cpu: u32,
    },
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Switch,
    Waking,
    Wakeup,
}

const WANTED: [(&str, Kind); 4] = [
    ("sched_switch", Kind::Switch),
    ("sched_waking", Kind::Waking),
    ("sched_wakeup", Kind::Wakeup),
    ("sched_wakeup_new", Kind::Wakeup),
];
/// How many there are.
pub(super) const COUNT: usize = WANTED.len();

/// Where the fields of a tracepoint lie that are read: the first is a state or a thread, the second a CPU.
#[derive(Clone, Copy, Debug)]
struct Layout {
    kind: Kind,
    first: Field,
    second: Option<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    offset: usize,
    bytes: usize,
}

impl Field {
    /// Finds it by its name in a `format` file.
    fn find(format: &str, name: &str) -> Option<Field> {
        let line = format.lines().find(|line| {
            let declared = line
                .trim_start()
                .strip_prefix("field:")
                .and_then(|rest| rest.split(';').next());
            declared.and_then(|declared| declared.split_ascii_whitespace().last()) == Some(name)
        })?;
        let number = |key: &str| {
            let part = line.split(';').find_map(|part| part.trim().strip_prefix(key))?;
            part.parse::<usize>().ok()
        };
        Some(Field {
            offset: number("offset:")?,
            bytes: number("size:")?,
        })
    }

    /// Its value, as far as it is of 4 or 8 bytes.
    fn of(self, record: &[u8]) -> Option<u64> {
        let bytes = record.get(self.offset..)?.get(..self.bytes)?;
        match self.bytes {
            4 => Some(u64::from(u32::from_ne_bytes(bytes.try_into().ok()?))),
            8 => Some(u64::from_ne_bytes(bytes.try_into().ok()?)),
            _ => None,
        }
    }
}

/// The tracepoints of this machine, by number. None, where tracefs does not tell them.
#[derive(Clone, Debug, Default)]
pub struct Tracepoints(HashMap<u16, Layout>);

impl Tracepoints {
    /// Asks tracefs: all of them, or none.
    pub fn find() -> Tracepoints {
        let below = |tracefs: Tracefs| {
            Tracepoints::read(|name| std::fs::read_to_string(tracefs.path(&format!("events/sched/{name}/format"))).ok())
        };
        Tracefs::find().and_then(below).unwrap_or_default()
    }

    /// Of the texts that a tracepoint's `format` file has, by the tracepoint's name: all of them, or none.
    pub fn read(format_of: impl Fn(&str) -> Option<String>) -> Option<Tracepoints> {
        let one = |(name, kind)| layout(&format_of(name)?, kind);
        let all: HashMap<_, _> = WANTED.into_iter().map(one).collect::<Option<_>>()?;
        // Two of one number cannot be told apart.
        (all.len() == WANTED.len()).then_some(Tracepoints(all))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As events.
    pub fn events(&self) -> impl Iterator<Item = Tracepoint> {
        self.0.keys().map(|&number| Tracepoint::with_id(u64::from(number)))
    }

    /// Reads a tracepoint's record.
    pub fn parse(&self, record: &[u8]) -> Option<Told> {
        let number = u16::from_ne_bytes(record.get(..2)?.try_into().ok()?);
        let by_interrupt = record.get(2)? & IN_INTERRUPT != 0;
        let layout = self.0.get(&number)?;
        let first = layout.first.of(record)?;
        let second = layout.second.map_or(Some(0), |field| field.of(record));
        let (tid, cpu) = (first as u32, second? as u32);
        Some(match layout.kind {
            Kind::Switch => Told::Leaves {
                state: prev_state(first),
            },
            Kind::Waking => Told::Waking { tid, cpu, by_interrupt },
            Kind::Wakeup => Told::Queued { tid, cpu },
        })
    }
}

/// The number of a tracepoint, and where its fields lie.
fn layout(format: &str, kind: Kind) -> Option<(u16, Layout)> {
    let number = format.lines().find_map(|line| line.strip_prefix("ID: "))?;
    let (first, second) = match kind {
        Kind::Switch => (Field::find(format, "prev_state")?, None),
        Kind::Waking | Kind::Wakeup => (Field::find(format, "pid")?, Some(Field::find(format, "target_cpu")?)),
    };
    let layout = Layout { kind, first, second };
    Some((number.trim().parse().ok()?, layout))
}

/// The tracepoint tells states by numbers of its own (since Linux 4.14): one bit for the state that shows in /proc.
fn prev_state(told: u64) -> u32 {
    match told & 0xff {
        // Dead, or a zombie.
        0x10 | 0x20 => DEAD,
        // Parked, and idle kernel threads.
        0x40 | 0x80 => SLEEPS,
        // Sleeps, sleeps without a signal to wake it, stopped, traced. 0: runnable.
        other => other as u32 & 0xf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: sched_waking\nID: 376\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n\
        \tfield:int prio;\toffset:28;\tsize:4;\tsigned:1;\n\tfield:int target_cpu;\toffset:32;\tsize:4;\tsigned:1;\n\nprint fmt: \"pid=%d\"\n";

    #[test]
    fn fields_are_where_the_kernel_says() {
        let tracepoints = Tracepoints(layout(FORMAT, Kind::Waking).into_iter().collect());
        let mut record = vec![0; 36];
        record[..3].copy_from_slice(&[376u16.to_ne_bytes()[0], 376u16.to_ne_bytes()[1], 0x08]);
        record[24..28].copy_from_slice(&4711u32.to_ne_bytes());
        record[32..36].copy_from_slice(&3u32.to_ne_bytes());
        let told = Told::Waking {
            tid: 4711,
            cpu: 3,
            by_interrupt: true,
        };
        assert_eq!(tracepoints.parse(&record), Some(told));
        for length in 0..record.len() {
            assert_eq!(tracepoints.parse(&record[..length]), None, "{length}");
        }
        record[0] ^= 1;
        assert_eq!(tracepoints.parse(&record), None, "another tracepoint");
    }

    #[test]
    fn a_format_that_is_not_understood_is_left_alone() {
        assert!(layout(&FORMAT.replace("target_cpu", "cpu"), Kind::Waking).is_none());
        assert!(layout(&FORMAT.replace("ID: 376", "ID: x"), Kind::Waking).is_none());
        assert!(layout("", Kind::Switch).is_none());
        let huge = FORMAT.replace("offset:24", "offset:18446744073709551615");
        let tracepoints = Tracepoints(layout(&huge, Kind::Waking).into_iter().collect());
        let mut record = vec![0; 64];
        record[..2].copy_from_slice(&376u16.to_ne_bytes());
        assert_eq!(tracepoints.parse(&record), None);
    }

    #[test]
    fn states_are_those_of_the_task() {
        let states = [0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100].map(prev_state);
        assert_eq!(states, [0, 1, 2, 4, 8, DEAD, DEAD, SLEEPS, SLEEPS, 0]);
    }
}
