//! What a runtime compiled, where it says so: /tmp/perf-PID.map, as perf has it (`jcmd PID Compiler.perfmap` writes one).

use super::table::Table;
use crate::proc;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// Longest file that is read, bytes.
const BYTES_MAX: u64 = 64 << 20;

/// The file of a process, as it was when it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct PerfMap {
    functions: Table,
    /// Its length then.
    bytes: u64,
}

impl PerfMap {
    /// Reads it again where it has changed.
    pub fn refresh(&mut self, pid: u32) {
        if let Some((file, bytes)) = open(pid)
            && bytes != self.bytes
        {
            let functions = parse(BufReader::new(file.take(BYTES_MAX)));
            *self = PerfMap { functions, bytes };
        }
    }

    /// The function that an address lies in.
    pub fn function(&self, address: u64) -> Option<String> {
        self.functions.find(address).map(|(_, name)| name)
    }

    /// Until the file changes.
    pub fn forget_functions(&mut self) {
        self.functions = Table::default();
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        self.functions.weight()
    }
}

/// Anybody may put a file into /tmp: one that is not of the process's user tells nothing.
fn open(pid: u32) -> Option<(File, u64)> {
    let status = proc::Status::of(pid)?;
    let path = format!("/proc/{pid}/root/tmp/perf-{}.map", status.ns_pid);
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let about = file.metadata().ok()?;
    (about.is_file() && about.uid() == status.uid).then_some((file, about.len()))
}

/// Lines `START BYTES NAME`, the numbers in hexadecimal digits; the name may hold blanks.
pub fn parse(mut lines: impl BufRead) -> Table {
    let mut table = Table::default();
    let mut line = Vec::new();
    while let Ok(1..) = {
        line.clear();
        lines.read_until(b'\n', &mut line)
    } {
        let text = String::from_utf8_lossy(&line);
        let mut fields = text.trim_end_matches('\n').splitn(3, ' ');
        let mut number = || {
            let digits = fields.next()?;
            u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok()
        };
        let (start, bytes) = (number(), number());
        if let (Some(start), Some(bytes), Some(name)) = (start, bytes, fields.next()) {
            table.push(start, bytes.max(1), name.as_bytes());
        }
    }
    table.seal();
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_blanks_and_nonsense_is_passed_over() {
        let table = parse(&b"7f10 20 java.lang.String com.shop.Cart.add(long)\nzz 1 a\n\n7f40 0 stub\n\xff\xff"[..]);
        let name = |address| table.find(address).map(|(_, name)| name);
        assert_eq!(name(0x7f2f), Some("java.lang.String com.shop.Cart.add(long)".into()));
        assert_eq!((name(0x7f30), name(0x7f40)), (None, Some("stub".into())));
    }
}
