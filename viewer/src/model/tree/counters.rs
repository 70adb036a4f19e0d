//! Rows of counters: those of the host, of its CPUs, of processes and cgroups, and apart from them those that never changed.

use super::{Builder, Key, Lane};
use crate::model::counter;
use crate::model::describe;
use plumb_trace::timeline::{TrackId, TrackKind};
use std::collections::BTreeMap;

/// What a counter is about: the order in which they stand, and the title of the heading above.
type About = (Order, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Host,
    Cpus,
    Process,
    Cgroup,
    Constant,
}

/// A counter's row.
struct Entry {
    label: String,
    track: TrackId,
    words: String,
}

impl Builder<'_> {
    /// The counters of every host.
    pub(super) fn counters(&mut self) {
        let mut hosts: BTreeMap<u32, Vec<TrackId>> = BTreeMap::new();
        for (id, track) in self.source.query.tracks().iter().enumerate() {
            if let TrackKind::Counter { .. } = track.kind {
                let owner = self.source.query.processes().get(track.process.0 as usize);
                hosts
                    .entry(owner.map_or(0, |owner| owner.host))
                    .or_default()
                    .push(TrackId(id as u32));
            }
        }
        let several = hosts.len() > 1;
        for (host, tracks) in hosts {
            let (label, note) = self.host_title("counters", host, several);
            let heading = self.open(Key::Counters(self.number, host, None), label, note, Lane::Empty, true);
            self.counters_of(host, &tracks);
            self.close(heading);
        }
    }

    fn counters_of(&mut self, host: u32, tracks: &[TrackId]) {
        let mut parts: BTreeMap<About, Vec<Entry>> = BTreeMap::new();
        for &track in tracks {
            if let Some((about, entry)) = self.counter_entry(track) {
                parts.entry(about).or_default().push(entry);
            }
        }
        for ((order, title), mut entries) in parts {
            entries.sort_by_cached_key(|entry| super::natural(&entry.label));
            let first = entries.first().map(|entry| entry.track);
            let heading = (order != Order::Host).then(|| {
                let note = describe::count(entries.len(), "counter");
                self.open(Key::Counters(self.number, host, first), title, note, Lane::Empty, false)
            });
            for entry in entries {
                self.leaf(
                    Key::Track(self.number, entry.track),
                    entry.label,
                    String::new(),
                    Lane::Counter(entry.track),
                );
                self.last().words.push_str(&entry.words);
            }
            if let Some(heading) = heading {
                self.close(heading);
            }
        }
    }

    fn counter_entry(&self, track: TrackId) -> Option<(About, Entry)> {
        let found = counter::of(self.source, track)?;
        let process = self.source.track(track)?.process;
        let owner = self.source.query.processes().get(process.0 as usize);
        let is_of_process = owner.is_some_and(|owner| owner.pid != 0);
        let label = found.label();
        let (about, near, far) = match found.cpu {
            _ if !found.cgroup.is_empty() => {
                let title = format!("cgroup {}", found.cgroup);
                (
                    (Order::Cgroup, title),
                    label.clone(),
                    format!("{label}, {}", found.cgroup),
                )
            }
            _ if is_of_process => {
                let title = self.source.process_title(process);
                (
                    (Order::Process, title.clone()),
                    label.clone(),
                    format!("{label}, {title}"),
                )
            }
            Some(cpu) => {
                let label = format!("CPU {cpu} {label}");
                ((Order::Cpus, "each CPU".to_owned()), label.clone(), label)
            }
            None => ((Order::Host, String::new()), label.clone(), label),
        };
        let (about, label) = match counter::is_constant(self.source, track) {
            true => ((Order::Constant, "without change".to_owned()), far),
            false => (about, near),
        };
        let words = format!("\n{}\n{}\n", found.name, found.cgroup.to_lowercase());
        Some((about, Entry { label, track, words }))
    }
}
