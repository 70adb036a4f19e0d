//! Counters that can be read while a recording runs.

use crate::flight::Saved;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What has happened so far. Every field only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of the kernel in segments.
    pub kernel_stored: u64,
    /// Records of the kernel that found no place in a ring, or none on the disk.
    pub kernel_lost: u64,
    /// Records of JVMs in segments.
    pub jvm_stored: u64,
    /// Records that agents dropped, or that found no place on the disk.
    pub jvm_lost: u64,
    /// Definitions of JVMs that did not fit into their arenas.
    pub definitions_lost: u64,
    /// Bytes of all segments.
    pub bytes: u64,
}

/// [`Counts`] that threads share, and what they have to say.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub kernel_stored: AtomicU64,
    pub kernel_dropped: AtomicU64,
    pub kernel_unwritten: AtomicU64,
    pub jvm_stored: AtomicU64,
    pub jvm_dropped: AtomicU64,
    pub jvm_unwritten: AtomicU64,
    pub definitions_dropped: AtomicU64,
    pub definitions_unwritten: AtomicU64,
    pub bytes: AtomicU64,
    ended_early: Mutex<Option<String>>,
    notes: Mutex<Vec<String>>,
    saved: Mutex<Vec<Saved>>,
    news: Mutex<Vec<String>>,
}

/// Notes that are kept; a recording that has more to say repeats itself.
const NOTES_MAX: usize = 100;

impl Live {
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            kernel_stored: load(&self.kernel_stored),
            kernel_lost: load(&self.kernel_dropped) + load(&self.kernel_unwritten),
            jvm_stored: load(&self.jvm_stored),
            jvm_lost: load(&self.jvm_dropped) + load(&self.jvm_unwritten),
            definitions_lost: load(&self.definitions_dropped) + load(&self.definitions_unwritten),
            bytes: load(&self.bytes),
        }
    }

    /// Remembers why nothing more can be stored; the first reason counts.
    pub fn end_early(&self, reason: &str) {
        self.ended_early
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| reason.to_owned());
    }

    pub fn ended_early(&self) -> Option<String> {
        self.ended_early.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds something that the user should know.
    pub fn note(&self, note: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX && !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Adds something that the user should hear now.
    pub fn tell(&self, news: String) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push(news);
    }

    /// News since the last call.
    pub fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A window was saved, or could not be.
    pub fn saved(&self, saved: Saved) {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).push(saved);
    }

    /// Windows since the last call.
    pub fn take_saved(&self) -> Vec<Saved> {
        std::mem::take(&mut self.saved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
