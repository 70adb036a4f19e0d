//! What JVMs count by place (exceptions, allocations): each place has a counter of its own, which grows with its records.

use super::Machine;
use crate::input::Place;
use plumb_trace::record::JvmRecord;
use plumb_trace::timeline::{TimelineError, TimelineWriter, Track, TrackId, TrackKind};
use rustc_hash::FxHashMap;

/// Shortest time between two points of a counter, ns: what happens between them is told by the later one.
const STEP_NS: u64 = 20_000_000;

/// The places of one JVM.
#[derive(Debug, Default)]
pub(super) struct Counted {
    places: FxHashMap<u32, Counter>,
}

#[derive(Debug)]
struct Counter {
    place: Place,
    /// From its first record on.
    track: Option<TrackId>,
    sum: i64,
    /// The last point.
    told_ns: u64,
    told: i64,
    /// The last record.
    last_ns: u64,
}

impl Counted {
    pub(super) fn new(places: FxHashMap<u32, Place>) -> Counted {
        let counter = |place| Counter {
            place,
            track: None,
            sum: 0,
            told_ns: 0,
            told: 0,
            last_ns: 0,
        };
        Counted {
            places: places.into_iter().map(|(id, place)| (id, counter(place))).collect(),
        }
    }
}

impl Counter {
    fn tell(&mut self, writer: &mut TimelineWriter, at: u64) -> Result<(), TimelineError> {
        let Some(track) = self.track.filter(|_| self.sum != self.told) else {
            return Ok(());
        };
        (self.told_ns, self.told) = (at, self.sum);
        writer.counter(track, at, self.sum)
    }
}

impl Machine {
    /// So many more of what a place counts.
    pub(super) fn count_at_place(&mut self, jvm: usize, at: u64, record: &JvmRecord) -> Result<(), TimelineError> {
        let (process, _) = self.bind(jvm, at);
        let process = self.registry.processes[process].id;
        let start_ns = self.hosts[self.jvms[jvm].host].from_ns;
        let Some(counter) = self.jvms[jvm].counted.places.get_mut(&record.value()) else {
            self.oddities.nameless += 1;
            return Ok(());
        };
        let writer = &mut self.writer;
        if counter.track.is_none() {
            let unit = writer.string(&counter.place.unit);
            let track = writer.add_track(Track {
                kind: TrackKind::Counter { unit },
                process,
                tid: None,
                vthread: None,
                name: counter.place.name(),
                former_names: Vec::new(),
                group: None,
                start_ns,
                end_ns: start_ns,
                java: false,
            });
            counter.track = Some(track);
            counter.told_ns = start_ns;
            writer.counter(track, start_ns, 0)?;
        }
        let more = u64::from(record.detail()).saturating_mul(counter.place.scale);
        counter.sum = counter.sum.saturating_add_unsigned(more);
        counter.last_ns = at;
        if at >= counter.told_ns.saturating_add(STEP_NS) {
            counter.tell(writer, at)?;
        }
        Ok(())
    }

    /// Every sum stands at the end, and holds to it.
    pub(super) fn close_counted(&mut self, to_ns: u64) -> Result<(), TimelineError> {
        for jvm in &mut self.jvms {
            for counter in jvm.counted.places.values_mut() {
                let Some(track) = counter.track else { continue };
                counter.tell(&mut self.writer, counter.last_ns.max(counter.told_ns.saturating_add(1)))?;
                self.writer.track_mut(track).end_ns = to_ns.max(counter.told_ns);
            }
        }
        Ok(())
    }
}
