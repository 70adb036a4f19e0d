//! The kernel's symbols: /proc/kallsyms, which shows addresses to who has CAP_SYSLOG only, or to nobody: it is read before the recorder gives up its rights.

use super::table::Table;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

const KALLSYMS: &str = "/proc/kallsyms";
/// Longest such file that is read, bytes: a kernel with all modules has some 20 MB.
const BYTES_MAX: u64 = 256 << 20;

/// The kernel's functions; empty where their addresses are hidden.
pub(super) fn functions() -> Table {
    match File::open(KALLSYMS) {
        Ok(file) => parse(BufReader::new(file.take(BYTES_MAX))),
        Err(_) => Table::default(),
    }
}

/// Lines `ADDRESS TYPE NAME [MODULE]`. What is not like that is passed over.
pub fn parse(mut lines: impl BufRead) -> Table {
    let mut table = Table::default();
    let mut line = Vec::new();
    while let Ok(1..) = {
        line.clear();
        lines.read_until(b'\n', &mut line)
    } {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let (Some(address), Some(kind), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let address = std::str::from_utf8(address)
            .ok()
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        // Code only. Hidden addresses are 0.
        if let (Some(address @ 1..), [b't' | b'T' | b'w' | b'W']) = (address, kind) {
            table.push(address, 0, name);
        }
    }
    table.seal();
    table
}

/// What lies between a program of ours and what it looks at: neither belongs to what the kernel did.
pub(super) fn is_of_tracing(function: &str) -> bool {
    let beginnings = ["bpf_", "__bpf_", "__traceiter_", "__probestub_"];
    beginnings.iter().any(|beginning| function.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_and_data_is_not() {
        let text = "\
ffffffff81000000 T _stext
ffffffff81000100 t schedule
ffffffff81000180 D jiffies
nonsense
ffffffffc0001000 t ext4_sync_file\t[ext4]
ffffffffc0002000 q what
";
        let table = parse(text.as_bytes());
        let name = |address| table.find(address).map(|(_, name)| name);
        assert_eq!(name(0xffff_ffff_8100_0190), Some("schedule".into()));
        assert_eq!(name(0xffff_ffff_c000_1fff), Some("ext4_sync_file".into()));
        assert_eq!(name(0x1000), None);
    }

    #[test]
    fn hidden_addresses_are_no_symbols() {
        assert!(parse(&b"0000000000000000 T _stext\n0000000000000000 t schedule\n"[..]).is_empty());
        assert!(parse(&b"\xff\xfe\n\n T\n"[..]).is_empty());
    }
}
