//! Units of work: how long they take, and what they are doing meanwhile.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
};

use plumb_trace::{
    State, StateTotals,
    timeline::{Query, StringId, TimelineError, Unit},
};

use crate::{Window, sweep, window::sum};

/// All units of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitReport {
    /// Name.
    pub name: String,
    /// How many ended in the window and were seen from begin to end: the rest is about these.
    pub count: u64,
    /// How many of them were left by an exception.
    pub thrown: u64,
    /// How many overlap the window but were not seen whole, or end after it.
    pub incomplete: u64,
    /// How long they took.
    pub latency: Latency,
    /// What they did.
    pub anatomy: Anatomy,
    /// By what they were about, the costliest first; at most [`KEYS_TOLD`].
    pub keys: Vec<KeyReport>,
}

/// Keys that a report tells of.
pub const KEYS_TOLD: usize = 10;

/// The units of one name and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// The key.
    pub key: String,
    /// How many were seen whole.
    pub count: u64,
    /// How long they took together, ns.
    pub sum_ns: u64,
    /// How long they took.
    pub latency: Latency,
}

/// Percentiles of latency, ns: the smallest that this share of the units does not exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

/// Mean ns by state of the units of a band of latencies. A band's states sum to its mean latency, but for rounding; of units that several threads worked on, to what these spent on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// Of the typical ones: latencies from the 45th to the 55th percentile.
    pub p50: StateTotals,
    /// Of the slow ones: the 99th percentile and above.
    pub p99: StateTotals,
    /// How long the typical ones' parts waited for a thread after they were handed over, ns.
    pub queue_ns_p50: u64,
    /// How long the slow ones' did.
    pub queue_ns_p99: u64,
}

/// Reports on the units of a window, by name.
pub(crate) fn units(query: &dyn Query, window: Window) -> Result<Vec<UnitReport>, TimelineError> {
    let mut kinds: BTreeMap<StringId, Kind> = BTreeMap::new();
    sweep::each_unit(query, window, |unit| {
        kinds.entry(unit.name).or_default().count(unit, window);
        Ok(())
    })?;
    kinds.values_mut().for_each(Kind::find_bands);
    // What a unit did before the window belongs to its latency.
    let always = Window {
        from_ns: 0,
        to_ns: u64::MAX,
    };
    let mut bands: BTreeMap<StringId, [Band; 2]> = BTreeMap::new();
    let mut counts: BTreeMap<StringId, [u64; 2]> = BTreeMap::new();
    let is_told = |unit: &Unit| {
        let Some(kind) = kinds.get(&unit.name).filter(|kind| kind.is_in_a_band(unit, window)) else {
            return false;
        };
        let counts = counts.entry(unit.name).or_default();
        for (count, band) in counts.iter_mut().zip(kind.bands()) {
            *count += u64::from(band.contains(&latency_ns(unit)));
        }
        true
    };
    sweep::each_unit_totals(query, window, always, is_told, |work, totals| {
        let Some(kind) = kinds.get(&work.name) else { return };
        let sums = bands.entry(work.name).or_default();
        for (sum, band) in sums.iter_mut().zip(kind.bands()) {
            if band.contains(&work.latency_ns) {
                sum.states.merge(&totals.states);
                sum.queue_ns = sum
                    .queue_ns
                    .saturating_add(work.start_ns.saturating_sub(work.handed_ns));
            }
        }
    })?;
    let report = |(name, kind): (StringId, Kind)| {
        let (bands, counts) = (bands.remove(&name), counts.get(&name).copied());
        kind.report(query, name, bands.unwrap_or_default(), counts.unwrap_or_default())
    };
    let mut reports: Vec<UnitReport> = kinds.into_iter().map(report).collect();
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(reports)
}

/// The units of one name.
struct Kind {
    /// Of those seen whole; sorted by [`Kind::find_bands`].
    latencies: Vec<u64>,
    thrown: u64,
    incomplete: u64,
    /// Latencies of the typical ones.
    typical: RangeInclusive<u64>,
    /// Latencies of the slow ones.
    slow: RangeInclusive<u64>,
    /// By key, where they have one.
    keys: HashMap<StringId, Vec<u64>>,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            latencies: Vec::new(),
            thrown: 0,
            incomplete: 0,
            typical: 0..=0,
            slow: 0..=0,
            keys: HashMap::new(),
        }
    }
}

