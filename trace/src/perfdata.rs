//! HotSpot's performance counters: a file that a JVM maps and counts in, for tools like jstat to read. Nobody asks the JVM for anything.
//!
//! ```text
//! offset 0    magic ca fe c0 c0 | byte order (u8: 1 little) | major, minor version (u8 each) | accessible (u8: 1 when all is there)
//!        8    used (i32) | overflow (i32) | modification time (i64) | offset of the first entry (i32) | number of entries (i32)
//! entry  0    length (i32) | offset of the name (i32) | vector length (i32: 0 for a number) | type (u8: `J` for i64, `B` for bytes) |
//!             flags, units, variability (u8 each) | offset of the data (i32), all from the entry's begin; the next entry follows
//! ```
//! The file belongs to the JVM's user, who may write anything into it: every offset is checked.

use std::collections::HashMap;

const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];
const LITTLE: u8 = 1;
const MAJOR: u8 = 2;
const LONG: u8 = b'J';
const BYTE: u8 = b'B';
/// Longest file that is worth reading, bytes. HotSpot makes it of 32 KiB, unless told otherwise.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest name that is looked at, bytes.
const NAME_MAX: usize = 256;
/// Most entries that are looked at.
const ENTRIES_MAX: i32 = 65_536;

/// Where each number stands that has one of these names; empty if there are none. `None` if the JVM has not finished making them, or the file is none of HotSpot's.
#[must_use]
pub fn places<'n>(file: &[u8], names: &[&'n str]) -> Option<HashMap<&'n str, usize>> {
    let mut places = HashMap::new();
    each_entry(file, |entry| {
        if let Some((name, place)) = number(file, entry)
            && let Some(name) = names.iter().find(|wanted| wanted.as_bytes() == name)
        {
            places.insert(*name, place);
        }
    })?;
    Some(places)
}

/// The text of this name, up to its end or to where the JVM cut it ([`TEXT_BYTES_MAX`]). `None` as [`places`], or if there is no such text.
#[must_use]
pub fn text<'f>(file: &'f [u8], name: &str) -> Option<&'f [u8]> {
    let mut found = None;
    each_entry(file, |entry| {
        found = found.or_else(|| text_named(file, entry, name));
    })?;
    found
}

/// What is longer is cut by the JVM, bytes (`PerfMaxStringConstLength`, with a zero at the end).
pub const TEXT_BYTES_MAX: usize = 1023;

/// Calls `see` with the offset of each entry.
fn each_entry(file: &[u8], mut see: impl FnMut(usize)) -> Option<()> {
    let header = file.get(..32)?;
    let [order, major, _minor, accessible] = [header[4], header[5], header[6], header[7]];
    if header[..4] != MAGIC || order != LITTLE || major != MAJOR || accessible != 1 {
        return None;
    }
    let mut at = offset(file, 24)?;
    let count = int(file, 28)?.clamp(0, ENTRIES_MAX);
    for _ in 0..count {
        let length = offset(file, at).filter(|length| *length > 0)?;
        see(at);
        at = at.checked_add(length)?;
    }
    Some(())
}

/// Name and place of an entry that is one number.
fn number(file: &[u8], entry: usize) -> Option<(&[u8], usize)> {
    let is_number = int(file, entry.checked_add(8)?)? == 0 && *file.get(entry.checked_add(12)?)? == LONG;
    let place = data_of(file, entry)?;
    value(file, place).filter(|_| is_number)?;
    Some((name_of(file, entry)?, place))
}

fn text_named<'f>(file: &'f [u8], entry: usize, name: &str) -> Option<&'f [u8]> {
    let length = offset(file, entry.checked_add(8)?).filter(|length| *length > 0)?;
    let is_text = *file.get(entry.checked_add(12)?)? == BYTE && name_of(file, entry)? == name.as_bytes();
    let at = data_of(file, entry)?;
    let bytes = file.get(at..at.checked_add(length)?).filter(|_| is_text)?;
    Some(bytes.split(|byte| *byte == 0).next().unwrap_or(bytes))
}

fn name_of(file: &[u8], entry: usize) -> Option<&[u8]> {
    let name = file.get(entry.checked_add(offset(file, entry.checked_add(4)?)?)?..)?;
    Some(&name[..name.iter().take(NAME_MAX).position(|byte| *byte == 0)?])
}

fn data_of(file: &[u8], entry: usize) -> Option<usize> {
    entry.checked_add(offset(file, entry.checked_add(16)?)?)
}

/// The path in a line of /proc/PID/maps, if it is that of such a file. A process writes its number as its own namespace has it, so that is left open.
#[must_use]
pub fn path_in(line: &str) -> Option<&str> {
    let path = &line[line.find('/')?..];
    let (directory, number) = path.rsplit_once('/')?;
    let (_, directory) = directory.rsplit_once('/')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && directory.starts_with("hsperfdata_")).then_some(path)
}

/// The number at a place.
#[must_use]
pub fn value(file: &[u8], place: usize) -> Option<i64> {
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
    fn a_text_is_found_by_its_name() {
        let mut file = file(&[("java.rt.vmArgs", 0), ("sun.rt.other", 1)]);
        // The first number becomes a text of eight bytes.
        let (entry, data) = (32, (20 + "java.rt.vmArgs".len() + 1).next_multiple_of(8));
        file[entry + 8] = 8;
        file[entry + 12] = BYTE;
        file[entry + data..entry + data + 8].copy_from_slice(b"-Xint\0\0x");
        assert_eq!(text(&file, "java.rt.vmArgs"), Some(&b"-Xint"[..]));
        assert_eq!(text(&file, "java.rt"), None);
        assert_eq!(text(&file, "sun.rt.other"), None, "a number");
        for at in 0..file.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = byte;
                let _ = text(&damaged, "java.rt.vmArgs");
            }
            let _ = text(&file[..at], "java.rt.vmArgs");
        }
    }

    #[test]
    fn the_file_is_known_by_its_path() {
        let line =
            "7f3efc170000-7f3efc178000 rw-s 00000000 fe:00 10018860                   /tmp/hsperfdata_tomcat/25491";
        assert_eq!(path_in(line), Some("/tmp/hsperfdata_tomcat/25491"));
        for other in [
            "/tmp/hsperfdata_tomcat/25491 (deleted)",
            "/tmp/hsperfdata_tomcat/",
            "/tmp/x/12",
            "/12",
            "[heap]",
            "",
        ] {
            assert_eq!(path_in(other), None, "{other}");
        }
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
