//! First pass over the definitions: what later records refer to by number, whenever it was defined.
//!
//! Probe ids and class numbers are stable for a JVM's life and may be defined after their first use (another thread was faster), so they
//! are read before any record is. Everything that is dated (threads, names) comes in order of time with the records.

use plumb_trace::definition::{Definition, STACKS};
use plumb_trace::recording::{Payload, StreamFile};
use rustc_hash::FxHashMap;

use super::left_alone::LeftAlone;

/// Reasons that are kept of one thing: an agent has three.
const REASONS_MAX: usize = 8;

/// A method with a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// `com.shop.Cart.add`
    pub(crate) name: String,
    /// The unit that each call is, or empty.
    pub(crate) unit: String,
    /// The unit goes on in tasks that are handed over.
    pub(crate) hands_over: bool,
}

/// A place where something is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) what: String,
    pub(crate) class: String,
    pub(crate) method: String,
    pub(crate) unit: String,
    pub(crate) scale: u64,
}

impl Place {
    /// `exceptions:java.io.IOException@com.shop.Cart.add`
    pub(crate) fn name(&self) -> String {
        let or_others = |name: &'_ str| {
            if name.is_empty() {
                "(others)".to_owned()
            } else {
                name.to_owned()
            }
        };
        format!("{}:{}@{}", self.what, or_others(&self.class), or_others(&self.method))
    }
}

/// What the numbers in one JVM's records mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    pub(crate) methods: FxHashMap<u32, Method>,
    pub(crate) classes: FxHashMap<u32, String>,
    pub(crate) places: FxHashMap<u32, Place>,
    /// Keys of units.
    pub(crate) keys: FxHashMap<u32, String>,
    /// Names of methods on stacks.
    pub(crate) frames: FxHashMap<u32, String>,
    /// Stacks, of frames from the innermost on.
    pub(crate) stacks: FxHashMap<u32, Vec<u32>>,
    /// Classes and methods that the agent left alone.
    pub(crate) left_alone: LeftAlone,
    /// Why stacks of some long waits are missing.
    pub(crate) no_stacks: Vec<String>,
}

impl Classes {
    fn take(&mut self, definition: Definition) {
        match definition {
            Definition::Method {
                id, class, name, unit, ..
            } => {
                self.methods.insert(
                    id,
                    Method {
                        name: format!("{class}.{name}"),
                        unit,
                        hands_over: false,
                    },
                );
            }
            Definition::Class { id, name } => {
                self.classes.insert(id, name);
            }
            Definition::Place {
                id,
                what,
                class,
                method,
                unit,
                scale,
            } => {
                let place = Place {
                    what,
                    class,
                    method,
                    unit,
                    scale,
                };
                self.places.insert(id, place);
            }
            Definition::UnitKey { id, key } => {
                self.keys.insert(id, key);
            }
            Definition::JavaFrame { id, name } => {
                self.frames.insert(id, name);
            }
            Definition::JavaStack { id, frames } => {
                self.stacks.insert(id, frames);
            }
            Definition::HandsOver { id } => {
                if let Some(method) = self.methods.get_mut(&id) {
                    method.hands_over = true;
                }
            }
            Definition::LeftAlone { class, reason, .. } if class == STACKS && self.no_stacks.len() < REASONS_MAX => {
                self.no_stacks.push(reason);
            }
            Definition::LeftAlone { class, method, reason } => self.left_alone.add(&class, &method, &reason),
            _ => {}
        }
    }
}

/// Reads the definitions in a JVM's file.
pub(crate) fn classes(file: &StreamFile, entries: &[plumb_trace::recording::SegmentEntry]) -> Classes {
    let mut classes = Classes::default();
    for definition in all(file, entries) {
        classes.take(definition);
    }
    classes
}

/// Thread ids in the initial namespace by (pid in the initial namespace, tid in its own), where the two differ.
pub(crate) fn namespaced_tids(
    file: &StreamFile,
    entries: &[plumb_trace::recording::SegmentEntry],
) -> FxHashMap<(u32, u32), u32> {
    all(file, entries)
        .filter_map(|definition| match definition {
            Definition::Thread { tid, pid, ns_tid, .. } if tid != ns_tid => Some(((pid, ns_tid), tid)),
            _ => None,
        })
        .collect()
}

/// All definitions at these places; damaged segments are met and reported again when their lane is read.
fn all<'a>(
    file: &'a StreamFile,
    entries: &'a [plumb_trace::recording::SegmentEntry],
) -> impl Iterator<Item = Definition> + 'a {
    entries
        .iter()
        .filter_map(|entry| match file.read_at(entry.offset).ok()?.payload {
            Payload::Definitions(dated) => Some(dated.into_iter().map(|dated| dated.definition)),
            _ => None,
        })
        .flatten()
}