impl Kind {
    fn count(&mut self, unit: &Unit, window: Window) {
        if counts(unit, window) {
            self.latencies.push(latency_ns(unit));
            if unit.key != StringId(0) {
                self.keys.entry(unit.key).or_default().push(latency_ns(unit));
            }
            self.thrown += u64::from(unit.thrown);
        } else {
            self.incomplete += 1;
        }
    }

    fn find_bands(&mut self) {
        self.latencies.sort_unstable();
        self.typical = percentile(&self.latencies, 0.45)..=percentile(&self.latencies, 0.55);
        self.slow = percentile(&self.latencies, 0.99)..=percentile(&self.latencies, 1.0);
    }

    fn is_in_a_band(&self, unit: &Unit, window: Window) -> bool {
        let latency_ns = latency_ns(unit);
        counts(unit, window) && (self.typical.contains(&latency_ns) || self.slow.contains(&latency_ns))
    }

    fn bands(&self) -> [&RangeInclusive<u64>; 2] {
        [&self.typical, &self.slow]
    }

    fn report(self, query: &dyn Query, name: StringId, [typical, slow]: [Band; 2], counts: [u64; 2]) -> UnitReport {
        UnitReport {
            name: query.string(name).to_owned(),
            count: self.latencies.len() as u64,
            thrown: self.thrown,
            incomplete: self.incomplete,
            latency: Latency::of(&self.latencies),
            anatomy: Anatomy {
                p50: typical.mean(counts[0]),
                p99: slow.mean(counts[1]),
                queue_ns_p50: typical.queue_ns / counts[0].max(1),
                queue_ns_p99: slow.queue_ns / counts[1].max(1),
            },
            keys: key_reports(query, self.keys),
        }
    }
}

/// The costliest keys.
fn key_reports(query: &dyn Query, keys: HashMap<StringId, Vec<u64>>) -> Vec<KeyReport> {
    let mut sums: Vec<(u64, StringId, Vec<u64>)> = keys
        .into_iter()
        .map(|(key, latencies)| (sum(latencies.iter().copied()), key, latencies))
        .collect();
    sums.sort_by_key(|(sum_ns, key, _)| (Reverse(*sum_ns), *key));
    sums.truncate(KEYS_TOLD);
    let report = |(sum_ns, key, mut latencies): (u64, StringId, Vec<u64>)| {
        latencies.sort_unstable();
        KeyReport {
            key: query.string(key).to_owned(),
            count: latencies.len() as u64,
            sum_ns,
            latency: Latency::of(&latencies),
        }
    };
    sums.into_iter().map(report).collect()
}

impl Latency {
    fn of(sorted: &[u64]) -> Latency {
        let percentile = |share| percentile(sorted, share);
        Latency {
            p50: percentile(0.5),
            p90: percentile(0.9),
            p99: percentile(0.99),
            p999: percentile(0.999),
            max: percentile(1.0),
        }
    }
}

/// What the units of a band did.
#[derive(Default)]
struct Band {
    states: StateTotals,
    queue_ns: u64,
}

impl Band {
    fn mean(&self, count: u64) -> StateTotals {
        let mut mean = StateTotals::default();
        for state in State::ALL {
            mean.add(state, self.states.get(state) / count.max(1));
        }
        mean
    }
}

/// Whether a unit was seen whole and ended in the window.
fn counts(unit: &Unit, window: Window) -> bool {
    unit.complete && unit.end_ns <= window.to_ns
}

fn latency_ns(unit: &Unit) -> u64 {
    unit.end_ns.saturating_sub(unit.start_ns)
}

