//! Samples of counters: three varints each.
//!
//! ```text
//! time: difference to the sample before | counter number | value: difference to the counter's value before in this segment (at first to 0)
//! ```

use crate::varint;
use std::collections::HashMap;

/// What a counter stood at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterSample {
    /// CLOCK_MONOTONIC, ns.
    pub at_ns: u64,
    /// The counter's number, see [`crate::definition::Definition::Counter`].
    pub counter: u32,
    /// Its value, in the counter's unit.
    pub value: u64,
}

/// Appends the samples.
pub(super) fn encode(samples: &[CounterSample], out: &mut Vec<u8>) {
    let mut last_at = 0u64;
    let mut last: HashMap<u32, u64> = HashMap::new();
    for &CounterSample { at_ns, counter, value } in samples {
        varint::put_signed(out, at_ns.wrapping_sub(last_at) as i64);
        varint::put(out, u64::from(counter));
        let before = last.insert(counter, value).unwrap_or(0);
        varint::put_signed(out, value.wrapping_sub(before) as i64);
        last_at = at_ns;
    }
}

/// Reads exactly `count` samples.
pub(super) fn decode(mut raw: &[u8], count: usize) -> Option<Vec<CounterSample>> {
    let mut at_ns = 0u64;
    let mut last: HashMap<u32, u64> = HashMap::new();
    let mut samples = Vec::new();
    for _ in 0..count {
        at_ns = at_ns.wrapping_add(varint::take_signed(&mut raw)? as u64);
        let counter = u32::try_from(varint::take(&mut raw)?).ok()?;
        let value = last.entry(counter).or_insert(0);
        *value = value.wrapping_add(varint::take_signed(&mut raw)? as u64);
        samples.push(CounterSample {
            at_ns,
            counter,
            value: *value,
        });
    }
    raw.is_empty().then_some(samples)
}
