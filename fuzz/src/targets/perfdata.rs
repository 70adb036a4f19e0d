//! The counters that a JVM maps into a file, which its user may write anything into.

use plumb_trace::perfdata as parser;

/// Names to look for.
const NAMES: [&str; 3] = ["sun.ci.totalCompiles", "java.threads.live", ""];

/// Looks for numbers; where one stands, it lies in the file. Looks for texts.
pub fn run(bytes: &[u8]) {
    for name in NAMES {
        assert!(parser::text(bytes, name).is_none_or(|text| text.len() < bytes.len()));
    }
    for (name, place) in parser::places(bytes, &NAMES).unwrap_or_default() {
        assert!(
            NAMES.contains(&name) && parser::value(bytes, place).is_some(),
            "{name} at {place}"
        );
    }
}

/// Files with none, one and several numbers.
pub fn seeds() -> Vec<Vec<u8>> {
    [&[][..], &NAMES[..1], &NAMES].map(file).to_vec()
}

fn file(names: &[&str]) -> Vec<u8> {
    let mut file = vec![0xca, 0xfe, 0xc0, 0xc0, 1, 2, 0, 1];
    file.resize(24, 0);
    let numbers = |file: &mut Vec<u8>, numbers: &[usize]| {
        numbers
            .iter()
            .for_each(|number| file.extend((*number as u32).to_le_bytes()));
    };
    numbers(&mut file, &[32, names.len()]);
    for name in names {
        let data = (20 + name.len() + 1).next_multiple_of(8);
        numbers(&mut file, &[data + 8, 20, 0, usize::from(b'J'), data]);
        let end = file.len() - 20 + data;
        file.extend(name.as_bytes());
        file.resize(end, 0);
        file.extend(42i64.to_le_bytes());
    }
    file
}
