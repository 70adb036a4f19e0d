//! Every way of telling a method's begin, so that each is verified by every JVM.

use plumb_agent::rewrite::{Begin, Choice, MethodInfo, Selector};
use plumb_filters::matcher::{ArgumentKind, argument};

const STATIC: u16 = 8;

/// Chooses the methods that have a number, and lets those tell an argument that can.
pub struct Telling<F>(pub F);

impl<F: FnMut(&str, &MethodInfo<'_>) -> Option<u32>> Selector for Telling<F> {
    fn select(&mut self, class: &str, method: &MethodInfo<'_>) -> Option<Choice> {
        (self.0)(class, method).map(|id| Choice {
            id,
            begin: begin_of(method),
        })
    }
}

/// By the last argument that can be told, else by `this`.
fn begin_of(method: &MethodInfo<'_>) -> Begin {
    let this = u16::from(method.access & STATIC == 0);
    let found = (1..=20).rev().find_map(|number| argument(method.descriptor, number));
    match found.map(|found| (found.kind, found.slot + this)) {
        Some((ArgumentKind::Text, slot)) => Begin::Text(slot),
        Some((ArgumentKind::Int, slot)) => Begin::Int(slot),
        Some((ArgumentKind::Long, slot)) => Begin::Long(slot),
        None if this == 1 => Begin::Given(0),
        None => Begin::Enter,
    }
}
