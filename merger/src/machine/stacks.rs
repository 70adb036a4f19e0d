//! Where threads slept, and where they were woken from, by the kernel's records.
//!
//! Records hold numbers of stacks, a kernel's and a user's. What these are is told by definitions, which come when they come: a sleep refers to a number of the timeline's, which gets its
//! frames at the end.

use super::Machine;
use super::demangle::demangled;
use plumb_trace::definition::Definition;
use plumb_trace::record::{KernelRecord, stack_flags};
use plumb_trace::timeline::{StackId, StringId, TimelineError};
use rustc_hash::FxHashMap;

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// Stacks of which the frames are kept: more than a recording of hours has.
const TOLD_MAX: usize = 1 << 20;
/// Frame of a stack that was recorded, but whose frames were not.
const UNTOLD: &str = "[not told]";

/// Stacks by their numbers in records.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    /// By host, and the numbers of the kernel's stack and the user's.
    numbers: FxHashMap<(usize, u64, u64), StackId>,
    /// Frames by host and number; `None`: two recordings of the host mean different ones.
    frames: FxHashMap<(usize, u32), Option<StringId>>,
    /// Frames of a stack, innermost first, by host and number.
    told: FxHashMap<(usize, u64), Box<[u32]>>,
    /// Stacks that found no room.
    untold: u64,
}

impl Machine {
    /// A thread is about to block, or wakes somebody.
    pub(super) fn stack(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        let stack = self.stack_number(host, record.charged_ns, record.other_charged_ns);
        if record.flags & stack_flags::WAKER == 0 {
            self.registry.threads[thread].waiting.blocks(stack);
            return Ok(());
        }
        let waker = self.registry.threads[thread].track;
        if let Some(woken) = self.thread_of(host, record.other_tid, record.other_pid, at)? {
            self.registry.threads[woken].waiting.woken(at, stack, waker);
        }
        Ok(())
    }

    fn stack_number(&mut self, host: usize, kernel: u64, user: u64) -> StackId {
        let Machine { stacks, writer, .. } = self;
        if (kernel, user) == (0, 0) {
            return StackId::default();
        }
        if let Some(&number) = stacks.numbers.get(&(host, kernel, user)) {
            return number;
        }
        let Some(number) = writer.add_stack() else {
            stacks.untold += 1;
            return StackId::default();
        };
        stacks.numbers.insert((host, kernel, user), number);
        number
    }

    /// A frame or a stack gets its meaning.
    pub(super) fn define_stack(&mut self, host: usize, definition: &Definition) {
        match definition {
            Definition::Frame {
                id,
                kernel,
                function,
                module,
                offset,
                ..
            } => {
                let label = self.writer.string(&label(*kernel, function, module, *offset));
                let known = self.stacks.frames.entry((host, *id)).or_insert(Some(label));
                if *known != Some(label) {
                    *known = None;
                }
            }
            Definition::Stack { id, frames } if self.stacks.told.len() < TOLD_MAX => {
                self.stacks.told.insert((host, *id), frames.as_slice().into());
            }
            _ => {}
        }
    }

    /// Stacks get their frames: all that will be told was told.
    pub(super) fn close_stacks(&mut self) {
        let Machine { stacks, writer, .. } = self;
        let untold = writer.string(UNTOLD);
        let mut numbers: Vec<_> = stacks.numbers.drain().collect();
        numbers.sort_by_key(|(_, stack)| *stack);
        for ((host, kernel, user), stack) in numbers {
            let mut frames = Vec::new();
            for number in [user, kernel].into_iter().filter(|number| *number != 0) {
                match stacks.told.get(&(host, number)) {
                    Some(told) => {
                        let label = |frame: &u32| stacks.frames.get(&(host, *frame)).copied().flatten();
                        frames.extend(told.iter().rev().map(|frame| label(frame).unwrap_or(untold)));
                    }
                    None => {
                        stacks.untold += 1;
                        frames.push(untold);
                    }
                }
            }
            stacks.untold += u64::from(!writer.define_stack(stack, &frames));
        }
    }

    /// What a reader should know of stacks.
    pub(super) fn note_of_stacks(&self) -> Option<String> {
        let untold = self.stacks.untold;
        (untold > 0)
            .then(|| format!("{untold} stacks have no frames: too many were new at once, or what told them is lost"))
    }
}

/// A frame, as it is shown.
fn label(kernel: bool, function: &str, module: &str, offset: u64) -> String {
    let end = if kernel { "_[k]" } else { "" };
    match (function, offset) {
        ("", 0) => format!("{module}{end}"),
        ("", _) => format!("{module}+{offset:#x}{end}"),
        _ => format!("{}{end}", demangled(function)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_where_they_are() {
        assert_eq!(label(true, "do_nanosleep", "[kernel]", 0), "do_nanosleep_[k]");
        assert_eq!(label(false, "main", "shop", 0x40), "main");
        assert_eq!(label(false, "", "libc.so.6", 0x40), "libc.so.6+0x40");
        assert_eq!(label(false, "", "[java]", 0), "[java]");
    }
}
