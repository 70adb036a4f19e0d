//! `OUT.prv`: the header, and all records in order of time.

use super::rows::Rows;
use super::{METHOD_TYPE, PAUSE_TYPE, WINDOW_NS, WriteError, states};
use plumb_trace::calendar::civil_date;
use plumb_trace::timeline::{Info, Query, Slice, StringId, TrackId, TrackKind};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Values of events by their type and name: numbers from 1 on, in order of first use.
#[derive(Default)]
pub(super) struct Values(BTreeMap<(u32, StringId), u32>);

impl Values {
    fn of(&mut self, event_type: u32, name: StringId) -> u32 {
        let next = self.0.len() as u32 + 1;
        *self.0.entry((event_type, name)).or_insert(next)
    }

    /// Numbers and names of a type, in order of the numbers.
    pub(super) fn all(&self, event_type: u32) -> Vec<(u32, StringId)> {
        let of_type = self.0.iter().filter(|((found, _), _)| *found == event_type);
        let mut all: Vec<_> = of_type.map(|(&(_, name), &value)| (value, name)).collect();
        all.sort_unstable();
        all
    }
}

/// A record to be put in order: what ends at an instant comes before the states that begin there, these before the calls that begin there.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    at: u64,
    rank: Rank,
    text: String,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Inner calls first.
    End(u16),
    State,
    /// Outer calls first.
    Begin(u16),
    /// The end of a call that began at the same instant.
    EmptyEnd(u16),
}

/// Where a track's records go.
#[derive(Clone, Copy)]
struct Place {
    track: TrackId,
    host: u32,
    application: usize,
    thread: usize,
    event_type: u32,
}

/// Writes the file; gives the values of method events.
pub(super) fn write(query: &dyn Query, rows: &Rows, out: &mut dyn Write) -> Result<Values, WriteError> {
    let info = query.info();
    header(info, rows, query, out)?;
    let mut values = Values::default();
    let mut records = Vec::new();
    let mut from = info.from_ns;
    // The last window is closed: what ends with the timeline ends in it.
    let end = info.to_ns.saturating_add(1);
    while from < end {
        let to = from.saturating_add(WINDOW_NS).min(end);
        for place in places(query, rows) {
            add_states(query, rows, place, (from, to), &mut records)?;
            add_slices(query, place, (from, to), &mut values, &mut records)?;
        }
        records.sort_unstable();
        for record in records.drain(..) {
            writeln!(out, "{}", record.text)?;
        }
        from = to;
    }
    Ok(values)
}

fn header(info: &Info, rows: &Rows, query: &dyn Query, out: &mut dyn Write) -> io::Result<()> {
    let realtime_s = info.from_ns.saturating_add_signed(info.realtime_offset_ns) / 1_000_000_000;
    let (year, month, day) = civil_date(realtime_s as i64 / 86_400);
    let (hour, minute) = (realtime_s / 3600 % 24, realtime_s / 60 % 60);
    let cpus: Vec<String> = rows.cpus.iter().map(u32::to_string).collect();
    write!(
        out,
        "#Paraver ({day:02}/{month:02}/{year:04} at {hour:02}:{minute:02}):{}_ns:{}({}):{}",
        info.to_ns - info.from_ns,
        cpus.len(),
        cpus.join(","),
        rows.applications.len()
    )?;
    for application in &rows.applications {
        let node = query.processes()[application.process].host + 1;
        write!(out, ":1({}:{node})", application.threads.len())?;
    }
    writeln!(out)
}

fn places<'a>(query: &'a dyn Query, rows: &'a Rows) -> impl Iterator<Item = Place> + 'a {
    rows.applications.iter().enumerate().flat_map(move |(application, of)| {
        of.threads.iter().enumerate().map(move |(thread, &track)| {
            let is_jvm = query.tracks()[track.0 as usize].kind == TrackKind::Jvm;
            let event_type = if is_jvm { PAUSE_TYPE } else { METHOD_TYPE };
            Place {
                track,
                host: query.processes()[of.process].host,
                application: application + 1,
                thread: thread + 1,
                event_type,
            }
        })
    })
}

fn add_states(
    query: &dyn Query,
    rows: &Rows,
    place: Place,
    (from, to): (u64, u64),
    records: &mut Vec<Record>,
) -> Result<(), WriteError> {
    let zero = query.info().from_ns;
    for interval in query.states(place.track, from, to)? {
        if interval.start_ns < from || interval.start_ns >= to {
            continue;
        }
        let Place {
            host,
            application,
            thread,
            ..
        } = place;
        let cpu = rows.cpu(host, interval.cpu);
        let (begin, end) = (
            interval.start_ns.saturating_sub(zero),
            interval.end_ns.saturating_sub(zero),
        );
        let text = format!(
            "1:{cpu}:{application}:1:{thread}:{begin}:{end}:{}",
            states::number(interval.state)
        );
        records.push(Record {
            at: interval.start_ns,
            rank: Rank::State,
            text,
        });
    }
    Ok(())
}

fn add_slices(
    query: &dyn Query,
    place: Place,
    (from, to): (u64, u64),
    values: &mut Values,
    records: &mut Vec<Record>,
) -> Result<(), WriteError> {
    let zero = query.info().from_ns;
    let mut add = |at: u64, rank: Rank, value: u32| {
        let Place {
            application,
            thread,
            event_type,
            ..
        } = place;
        let time = at.saturating_sub(zero);
        records.push(Record {
            at,
            rank,
            text: format!("2:0:{application}:1:{thread}:{time}:{event_type}:{value}"),
        });
    };
    let is_inside = |at: u64| from <= at && at < to;
    // What ends where the window begins ends in it, but does not overlap it.
    for slice in query.slices(place.track, from.saturating_sub(1), to, 0)? {
        let Slice {
            start_ns,
            end_ns,
            depth,
            ..
        } = slice;
        if is_inside(start_ns) {
            add(start_ns, Rank::Begin(depth), values.of(place.event_type, slice.name));
        }
        if is_inside(end_ns) {
            let rank = if start_ns == end_ns {
                Rank::EmptyEnd(u16::MAX - depth)
            } else {
                Rank::End(u16::MAX - depth)
            };
            add(end_ns, rank, 0);
        }
    }
    Ok(())
}
