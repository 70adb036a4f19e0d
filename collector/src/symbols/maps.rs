//! What code a process has mapped, by /proc/PID/maps.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// Mappings of code that are looked at, of a process: large ones have some hundreds.
const MAPPINGS_MAX: usize = 2 << 10;
/// Longest file of mappings that is read, bytes.
const BYTES_MAX: u64 = 32 << 20;

/// A mapping that may be executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Behind the last one.
    pub end: u64,
    /// Where it begins in its file.
    pub offset: u64,
    /// Inode of its file, 0: none.
    pub inode: u64,
    /// Device of the file, as it stands there.
    pub device: String,
    /// Path of the file in the process's own file system, something in brackets, or empty.
    pub path: String,
}

impl Mapping {
    /// Its path's last part.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        size_of::<Mapping>() + self.device.len() + self.path.len()
    }
}

/// Of a process, in order of their addresses; none where it has ended, or is not ours to look at.
pub(super) fn of(pid: u32) -> Vec<Mapping> {
    match File::open(format!("/proc/{pid}/maps")) {
        Ok(file) => parse(BufReader::new(file.take(BYTES_MAX))),
        Err(_) => Vec::new(),
    }
}

/// The mapping that an address lies in.
pub fn find<M: Borrow<Mapping>>(mappings: &[M], address: u64) -> Option<&M> {
    let after = mappings.partition_point(|mapping| mapping.borrow().start <= address);
    let mapping = mappings.get(after.checked_sub(1)?)?;
    (address < mapping.borrow().end).then_some(mapping)
}

/// Lines `START-END PERMISSIONS OFFSET DEVICE INODE   PATH`.
pub fn parse(mut lines: impl BufRead) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    let mut line = Vec::new();
    while let Ok(1..) = {
        line.clear();
        lines.read_until(b'\n', &mut line)
    } {
        mappings.extend(mapping(&String::from_utf8_lossy(&line)));
        if mappings.len() >= MAPPINGS_MAX {
            break;
        }
    }
    mappings.sort_by_key(|mapping| mapping.start);
    mappings
}

fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.trim_end_matches('\n').splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()?.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let hexadecimal = |digits: &str| u64::from_str_radix(digits, 16).ok();
    Some(Mapping {
        start: hexadecimal(start)?,
        end: hexadecimal(end)?,
        offset: hexadecimal(fields.next()?)?,
        device: fields.next()?.to_owned(),
        inode: fields.next()?.parse().ok()?,
        path: fields.next().unwrap_or_default().trim_start().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_kept_and_data_is_not() {
        let text = "\
55d0c0000000-55d0c0001000 r--p 00000000 08:01 42                         /usr/bin/a program
55d0c0001000-55d0c0004000 r-xp 00001000 08:01 42                         /usr/bin/a program
7f0000000000-7f0000010000 rwxp 00000000 00:00 0
7ffd5a9f2000-7ffd5a9f4000 r-xp 00000000 00:00 0                          [vdso]
what
-5 r-xp
";
        let mappings = parse(text.as_bytes());
        let paths: Vec<&str> = mappings.iter().map(|mapping| mapping.path.as_str()).collect();
        assert_eq!(paths, ["/usr/bin/a program", "", "[vdso]"]);
        let code = find(&mappings, 0x55d0_c000_3fff).expect("in the program");
        assert_eq!((code.offset, code.inode, code.device.as_str()), (0x1000, 42, "08:01"));
        assert_eq!(find(&mappings, 0x55d0_c000_4000), None);
        assert_eq!(find(&mappings, 0), None);
    }

    #[test]
    fn very_many_mappings_are_not_all_looked_at() {
        let line = |n: usize| format!("{:x}-{:x} r-xp 00000000 00:00 0\n", n << 12, (n + 1) << 12);
        let text: String = (1..=MAPPINGS_MAX + 9).map(line).collect();
        assert_eq!(parse(text.as_bytes()).len(), MAPPINGS_MAX);
    }

    #[test]
    fn this_process_has_code() {
        let here = this_process_has_code as fn() as usize as u64;
        let mappings = of(std::process::id());
        assert!(find(&mappings, here).is_some_and(|mapping| mapping.inode != 0));
    }
}
