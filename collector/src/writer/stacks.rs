//! Stacks on their way from the rings to the thread that names them: parts are put together here, and go no further.

use crate::symbols::{Request, Symbols};
use plumb_trace::definition::Dated;
use plumb_trace::record::{KernelKind, KernelRecord, STACK_PART_FRAMES, stack_flags};

/// Addresses of one CPU that wait for the record that they belong to: more than a program ever writes.
const PENDING_MAX: usize = 1024;

/// The state.
#[derive(Debug)]
pub(super) struct Stacks {
    symbols: Symbols,
    /// By CPU: the addresses of parts that no record has followed yet.
    pending: Vec<Vec<u64>>,
}

impl Stacks {
    pub fn new(symbols: Symbols, cpus: usize) -> Stacks {
        Stacks {
            symbols,
            pending: vec![Vec::new(); cpus],
        }
    }

    /// The next record of a CPU. True: it is a part, and told by this.
    pub fn see(&mut self, cpu: usize, record: &KernelRecord) -> bool {
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Stack) => {}
            Some(KernelKind::Exec) => {
                self.symbols.forget(record.pid);
                return false;
            }
            _ => return false,
        }
        let Some(pending) = self.pending.get_mut(cpu) else {
            return false;
        };
        if record.flags & stack_flags::PART != 0 {
            if pending.len() < PENDING_MAX {
                pending.extend(record.frames());
            }
            return true;
        }
        let addresses = std::mem::take(pending);
        self.ask(record, &addresses);
        false
    }

    /// Has named what was told before this record.
    fn ask(&mut self, record: &KernelRecord, addresses: &[u64]) {
        let [kernel, user, ..] = record.value.to_le_bytes().map(usize::from);
        let (of_kernel, of_user) = addresses.split_at(addresses.len().min(whole_parts(kernel)));
        let stacks = [
            (record.charged_ns, None, of_kernel, kernel),
            (record.other_charged_ns, Some(record.pid), of_user, user),
        ];
        for (id, pid, addresses, count) in stacks {
            // Where parts are missing, nothing is said: better no stack than a wrong one.
            if let Some(addresses) = addresses.get(..count)
                && count > 0
            {
                let addresses = addresses.to_vec();
                self.symbols.name(Request { id, pid, addresses });
            }
        }
    }

    /// Records of this CPU are missing here.
    pub fn tear(&mut self, cpu: usize) {
        if let Some(pending) = self.pending.get_mut(cpu) {
            pending.clear();
        }
    }

    /// Definitions that were made since the last call.
    pub fn take(&self) -> Vec<Dated> {
        self.symbols.take()
    }

    /// The last ones, and what the user should know.
    pub fn finish(self) -> (Vec<Dated>, Option<String>) {
        self.symbols.finish()
    }
}

/// Addresses in the parts that `frames` take.
fn whole_parts(frames: usize) -> usize {
    frames.next_multiple_of(STACK_PART_FRAMES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privilege::Capabilities;
    use plumb_trace::definition::Definition;
    use plumb_trace::record::KERNEL_RECORD_BYTES;
    use std::sync::Arc;

    fn stacks() -> Stacks {
        Stacks::new(Symbols::start(Capabilities::NONE, Arc::default()).expect("a thread"), 2)
    }

    fn part(addresses: [u64; 6]) -> KernelRecord {
        let mut bytes = [0; KERNEL_RECORD_BYTES];
        for (place, address) in bytes[16..].as_chunks_mut::<8>().0.iter_mut().zip(addresses) {
            *place = address.to_le_bytes();
        }
        let mut record = KernelRecord::from_bytes(&bytes);
        (record.kind, record.flags) = (KernelKind::Stack as u8, stack_flags::PART);
        record
    }

    fn reference(kernel: (u64, u8), user: (u64, u8)) -> KernelRecord {
        KernelRecord {
            kind: KernelKind::Stack as u8,
            pid: 5_000_000,
            value: u32::from_le_bytes([kernel.1, user.1, 0, 0]),
            charged_ns: kernel.0,
            other_charged_ns: user.0,
            ..KernelRecord::default()
        }
    }

    fn told(stacks: Stacks) -> Vec<u64> {
        let number = |dated: Dated| match dated.definition {
            Definition::Stack { id, .. } => Some(id),
            _ => None,
        };
        stacks.finish().0.into_iter().filter_map(number).collect()
    }

    #[test]
    fn parts_belong_to_the_record_after_them() {
        let mut stacks = stacks();
        assert!(stacks.see(0, &part([1, 2, 3, 4, 5, 6])));
        assert!(stacks.see(1, &part([1, 0, 0, 0, 0, 0])));
        assert!(stacks.see(0, &part([7, 0, 0, 0, 0, 0])));
        assert!(stacks.see(0, &part([8, 9, 0, 0, 0, 0])));
        assert!(!stacks.see(0, &reference((11, 7), (12, 2))));
        assert!(!stacks.see(1, &reference((21, 0), (22, 1))));
        // Known already.
        assert!(!stacks.see(0, &reference((11, 0), (12, 0))));
        assert_eq!(told(stacks), [11, 12, 22]);
    }

    #[test]
    fn what_is_not_whole_is_not_told() {
        let mut stacks = stacks();
        stacks.see(0, &part([1, 2, 3, 4, 5, 6]));
        stacks.tear(0);
        stacks.see(0, &part([7, 0, 0, 0, 0, 0]));
        stacks.see(0, &reference((11, 7), (12, 2)));
        stacks.see(9, &part([1; 6]));
        assert_eq!(told(stacks), Vec::<u64>::new());
    }
}
