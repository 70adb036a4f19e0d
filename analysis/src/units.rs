//! Units of work: how long they take, and what they are doing meanwhile.

use std::collections::BTreeMap;

use plumb_trace::{
    State, StateTotals,
    timeline::{Query, TimelineError, Unit},
};

use crate::{Window, ledger::each_unit_totals, sweep};

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

/// Mean ns by state of the units of a band of latencies. A band's states sum to its mean latency, but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// Of the typical ones: latencies from the 45th to the 55th percentile.
    pub p50: StateTotals,
    /// Of the slow ones: the 99th percentile and above.
    pub p99: StateTotals,
}

/// Reports on the units of a window, by name.
pub(crate) fn units(query: &dyn Query, window: Window) -> Result<Vec<UnitReport>, TimelineError> {
    let mut by_name: BTreeMap<String, (Vec<Unit>, u64)> = BTreeMap::new();
    sweep::each_unit(query, window, |unit| {
        let name = query.string(unit.name);
        if !by_name.contains_key(name) {
            by_name.insert(name.to_owned(), Default::default());
        }
        let Some((complete, incomplete)) = by_name.get_mut(name) else {
            return;
        };
        match unit.complete && unit.end_ns <= window.to_ns {
            true => complete.push(*unit),
            false => *incomplete += 1,
        }
    })?;
    by_name
        .into_iter()
        .map(|(name, (units, incomplete))| unit_report(query, name, units, incomplete))
        .collect()
}

fn unit_report(
    query: &dyn Query,
    name: String,
    units: Vec<Unit>,
    incomplete: u64,
) -> Result<UnitReport, TimelineError> {
    let mut latencies: Vec<u64> = units.iter().map(latency_ns).collect();
    latencies.sort_unstable();
    let latency = Latency {
        p50: percentile(&latencies, 0.5),
        p90: percentile(&latencies, 0.9),
        p99: percentile(&latencies, 0.99),
        p999: percentile(&latencies, 0.999),
        max: latencies.last().copied().unwrap_or(0),
    };
    let typical = percentile(&latencies, 0.45)..=percentile(&latencies, 0.55);
    let slow = latency.p99..=latency.max;
    let anatomy = Anatomy {
        p50: mean_states(query, &units, typical)?,
        p99: mean_states(query, &units, slow)?,
    };
    let thrown = units.iter().filter(|unit| unit.thrown).count() as u64;
    Ok(UnitReport {
        name,
        count: units.len() as u64,
        thrown,
        incomplete,
        latency,
        anatomy,
    })
}

fn latency_ns(unit: &Unit) -> u64 {
    unit.end_ns.saturating_sub(unit.start_ns)
}

/// By nearest rank; 0 of nothing.
fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn mean_states(
    query: &dyn Query,
    units: &[Unit],
    band: std::ops::RangeInclusive<u64>,
) -> Result<StateTotals, TimelineError> {
    let mut inside: Vec<Unit> = units
        .iter()
        .filter(|unit| band.contains(&latency_ns(unit)))
        .copied()
        .collect();
    let mut sum = StateTotals::default();
    let always = Window {
        from_ns: 0,
        to_ns: u64::MAX,
    };
    each_unit_totals(query, always, &mut inside, |_, totals| sum.merge(&totals.states))?;
    let mut mean = StateTotals::default();
    for state in State::ALL {
        mean.add(state, sum.get(state) / (inside.len() as u64).max(1));
    }
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<u64> = (1..=1000).collect();
        let got = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| percentile(&sorted, share));
        assert_eq!(got, [500, 900, 990, 999, 1000]);
        assert_eq!((percentile(&[7], 0.5), percentile(&[], 0.5)), (7, 0));
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
