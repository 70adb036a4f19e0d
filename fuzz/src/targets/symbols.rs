//! Where the names of stacks come from: files of code, what processes have mapped, the kernel's symbols, what a runtime says that it compiled.

use crate::elf::{self, Section};
use plumb_collector::outside::{self, Mapping, Table};

/// A file of code.
pub fn run_elf(bytes: &[u8]) {
    let (Some(code), Some(again)) = (outside::code(bytes), outside::code(bytes)) else {
        return;
    };
    assert_eq!(code.build_id, again.build_id);
    assert!(code.build_id.len() <= 64, "a build id is short");
    // A symbol is 24 bytes of the file and 16 here, a segment 56 and 24; the names are a part of the file, and parts may overlap.
    assert!(code.weight() <= 3 * bytes.len(), "no more than is in the file");
    for address in bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)) {
        assert_eq!(code.address_of(address), again.address_of(address));
        let found = code.function(address);
        assert_eq!(found, again.function(address));
        let Some((start, name)) = found else { continue };
        assert!(start <= address, "{name} begins at {start:#x}, behind {address:#x}");
        for inside in [start, start + (address - start) / 2] {
            let other = code.function(inside);
            assert_eq!(other.as_ref(), Some(&(start, name.clone())), "{inside:#x} lies between");
        }
    }
}

/// /proc/PID/maps: in order; and who alone contains an address is who is found.
pub fn run_maps(bytes: &[u8]) {
    let mappings = outside::maps(bytes);
    assert!(mappings.is_sorted_by_key(|mapping| mapping.start), "in order");
    assert!(
        mappings.len() <= bytes.len() / "0-1 --x 0 0 0".len(),
        "each has a line of its own"
    );
    let contains = |mapping: &Mapping, address| (mapping.start..mapping.end).contains(&address);
    for address in addresses(bytes) {
        let found = outside::find_mapping(&mappings, address);
        assert!(
            found.is_none_or(|found| contains(found, address)),
            "{address:#x} is not in {found:?}"
        );
        let mut containing = mappings.iter().filter(|mapping| contains(mapping, address));
        // What overlaps is no kernel's: one of them will do, or none.
        if let (only, None) = (containing.next(), containing.next()) {
            let is_apart = only.is_none_or(|only| {
                mappings
                    .iter()
                    .all(|other| !contains(only, other.start) || other == only)
            });
            assert!(
                !is_apart || found == only,
                "{address:#x} is in {only:?}, not in {found:?}"
            );
        }
    }
}

/// /proc/kallsyms.
pub fn run_kallsyms(bytes: &[u8]) {
    let table = outside::kallsyms(bytes);
    // "1 t n" is 16 bytes and the name with its end.
    assert!(table.weight() <= 4 * bytes.len(), "no more than is in the text");
    let symbol = |line: &str| {
        let mut fields = line.split([' ', '\t', '\r', '\x0c']).filter(|field| !field.is_empty());
        let (start, kind, name) = (fields.next()?, fields.next()?, fields.next()?);
        let start = u64::from_str_radix(start, 16).ok().filter(|start| *start != 0)?;
        // Up to the next one.
        ["t", "T", "w", "W"]
            .contains(&kind)
            .then(|| Symbol::new(start, u64::MAX, name))
    };
    check(&table, bytes, symbol);
}

/// A map of what was compiled.
pub fn run_perf_map(bytes: &[u8]) {
    let table = outside::perf_map(bytes);
    // "0 0 " is 16 bytes and the name's end; a byte of a name that is not UTF-8 becomes three.
    assert!(table.weight() <= 5 * bytes.len(), "no more than is in the text");
    let symbol = |line: &str| {
        let mut fields = line.splitn(3, ' ');
        let mut number = || u64::from_str_radix(fields.next()?.trim_start_matches("0x"), 16).ok();
        let (start, length) = (number()?, number()?);
        Some(Symbol::new(start, length.clamp(1, u64::from(u32::MAX)), fields.next()?))
    };
    check(&table, bytes, symbol);
}

/// What a line says.
struct Symbol {
    start: u64,
    length: u64,
    name: String,
}

impl Symbol {
    /// A name ends at a NUL.
    fn new(start: u64, length: u64, name: &str) -> Symbol {
        let name = name.split('\0').next().unwrap_or_default().to_owned();
        Symbol { start, length, name }
    }
}

