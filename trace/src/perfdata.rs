//! HotSpot's performance counters: a file that a JVM maps and counts in, for tools like jstat to read. Nobody asks the JVM for anything.
//!
//! ```text
//! offset 0    magic ca fe c0 c0 | byte order (u8: 1 little) | major, minor version (u8 each) | accessible (u8: 1 when all is there)
//!        8    used (i32) | overflow (i32) | modification time (i64) | offset of the first entry (i32) | number of entries (i32)
//! entry  0    length (i32) | offset of the name (i32) | vector length (i32: 0 for a number) | type (u8: `J` for i64) | flags, units, variability (u8 each) |
//!             offset of the data (i32), all from the entry's begin; the next entry follows
//! ```
//! The file belongs to the JVM's user, who may write anything into it: every offset is checked.

use std::collections::HashMap;

const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];
const LITTLE: u8 = 1;
const MAJOR: u8 = 2;
const LONG: u8 = b'J';
/// Longest name that is looked at, bytes.
const NAME_MAX: usize = 256;
/// Most entries that are looked at.
const ENTRIES_MAX: i32 = 65_536;

/// Where each number stands that has one of these names, if the JVM has finished making them; empty if there are none, or the file is none of HotSpot's.
pub(super) fn places<'n>(file: &[u8], names: &[&'n str]) -> Option<HashMap<&'n str, usize>> {
    let header = file.get(..32)?;
    let [order, major, _minor, accessible] = [header[4], header[5], header[6], header[7]];
    if header[..4] != MAGIC || order != LITTLE || major != MAJOR || accessible != 1 {
        return None;
    }
    let mut at = offset(file, 24)?;
    let count = int(file, 28)?.clamp(0, ENTRIES_MAX);
    let mut places = HashMap::new();
    for _ in 0..count {
        let length = offset(file, at).filter(|length| *length > 0)?;
        if let Some((name, place)) = number(file, at)
            && let Some(name) = names.iter().find(|wanted| wanted.as_bytes() == name)
        {
            places.insert(*name, place);
        }
        at = at.checked_add(length)?;
    }
    Some(places)
}

/// Name and place of an entry that is one number.
fn number(file: &[u8], entry: usize) -> Option<(&[u8], usize)> {
    let is_number = int(file, entry.checked_add(8)?)? == 0 && *file.get(entry.checked_add(12)?)? == LONG;
    let name = file.get(entry.checked_add(offset(file, entry + 4)?)?..)?;
    let name = &name[..name.iter().take(NAME_MAX).position(|byte| *byte == 0)?];
    let place = entry.checked_add(offset(file, entry + 16)?)?;
    value(file, place).filter(|_| is_number)?;
    Some((name, place))
}

/// The number at a place.
pub(super) fn value(file: &[u8], place: usize) -> Option<i64> {
    let bytes = file.get(place..place.checked_add(8)?)?;
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

fn int(file: &[u8], at: usize) -> Option<i32> {
    let bytes = file.get(at..at.checked_add(4)?)?;
    Some(i32::from_le_bytes(bytes.try_into().ok()?))
}

fn offset(file: &[u8], at: usize) -> Option<usize> {
    usize::try_from(int(file, at)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these numbers.
    fn file(numbers: &[(&str, i64)]) -> Vec<u8> {
        let mut file = vec![0xca, 0xfe, 0xc0, 0xc0, LITTLE, MAJOR, 0, 1];
        file.resize(24, 0);
        file.extend(32i32.to_le_bytes());
        file.extend((numbers.len() as i32).to_le_bytes());
        for (name, value) in numbers {
            let data = (20 + name.len() + 1).next_multiple_of(8);
            for field in [data as i32 + 8, 20, 0, i32::from(LONG), data as i32] {
                file.extend(field.to_le_bytes());
            }
            let end = file.len() - 20 + data;
            file.extend(name.as_bytes());
            file.resize(end, 0);
            file.extend(value.to_le_bytes());
        }
        file
    }

    fn numbers(file: &[u8], names: &[&str]) -> Option<Vec<Option<i64>>> {
        let places = places(file, names)?;
        Some(names.iter().map(|name| value(file, *places.get(name)?)).collect())
    }

    #[test]
    fn numbers_are_found_by_name() {
        let file = file(&[("sun.ci.totalCompiles", 903), ("java.threads.live", -2)]);
        let names = ["java.threads.live", "sun.ci.totalCompiles", "sun.ci"];
        assert_eq!(numbers(&file, &names), Some(vec![Some(-2), Some(903), None]));
    }

    #[test]
    fn a_file_that_is_not_finished_or_another_s_has_none() {
        let mut early = file(&[("a", 1)]);
        early[7] = 0;
        assert_eq!(places(&early, &["a"]), None);
        assert_eq!(places(b"#!/bin/sh", &["a"]), None);
    }

    #[test]
    fn no_cut_and_no_byte_makes_it_look_elsewhere() {
        let whole = file(&[("a.b", 1), ("c.d", 2)]);
        for length in 0..whole.len() {
            let _ = numbers(&whole[..length], &["a.b", "c.d"]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = numbers(&damaged, &["a.b", "c.d"]);
            }
        }
    }
}
