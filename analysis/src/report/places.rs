//! What JVMs counted by place: exceptions that were made, memory that was taken.

use std::{collections::BTreeMap, fmt};

use plumb_trace::timeline::{Query, TimelineError, Track, TrackId, TrackKind};

use crate::{Window, counts::growth, format::short, roles, window::sum};

/// What is counted so, as in the names of its counters: `exceptions:java.io.IOException@com.shop.Cart.add`.
const COUNTED: [&str; 2] = ["exceptions", "allocations"];
/// How many places of a process are named.
const NAMED_MAX: usize = 5;

/// What a process counted of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// `exceptions` or `allocations`.
    pub what: &'static str,
    /// `count`, or `bytes`, which are extrapolated from samples.
    pub unit: String,
    /// Name and id of the process.
    pub process: (String, u32),
    /// Of all places.
    pub sum: u64,
    /// The places with most of it, largest first.
    pub places: Vec<Place>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Class of what was made.
    pub class: String,
    /// The method that made it; of memory with who called that, after `<`.
    pub method: String,
    /// How many, or how much.
    pub count: u64,
}

/// Of all processes that counted something, in the order of their tracks.
pub(super) fn places(query: &dyn Query, window: Window) -> Result<Vec<Places>, TimelineError> {
    let mut found: BTreeMap<(u32, &'static str), Places> = BTreeMap::new();
    for (track, number) in query.tracks().iter().zip(0..) {
        let Some((what, class, method, unit)) = named(query, track) else {
            continue;
        };
        let count = growth(query, (TrackId(number), track), window)?;
        if count == 0 {
            continue;
        }
        let all = found.entry((track.process.0, what)).or_insert_with(|| Places {
            what,
            unit: unit.to_owned(),
            process: roles::process(query, track).map_or((roles::UNKNOWN.to_owned(), 0), |process| {
                (process.name.clone(), process.pid)
            }),
            sum: 0,
            places: Vec::new(),
        });
        all.places.push(Place {
            class: class.to_owned(),
            method: method.to_owned(),
            count,
        });
    }
    let mut all: Vec<Places> = found.into_values().collect();
    for one in &mut all {
        one.sum = sum(one.places.iter().map(|place| place.count));
        one.places.sort_by_key(|place| std::cmp::Reverse(place.count));
        one.places.truncate(NAMED_MAX);
    }
    Ok(all)
}

/// What a counter of a place counts, of which class and in which method, in which unit.
fn named<'q>(query: &'q dyn Query, track: &'q Track) -> Option<(&'static str, &'q str, &'q str, &'q str)> {
    let TrackKind::Counter { unit } = track.kind else {
        return None;
    };
    let (what, place) = track.name.split_once(':')?;
    let what = COUNTED.into_iter().find(|counted| *counted == what)?;
    let (class, method) = place.split_once('@')?;
    Some((what, class, method, query.string(unit)))
}

impl Places {
    fn shown(&self, count: u64) -> String {
        match self.unit.as_str() {
            "bytes" if count >= 1000 => format!("{}B", short(count)),
            "bytes" => format!("{count} B"),
            _ => short(count),
        }
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, pid) = &self.process;
        write!(
            f,
            "{} of {name} ({pid}): {}, most of them",
            self.what,
            self.shown(self.sum)
        )?;
        for place in &self.places {
            write!(
                f,
                "\n  {:>8}  {} at {}",
                self.shown(place.count),
                place.class,
                place.method
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, written};

    #[test]
    fn the_commonest_places_are_named() {
        let mut fake = Fake::new(0, 1_000);
        fake.thread("java", "main");
        let (count, bytes) = (fake.text("count"), fake.text("bytes"));
        let mut counter = |unit, name: &str, samples: &[(u64, i64)]| {
            let id = fake.track(TrackKind::Counter { unit }, "java", name, None);
            fake.counters.extend(samples.iter().map(|&(at, value)| (id, at, value)));
        };
        counter(
            count,
            "exceptions:java.io.IOException@com.shop.Cart.add",
            &[(0, 0), (400, 3), (600, 5)],
        );
        counter(count, "exceptions:shop.Full@com.shop.Cart.add", &[(0, 0), (700, 1_200)]);
        counter(count, "exceptions:(others)@(others)", &[(0, 0), (100, 9)]);
        counter(
            bytes,
            "allocations:byte[]@java.util.Arrays.copyOf<com.shop.Cart.add",
            &[(0, 0), (500, 4_100_000)],
        );
        counter(count, "classes.loaded", &[(0, 0), (500, 7)]);
        let window = Window {
            from_ns: 300,
            to_ns: 1_000,
        };
        let told: Vec<String> = places(&written(&fake), window)
            .unwrap()
            .iter()
            .map(|places| {
                let text = places.to_string();
                text.replace(&format!("({})", places.process.1), "(PID)")
            })
            .collect();
        assert_eq!(
            told,
            [
                "allocations of java (PID): 4.10 MB, most of them\n   4.10 MB  byte[] at java.util.Arrays.copyOf<com.shop.Cart.add",
                "exceptions of java (PID): 1.21 k, most of them\n    1.20 k  shop.Full at com.shop.Cart.add\n         5  java.io.IOException at com.shop.Cart.add",
            ]
        );
    }
}