/// By nearest rank; 0 of nothing.
fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use plumb_trace::timeline::UnitPart;

    use super::*;
    use crate::{
        By, ledger,
        testing::{Fake, written},
    };

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<u64> = (1..=1000).collect();
        let got = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| percentile(&sorted, share));
        assert_eq!(got, [500, 900, 990, 999, 1000]);
        assert_eq!((percentile(&[7], 0.5), percentile(&[], 0.5)), (7, 0));
    }

    #[test]
    fn units_in_parts_are_the_sum_of_what_their_threads_did() {
        let mut fake = Fake::new(0, 10_000);
        let (front, pool) = (fake.thread("java", "front"), fake.thread("java", "pool"));
        let (name, key) = (fake.text("request"), fake.text("/cart"));
        fake.running(front, 0, 1_000, 0);
        fake.state(front, 1_000, 10_000, State::Park);
        fake.state(pool, 0, 3_000, State::Park);
        fake.running(pool, 3_000, 4_000, 0);
        fake.state(pool, 4_000, 6_000, State::Net);
        fake.state(pool, 6_000, 10_000, State::Park);
        fake.unit(name, front, 0, 6_000);
        (fake.units[0].number, fake.units[0].key) = (7, key);
        fake.unit(name, front, 7_000, 8_000);
        let part = |track, handed_ns, start_ns, end_ns| UnitPart {
            number: 7,
            name,
            key,
            track,
            handed_ns,
            start_ns,
            end_ns,
        };
        fake.unit_parts = vec![part(front, 0, 0, 1_000), part(pool, 500, 3_000, 6_000)];
        let file = written(&fake);

        let got = units(&file, Window::of(&file, None, None)).unwrap();
        let [report] = got.as_slice() else { panic!("one name") };
        assert_eq!((report.count, report.latency.max), (2, 6_000));
        let slow = &report.anatomy.p99;
        let states = [State::Running, State::Net, State::Park].map(|state| slow.get(state));
        assert_eq!((states, report.anatomy.queue_ns_p99), ([2_000, 2_000, 0], 2_500));
        let [cart] = report.keys.as_slice() else {
            panic!("one key")
        };
        assert_eq!((cart.key.as_str(), cart.count, cart.sum_ns), ("/cart", 1, 6_000));

        let window = Window {
            from_ns: 2_000,
            to_ns: 5_000,
        };
        let rows = ledger(&file, By::Unit, window, None).unwrap().to_json()["rows"].clone();
        assert_eq!(rows.as_array().map(Vec::len), Some(1));
        assert_eq!(
            (&rows[0]["key"], &rows[0]["count"]),
            (&"request /cart".into(), &1.into())
        );
        assert_eq!(
            (&rows[0]["unit"], &rows[0]["unit_key"]),
            (&"request".into(), &"/cart".into())
        );
        assert_eq!(rows[0]["queue_ns"], 1_000);
        assert_eq!(
            (&rows[0]["states_ns"]["running"], &rows[0]["states_ns"]["net"]),
            (&1_000.into(), &1_000.into())
        );
    }

    #[test]
    fn slow_units_show_what_made_them_slow() {
        let mut fake = Fake::new(0, 1_000_000);
        let worker = fake.thread("java", "worker");
        let name = fake.text("request");
        // A hundred requests of 1000 ns; the last two of 5000, of which 4000 wait for a lock.
        let mut at = 0;
        for number in 0..100 {
            let end = at + 1_000;
            fake.running(worker, at, end, 0);
            let waited = if number >= 98 { 4_000 } else { 0 };
            if waited > 0 {
                fake.state(worker, end, end + waited, State::Monitor);
            }
            fake.unit(name, worker, at, end + waited);
            at = end + waited;
        }
        fake.state(worker, at, 1_000_000, State::Park);
        fake.units.push(Unit {
            complete: false,
            start_ns: at,
            end_ns: 1_000_000,
            ..fake.units[0]
        });

        let got = units(&fake, Window::of(&fake, None, None)).unwrap();
        let [report] = got.as_slice() else { panic!("one name") };
        assert_eq!(
            (report.name.as_str(), report.count, report.incomplete),
            ("request", 100, 1)
        );
        assert_eq!(
            (
                report.latency.p50,
                report.latency.p90,
                report.latency.p99,
                report.latency.max
            ),
            (1_000, 1_000, 5_000, 5_000)
        );
        assert_eq!(
            (report.anatomy.p50.get(State::Running), report.anatomy.p50.sum()),
            (1_000, 1_000)
        );
        assert_eq!(
            (report.anatomy.p99.get(State::Monitor), report.anatomy.p99.sum()),
            (4_000, 5_000)
        );
    }
}
