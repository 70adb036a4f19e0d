//! The thread that finds names for places, and makes definitions of frames and stacks.

use super::frame::Frame;
use super::look::Looked;
use super::table::Table;
use super::{files::Files, kernel};
use crate::clock;
use plumb_trace::definition::{Dated, Definition};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, Sender};

/// Frames that are told apart in a recording.
const FRAMES_MAX: usize = 128 << 10;

/// The state of the thread that finds names.
pub(super) struct Namer {
    kernel: Table,
    files: Files,
    frames: HashMap<Frame, u32>,
    /// Number of the first frame: another one in each recording, so that recordings of one host can be put together.
    first: u32,
    definitions: Sender<Dated>,
}

impl Namer {
    pub fn new(kernel: Table, definitions: Sender<Dated>) -> Namer {
        Namer {
            kernel,
            files: Files::default(),
            frames: HashMap::new(),
            first: RandomState::new().hash_one(0) as u32,
            definitions,
        }
    }

    /// Until nobody asks any more.
    pub fn run(mut self, looked: &Receiver<(u64, Looked)>) {
        for (id, looked) in looked {
            self.name(id, &looked);
        }
    }

    fn name(&mut self, id: u64, looked: &Looked) {
        let frames = match looked {
            Looked::User(places) => self.files.frames(places),
            Looked::Kernel(addresses) => self.kernel_frames(addresses),
        };
        let frames = frames.into_iter().map(|frame| self.number(frame)).collect();
        self.define(Definition::Stack { id, frames });
    }

    fn kernel_frames(&self, addresses: &[u64]) -> Vec<Frame> {
        // All are return addresses: the innermost called the program that took the stack.
        let names = addresses
            .iter()
            .map(|address| Some(self.kernel.find(address.saturating_sub(1))?.1));
        let frames: Vec<Frame> = names.map(Frame::of_kernel).collect();
        let is_of_tracing = |frame: &&Frame| kernel::is_of_tracing(&frame.function) || frame.function.is_empty();
        // Where no name is known nothing can be left out.
        let tracing = frames.iter().take_while(is_of_tracing).count();
        let tracing = if tracing == frames.len() { 0 } else { tracing };
        let mut frames = frames.into_iter().skip(tracing).collect::<Vec<_>>();
        frames.dedup_by(|one, other| one.function.is_empty() && one == other);
        frames
    }

    /// The number of a frame, which is defined when it is new.
    fn number(&mut self, frame: Frame) -> u32 {
        if let Some(&id) = self.frames.get(&frame) {
            return id;
        }
        let frame = match self.frames.len() >= FRAMES_MAX {
            true => Frame::bare("[more functions than are told apart]"),
            false => frame,
        };
        let next = self.first.wrapping_add(self.frames.len() as u32);
        let id = *self.frames.entry(frame.clone()).or_insert(next);
        if id == next {
            let Frame {
                kernel,
                function,
                module,
                build_id,
                offset,
            } = frame;
            self.define(Definition::Frame {
                id,
                kernel,
                function,
                module,
                build_id,
                offset,
            });
        }
        id
    }

    fn define(&self, definition: Definition) {
        let at = clock::monotonic_ns();
        // Who does not wait for it any more has ended.
        let _ = self.definitions.send(Dated { at, definition });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn namer() -> (Namer, Receiver<Dated>) {
        let mut kernel = Table::default();
        for (start, name) in [(0x100, "bpf_prog_1_on_block"), (0x200, "__traceiter_sched_switch")] {
            kernel.push(start, 0x100, name.as_bytes());
        }
        kernel.push(0x300, 0x100, b"schedule");
        kernel.push(0x400, 0x100, b"do_nanosleep");
        kernel.seal();
        let (sender, definitions) = channel();
        (Namer::new(kernel, sender), definitions)
    }

    /// Stacks by number, each with its frames' names.
    fn told(definitions: &Receiver<Dated>) -> Vec<(u64, Vec<String>)> {
        let (mut names, mut stacks) = (HashMap::new(), Vec::new());
        for dated in definitions.try_iter() {
            match dated.definition {
                Definition::Frame {
                    id, function, module, ..
                } => {
                    let before = names.insert(id, format!("{function}{module}"));
                    assert_eq!(before, None, "defined once");
                }
                Definition::Stack { id, frames } => {
                    stacks.push((id, frames.iter().map(|frame| names[frame].clone()).collect()));
                }
                other => panic!("{other:?}"),
            }
        }
        stacks
    }

    fn kernel_stack(addresses: &[u64]) -> Looked {
        Looked::Kernel(addresses.to_vec())
    }

    #[test]
    fn what_tracing_does_is_left_out_and_names_are_told_once() {
        let (mut namer, definitions) = namer();
        namer.name(1, &kernel_stack(&[0x150, 0x250, 0x350, 0x450]));
        namer.name(2, &kernel_stack(&[0x150, 0x9999, 0x350, 0x450, 0x9999, 0x9998]));
        let stacks = told(&definitions);
        let names = ["schedule[kernel]", "do_nanosleep[kernel]", "[kernel]"].map(String::from);
        assert_eq!(stacks, [(1, names[..2].to_vec()), (2, names.to_vec())]);
    }

    #[test]
    fn where_nothing_is_known_a_stack_is_not_empty() {
        let (mut namer, definitions) = namer();
        namer.kernel = Table::default();
        namer.name(7, &kernel_stack(&[1, 2, 3]));
        assert_eq!(told(&definitions), [(7, vec!["[kernel]".to_owned()])]);
    }

    #[test]
    fn more_functions_than_are_told_apart_are_one() {
        let (mut namer, definitions) = namer();
        let frame = |offset| Frame {
            offset,
            ..Frame::bare("x")
        };
        for offset in 0..FRAMES_MAX as u64 + 3 {
            namer.number(frame(offset));
        }
        assert_eq!(namer.frames.len(), FRAMES_MAX + 1);
        assert_eq!(definitions.try_iter().count(), FRAMES_MAX + 1);
    }
}
