//! The last segments of all streams, in the order in which they were made.

use super::base::Base;
use super::{Keep, Load};
use plumb_trace::record::{KernelKind, KernelRecord};
use plumb_trace::recording::{FileKind, Payload, segment};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// What a segment takes beside its bytes.
const OVERHEAD_BYTES: u64 = 128;

/// An encoded segment.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub file: FileKind,
    pub bytes: Arc<[u8]>,
    /// When it was made, CLOCK_MONOTONIC ns: its records are older.
    pub made_ns: u64,
    /// Where it holds records: a time after which none of them is, else 0.
    last_ns: u64,
    /// Records that change who is there.
    changes: Arc<[KernelRecord]>,
    /// Stacks that its records refer to.
    stacks: Arc<[u64]>,
}

impl Kept {
    pub fn new(file: FileKind, bytes: Vec<u8>, payload: &Payload, made_ns: u64) -> Kept {
        let (records, last_ns) = match payload {
            Payload::Kernel(records) => (records.as_slice(), records.last().map_or(0, |record| record.time_ns)),
            // Their times are on another clock.
            Payload::Jvm(_) => (&[][..], made_ns),
            _ => (&[][..], 0),
        };
        Kept {
            file,
            bytes: bytes.into(),
            made_ns,
            last_ns,
            changes: records.iter().filter(|record| is_change(record)).copied().collect(),
            stacks: stacks(records),
        }
    }

    fn weight(&self) -> u64 {
        (self.bytes.len() + size_of_val(&*self.changes) + size_of_val(&*self.stacks)) as u64 + OVERHEAD_BYTES
    }

    /// What this segment says of who is there goes into a base.
    pub fn apply(&self, base: &mut Base) {
        self.changes.iter().for_each(|record| base.see(record));
        base.stacks.refer(&self.stacks);
        if !matches!(self.file, FileKind::Host | FileKind::Jvm { .. }) {
            return;
        }
        let Ok(segment) = segment::decode(&self.bytes) else {
            return;
        };
        let Payload::Definitions(definitions) = segment.payload else {
            return;
        };
        for dated in definitions {
            match self.file {
                FileKind::Jvm { pid, start_ticks } => base.define_in_jvm((pid, start_ticks), dated),
                _ => base.define(dated),
            }
        }
    }
}

/// Numbers of the stacks that records refer to.
fn stacks(records: &[KernelRecord]) -> Arc<[u64]> {
    let referring = records.iter().filter(|record| record.kind == KernelKind::Stack as u8);
    let numbers: BTreeSet<u64> = referring
        .flat_map(|record| [record.charged_ns, record.other_charged_ns])
        .collect();
    numbers.into_iter().filter(|number| *number != 0).collect()
}

fn is_change(record: &KernelRecord) -> bool {
    let kinds = [KernelKind::Fork, KernelKind::Exec, KernelKind::Exit, KernelKind::Rename];
    kinds.iter().any(|kind| *kind as u8 == record.kind)
}

/// The segments.
#[derive(Debug)]
pub(crate) struct Window {
    age_max_ns: u64,
    /// Most that all segments may take.
    pub bytes_max: u64,
    segments: VecDeque<Kept>,
    bytes: u64,
    /// What all segments took that have ever come.
    come: u64,
    /// What holds at the window's begin.
    pub base: Base,
    /// From here on everything is there, CLOCK_MONOTONIC ns.
    from_ns: u64,
    /// What was made after this must not be forgotten for its age, because it is about to be saved.
    pinned_ns: Option<u64>,
}

impl Window {
    pub fn new(keep: Keep, from_ns: u64) -> Window {
        Window {
            age_max_ns: keep.age_max_ns(),
            bytes_max: match keep {
                Keep::Bytes(bytes) => bytes,
                Keep::Time(_) => u64::MAX,
            },
            segments: VecDeque::new(),
            bytes: 0,
            come: 0,
            base: Base::default(),
            from_ns,
            pinned_ns: None,
        }
    }

    /// Adds a segment.
    pub fn push(&mut self, kept: Kept) {
        self.bytes += kept.weight();
        self.come = self.come.saturating_add(kept.weight());
        self.segments.push_back(kept);
    }