/// Numbers that stand in a text, and their neighbours.
fn addresses(text: &[u8]) -> impl Iterator<Item = u64> {
    let digits = text.split(|byte| !byte.is_ascii_hexdigit());
    let numbers = digits.filter_map(|digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    numbers.flat_map(|number| [number.saturating_sub(1), number, number.saturating_add(1)])
}

/// What a table has of lines: what is found, some line says, and where a line's symbol begins one is found.
fn check(table: &Table, text: &[u8], symbol: impl Fn(&str) -> Option<Symbol>) {
    let lines = text.split(|&byte| byte == b'\n').map(String::from_utf8_lossy);
    let symbols: Vec<Symbol> = lines.filter_map(|line| symbol(&line)).collect();
    for address in addresses(text) {
        let Some((start, name)) = table.find(address) else {
            continue;
        };
        let is_said = |symbol: &Symbol| {
            // A name that is very long is cut, perhaps within a letter.
            let begins_so = symbol
                .name
                .starts_with(name.trim_end_matches(char::REPLACEMENT_CHARACTER));
            symbol.start == start && start <= address && address - start < symbol.length && begins_so
        };
        assert!(
            symbols.iter().any(is_said),
            "{address:#x} is in {name} from {start:#x} on, which nobody said"
        );
        let is_nearer = |symbol: &&Symbol| symbol.start > start && symbol.start <= address;
        assert!(
            !symbols.iter().any(|symbol| is_nearer(&symbol)),
            "{address:#x} is in another one than {name}"
        );
    }
    for begun in symbols.iter().map(|symbol| symbol.start) {
        let mut here = symbols.iter().filter(|symbol| symbol.start == begun);
        let found = table.find(begun).map(|(start, _)| start);
        assert!(
            found == Some(begun) || here.any(|symbol| symbol.name.is_empty()),
            "nobody is found at {begun:#x}"
        );
    }
}

/// A file with two functions and a build id; and one that was stripped, with the symbols that it is linked by.
pub fn seeds_of_elf() -> Vec<Vec<u8>> {
    const DYNAMIC: u32 = 11;
    let note = [
        &[4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0][..],
        b"GNU\0",
        &[0xab, 0xcd, 0xef, 1],
    ]
    .concat();
    let names = b"\0main\0run\0";
    let symbol = |name: u32, start: u64, bytes: u64| {
        // A global function of the first section.
        let numbers = [&name.to_le_bytes()[..], &[0x12, 0, 1, 0]].concat();
        [numbers, start.to_le_bytes().to_vec(), bytes.to_le_bytes().to_vec()].concat()
    };
    let symbols = [symbol(0, 0, 0), symbol(1, 0x1000, 0x40), symbol(6, 0x1040, 0)].concat();
    let table = |kind| {
        let section = |name, kind, bytes: &[u8]| Section {
            name,
            kind,
            bytes: bytes.to_vec(),
            ..Section::default()
        };
        let symbols = Section {
            link: 2,
            entry: 24,
            ..section(".symtab", kind, &symbols)
        };
        elf::file(&note, &[symbols, section(".strtab", elf::STRINGS, names)])
    };
    vec![table(elf::SYMBOLS), table(DYNAMIC)]
}

/// Mappings as a process has them.
pub fn seeds_of_maps() -> Vec<Vec<u8>> {
    let text = b"55d0c0000000-55d0c0001000 r--p 00000000 08:01 42     /usr/bin/a program
55d0c0001000-55d0c0004000 r-xp 00001000 08:01 42     /usr/bin/a program
7f0000000000-7f0000010000 rwxp 00000000 00:00 0
7ffd5a9f2000-7ffd5a9f4000 r-xp 00000000 00:00 0      [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]
";
    vec![text.to_vec()]
}

/// Functions of the kernel and of a module, and what is none.
pub fn seeds_of_kallsyms() -> Vec<Vec<u8>> {
    let shown = b"ffffffff81000000 T _stext
ffffffff81000000 T startup
ffffffff81000100 t schedule
ffffffff81000180 D jiffies
ffffffffc0001000 w ext4_sync_file\t[ext4]
";
    let hidden = b"0000000000000000 T _stext\n0000000000000000 t schedule\n";
    vec![shown.to_vec(), hidden.to_vec()]
}

/// Two methods, one of them compiled twice, and a stub without a length.
pub fn seeds_of_perf_map() -> Vec<Vec<u8>> {
    let text = b"7f10 20 java.lang.String com.shop.Cart.add(long)
7f10 10 java.lang.String com.shop.Cart.add(long)
0x7f40 0 stub
";
    vec![text.to_vec()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the targets say of nothing is worth nothing: good inputs are read to their end.
    #[test]
    fn seeds_have_symbols() {
        for file in seeds_of_elf() {
            let code = outside::code(&file).expect("a file of code");
            assert_eq!(
                (code.function(0x103f), code.build_id.as_str()),
                (Some((0x1000, "main".into())), "abcdef01")
            );
            assert_eq!(code.address_of(0x810), Some(0x1010));
        }
        let [text] = &seeds_of_maps()[..] else { panic!("one") };
        assert_eq!(outside::maps(&text[..]).len(), 4);
        let tables = [
            (
                outside::kallsyms(&seeds_of_kallsyms()[0][..]),
                0xffff_ffff_8100_0123,
                "schedule",
            ),
            (
                outside::perf_map(&seeds_of_perf_map()[0][..]),
                0x7f2f,
                "java.lang.String com.shop.Cart.add(long)",
            ),
        ];
        for (table, address, name) in tables {
            assert_eq!(table.find(address).map(|(_, found)| found), Some(name.to_owned()));
        }
    }
}
