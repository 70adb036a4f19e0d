//! The writer's part of a flight recorder: segments go into a window, and the window to the disk when a trigger says so.

use super::jvm::Jvm;
use crate::clock;
use crate::flight::{Flight, Keep, Kept, Request, Saver, Sizer, Window, memory_max};
use crate::live::Live;
use crate::proc;
use crate::trigger::Watcher;
use plumb_trace::recording::{FileKind, Manifest};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How often JVMs are looked for that have ended.
const LOOK_FOR_JVMS: Duration = Duration::from_secs(10);

/// After this time what happened until a moment has come: drained every 30 ms at least, handed over every 50, taken in every 100.
const SETTLE_NS: u64 = 200_000_000;

/// A window that is saved as soon as its end has come.
#[derive(Debug)]
struct Pending {
    reason: String,
    by_rule: bool,
    /// Since when, as far as it is there; `None`: everything that is there.
    from_ns: Option<u64>,
    until_ns: u64,
}

/// The state.
pub(crate) struct Flying {
    window: Window,
    keep: Keep,
    /// Where a time is kept.
    sizer: Option<Sizer>,
    to_window: Sender<Kept>,
    segments: Receiver<Kept>,
    pub watcher: Watcher,
    saver: Saver,
    live: Arc<Live>,
    manifest: Manifest,
    pending: Option<Pending>,
    /// No rule fires before, so that its windows do not overlap.
    quiet_until_ns: u64,
    looked_for_jvms: Instant,
}

impl Flying {
    pub fn new(flight: Flight, dir: &Path, manifest: Manifest, live: Arc<Live>) -> Flying {
        let (to_window, segments) = channel();
        Flying {
            window: Window::new(flight.keep, manifest.started_ns),
            keep: flight.keep,
            sizer: match flight.keep {
                Keep::Bytes(_) => None,
                Keep::Time(ns) => Some(Sizer::new(ns, manifest.started_ns, memory_max(0))),
            },
            to_window,
            segments,
            watcher: Watcher::new(flight.triggers),
            saver: Saver::new(dir.to_owned(), Arc::clone(&live)),
            live,
            manifest,
            pending: None,
            quiet_until_ns: 0,
            looked_for_jvms: Instant::now(),
        }
    }

    /// Where segments go.
    pub fn sink(&self) -> Sender<Kept> {
        self.to_window.clone()
    }

    /// JVMs and targets have changed.
    pub fn set_manifest(&mut self, manifest: Manifest) {
        self.manifest = manifest;
    }

    /// Somebody asks for what there is.
    pub fn ask(&mut self, reason: String) {
        let now_ns = clock::monotonic_ns();
        let from_ns = match self.keep {
            Keep::Bytes(_) => None,
            Keep::Time(ns) => Some(now_ns.saturating_sub(ns)),
        };
        if let Some(from_ns) = from_ns {
            self.window.pin(from_ns);
        }
        // Who asks has what is there now; a rule's window that is being waited for would come too late.
        self.pending = Some(Pending {
            reason,
            by_rule: false,
            from_ns,
            until_ns: now_ns,
        });
    }

    /// Takes in new segments and looks at the conditions. True: flush everything, and call [`Flying::save`].
    pub(super) fn look(&mut self, jvms: &[Jvm]) -> bool {
        let now_ns = clock::monotonic_ns();
        self.take_in(now_ns);
        let may_save = self.pending.is_none() && now_ns >= self.quiet_until_ns && self.saver.has_room();
        let is_alive = |jvm: usize| {
            let jvm = jvms.get(jvm);
            jvm.is_some_and(|jvm| proc::start_ticks(jvm.pid) == Some(jvm.start_ticks))
        };
        self.watcher.look(now_ns, may_save, is_alive);
        if let Some(fired) = self.watcher.take_fired()
            && may_save
            && let Some(trigger) = self.watcher.trigger(fired.trigger)
        {
            let from_ns = now_ns.saturating_sub(trigger.keep_ns);
            let until_ns = now_ns.saturating_add(trigger.after_ns);
            self.quiet_until_ns = until_ns.saturating_add(trigger.keep_ns);
            self.window.pin(from_ns);
            self.pending = Some(Pending {
                reason: format!("{} ({})", trigger.text, fired.seen),
                by_rule: true,
                from_ns: Some(from_ns),
                until_ns,
            });
        }
        let is_due = |pending: &Pending| now_ns >= pending.until_ns.saturating_add(SETTLE_NS);
        self.pending.as_ref().is_some_and(is_due)
    }