    /// Forgets what is too old, or too much.
    pub fn forget(&mut self, now_ns: u64) {
        let oldest_ns = now_ns.saturating_sub(self.age_max_ns);
        let oldest_ns = oldest_ns.min(self.pinned_ns.unwrap_or(u64::MAX));
        while let Some(first) = self.segments.front() {
            if self.bytes <= self.bytes_max && first.made_ns >= oldest_ns {
                return;
            }
            if let Some(first) = self.segments.pop_front() {
                self.bytes -= first.weight();
                self.from_ns = self.from_ns.max(first.last_ns);
                first.apply(&mut self.base);
            }
        }
    }

    /// Keeps what was made since, whatever its age, until [`Window::unpin`].
    pub fn pin(&mut self, since_ns: u64) {
        self.pinned_ns = Some(since_ns);
    }

    pub fn unpin(&mut self) {
        self.pinned_ns = None;
    }

    /// A window of its own that begins at `from_ns` or when everything is there: segments, the base before them, and its begin.
    pub fn cut(&self, from_ns: u64) -> (Vec<Kept>, Base, u64) {
        let mut base = self.base.clone();
        let mut begin_ns = self.from_ns;
        let mut kept = Vec::new();
        for segment in &self.segments {
            // Segments lie in the order in which they were made.
            if kept.is_empty() && segment.made_ns < from_ns {
                begin_ns = begin_ns.max(segment.last_ns);
                segment.apply(&mut base);
            } else {
                kept.push(segment.clone());
            }
        }
        (kept, base, begin_ns)
    }

    /// Whether a segment of this file is there.
    pub fn has(&self, file: FileKind) -> bool {
        self.segments.iter().any(|kept| kept.file == file)
    }

    /// What has come, and what of it is there.
    pub fn load(&self) -> Load {
        Load {
            come: self.come,
            held: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumb_trace::arena::Clock;
    use plumb_trace::definition::Definition;
    use plumb_trace::recording::SegmentHeader;

    fn segment(time_ns: u64, tid: u32) -> Kept {
        let record = KernelRecord {
            time_ns,
            kind: KernelKind::Fork as u8,
            tid,
            pid: tid,
            ..KernelRecord::default()
        };
        let payload = Payload::Kernel(vec![record]);
        let bytes = segment::encode(&SegmentHeader::new(Clock::Monotonic, 0), &payload).expect("short enough");
        Kept::new(FileKind::Cpu(0), bytes, &payload, time_ns + 1)
    }

    fn tids(base: &Base) -> Vec<u32> {
        let tid = |dated: plumb_trace::definition::Dated| match dated.definition {
            Definition::Thread { tid, .. } => Some(tid),
            _ => None,
        };
        let mut tids: Vec<u32> = base.of_host(0).into_iter().filter_map(tid).collect();
        tids.sort_unstable();
        tids
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_known() {
        let mut window = Window::new(Keep::Bytes(10_000), 1);
        for time in 0..1000 {
            window.push(segment(1000 + u64::from(time), 6_000_000 + time));
            window.forget(2000);
            assert!(window.load().held <= 10_000);
        }
        let (kept, base, from_ns) = window.cut(0);
        assert!(kept.len() > 10 && kept.len() < 100, "{}", kept.len());
        assert_eq!(tids(&base).len() + kept.len(), 1000);
        assert_eq!(from_ns, 1999 - kept.len() as u64);
    }

    #[test]
    fn age_counts_unless_it_is_pinned() {
        let mut window = Window::new(Keep::Time(100), 1);
        (0..10).for_each(|n| window.push(segment(1000 + 10 * n, 6_000_000 + n as u32)));
        window.pin(1031);
        window.forget(5000);
        assert_eq!(window.cut(0).0.len(), 7);
        let (kept, base, from_ns) = window.cut(1061);
        assert_eq!((kept.len(), tids(&base).len(), from_ns), (4, 6, 1050));
        window.unpin();
        window.forget(1150);
        assert_eq!(window.cut(0).0.len(), 5);
    }
}
