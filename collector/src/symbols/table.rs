//! Symbols in order of their addresses, each with a name: of the kernel, of a file, of what a runtime compiled.

/// Longest name that is given, bytes.
const NAME_MAX: usize = 4 << 10;

/// A symbol. Eight bytes for an address, and no string of its own: there are hundreds of thousands of them.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: u64,
    /// Bytes; 0: up to the next one.
    bytes: u32,
    /// Where its name begins.
    name: u32,
}

/// The symbols of one module.
#[derive(Clone, Debug, Default)]
pub struct Table {
    symbols: Vec<Symbol>,
    /// Each ends with a NUL.
    names: Vec<u8>,
}

impl Table {
    /// A table of symbols whose names lie in `names`.
    pub fn with_names(names: Vec<u8>) -> Table {
        Table {
            symbols: Vec::new(),
            names,
        }
    }

    /// Adds a symbol whose name lies at `name` in what [`Table::with_names`] was given.
    pub fn push_at(&mut self, start: u64, bytes: u64, name: u32) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.symbols.push(Symbol { start, bytes, name });
    }

    /// Adds a symbol, unless the names together are too long to be counted.
    pub fn push(&mut self, start: u64, bytes: u64, name: &[u8]) {
        if let Ok(at) = u32::try_from(self.names.len()) {
            self.names.extend_from_slice(name);
            self.names.push(0);
            self.push_at(start, bytes, at);
        }
    }

    /// All are there: puts them into order. Of several at one address the longest counts, of equally long ones the first.
    pub fn seal(&mut self) {
        self.symbols
            .sort_by_key(|symbol| (symbol.start, std::cmp::Reverse(symbol.bytes)));
        self.symbols.dedup_by_key(|symbol| symbol.start);
        self.symbols.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        self.names.len() + self.symbols.len() * size_of::<Symbol>()
    }

    /// The symbol that an address lies in: where it begins, and its name.
    pub fn find(&self, address: u64) -> Option<(u64, String)> {
        let after = self.symbols.partition_point(|symbol| symbol.start <= address);
        let symbol = self.symbols.get(after.checked_sub(1)?)?;
        if symbol.bytes != 0 && address - symbol.start >= u64::from(symbol.bytes) {
            return None;
        }
        let name = self.names.get(symbol.name as usize..)?;
        let name = &name[..name.len().min(NAME_MAX)];
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        (!name.is_empty()).then_some((symbol.start, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_one_symbol_or_in_none() {
        let mut table = Table::default();
        table.push(0x200, 0x10, b"later");
        table.push(0x100, 0x20, b"first");
        table.push(0x100, 0x40, b"longer");
        table.push(0x300, 0, b"open");
        table.seal();
        let check = |address: u64, expect: Option<(u64, &str)>| {
            let found = table.find(address);
            assert_eq!(
                found.as_ref().map(|(start, name)| (*start, name.as_str())),
                expect,
                "{address:#x}"
            );
        };
        check(0xff, None);
        check(0x100, Some((0x100, "longer")));
        check(0x13f, Some((0x100, "longer")));
        check(0x140, None);
        check(0x20f, Some((0x200, "later")));
        check(0x210, None);
        check(u64::MAX, Some((0x300, "open")));
    }

    #[test]
    fn a_name_that_is_not_there_is_none() {
        let mut table = Table::with_names(b"\0abc".to_vec());
        table.push_at(1, 1, 1);
        table.push_at(2, 1, 99);
        table.push_at(3, 1, 0);
        table.seal();
        assert_eq!(table.find(1), Some((1, "abc".into())));
        assert_eq!((table.find(2), table.find(3)), (None, None));
    }
}