    fn take_in(&mut self, now_ns: u64) {
        self.segments.try_iter().for_each(|kept| self.window.push(kept));
        self.measure(now_ns);
        self.window.forget(now_ns);
    }

    /// Has the window take as much as its time needs.
    fn measure(&mut self, now_ns: u64) {
        let Some(sizer) = &mut self.sizer else { return };
        let load = self.window.load();
        let need = sizer.look(now_ns, load, || memory_max(load.held));
        self.window.bytes_max = sizer.bound;
        if let Some(need) = need {
            self.live.tell(need.to_string());
        }
    }

    /// Starts to save the window that is due, or waited for at the end.
    pub(super) fn save(&mut self, jvms: &[Jvm]) {
        let to_ns = clock::monotonic_ns();
        self.take_in(to_ns);
        let Some(pending) = self.pending.take() else { return };
        let (segments, base, from_ns) = self.window.cut(pending.from_ns.unwrap_or(0));
        // Of the time before the recording nothing can be missing.
        let asked_ns = pending.from_ns.map(|asked_ns| asked_ns.max(self.manifest.started_ns));
        let missing_ns = asked_ns.map_or(0, |asked_ns| from_ns.saturating_sub(asked_ns));
        self.window.unpin();
        let clocks = jvms.iter().map(|jvm| ((jvm.pid, jvm.start_ticks), jvm.clock)).collect();
        self.saver.save(Request {
            manifest: self.manifest_from(&pending.reason, (from_ns, missing_ns), &segments, &base),
            missing_ns,
            segments,
            base,
            to_ns,
            reason: pending.reason,
            by_rule: pending.by_rule,
            clocks,
        });
    }

    /// The manifest of a recording that begins at `from_ns`, later by `missing_ns` than was asked for, with the JVMs of which something is there.
    fn manifest_from(
        &self,
        reason: &str,
        (from_ns, missing_ns): (u64, u64),
        segments: &[Kept],
        base: &crate::flight::Base,
    ) -> Manifest {
        let mut manifest = self.manifest.clone();
        manifest.notes = self.live.notes();
        manifest
            .notes
            .push(format!("a window of a flight recorder, saved by {reason}"));
        if missing_ns > 0 {
            manifest.notes.push(format!(
                "the flight recorder's memory did not hold all that was asked for: the first {:.3} s are missing",
                missing_ns as f64 / 1e9
            ));
        }
        let later_ns = from_ns.saturating_sub(manifest.started_ns);
        manifest.started_ns = manifest.started_ns.saturating_add(later_ns);
        manifest.started_realtime_ns = manifest.started_realtime_ns.saturating_add(later_ns);
        let files: HashSet<FileKind> = segments.iter().map(|kept| kept.file).collect();
        manifest.jvms.retain(|jvm| {
            let (pid, start_ticks) = (jvm.pid, jvm.start_ticks);
            files.contains(&FileKind::Jvm { pid, start_ticks }) || base.has_jvm((pid, start_ticks))
        });
        manifest
    }

    /// Forgets JVMs that have ended and of which the window holds nothing more.
    pub(super) fn forget_jvms(&mut self, jvms: &[Jvm]) {
        if self.looked_for_jvms.elapsed() < LOOK_FOR_JVMS {
            return;
        }
        self.looked_for_jvms = Instant::now();
        let ended = jvms
            .iter()
            .filter(|jvm| proc::start_ticks(jvm.pid) != Some(jvm.start_ticks));
        for jvm in ended {
            let (pid, start_ticks) = (jvm.pid, jvm.start_ticks);
            if !self.window.has(FileKind::Jvm { pid, start_ticks }) {
                self.window.base.forget_jvm((pid, start_ticks));
            }
        }
    }

    /// Until everything is saved.
    pub fn finish(&mut self) {
        self.saver.wait();
    }
}
