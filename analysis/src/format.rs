//! Times and shares as people read them, and plain tables.

/// A length of time with three digits: `1.23 s`, `45.6 ms`, `789 µs`, `12 ns`.
pub(crate) fn duration(ns: u64) -> String {
    let scaled = |unit_ns: f64, unit: &str| format!("{} {unit}", three_digits(ns as f64 / unit_ns));
    match ns {
        0 => "0".to_owned(),
        1..1_000 => format!("{ns} ns"),
        1_000..999_500 => scaled(1e3, "µs"),
        999_500..999_500_000 => scaled(1e6, "ms"),
        _ => scaled(1e9, "s"),
    }
}

fn three_digits(value: f64) -> String {
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}")
}

/// A share as a percentage: `61 %`, `0.4 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// `part / whole`; 0 of nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A number with three digits: `123`, `45.6 k`, `1.23 G`.
pub(crate) fn short(number: u64) -> String {
    const SIGNS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    // The smallest number that is written so: what would round up to a thousand of one is one of the next.
    let sign = SIGNS.into_iter().find(|(one, _)| number >= one - one / 2000);
    let Some((one, sign)) = sign else {
        return number.to_string();
    };
    format!("{} {sign}", three_digits(number as f64 / one as f64))
}

/// A table of columns: the first `left` ones flush left, the others flush right.
pub(crate) fn table(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell_width = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column < left {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Text from outside for a terminal: control characters are shown, not sent.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let cases = [
            (0, "0"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_996, "10.0 µs"),
            (99_960, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (45_600_000, "45.6 ms"),
            (1_234_000_000, "1.23 s"),
            (3_600_000_000_000, "3600 s"),
        ];
        for (ns, wanted) in cases {
            assert_eq!(duration(ns), wanted);
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00 k"),
            (45_678, "45.7 k"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (1_234_000_000, "1.23 G"),
            (u64::MAX, "18446744 T"),
        ];
        for (number, wanted) in cases {
            assert_eq!(short(number), wanted);
        }
    }

    #[test]
    fn shares_are_percentages() {
        assert_eq!(
            (
                percent(0.614).as_str(),
                percent(0.004).as_str(),
                percent(share(1, 0)).as_str()
            ),
            ("61 %", "0.4 %", "0 %")
        );
    }

    #[test]
    fn tables_align_by_character() {
        let rows = [
            vec!["a".to_owned(), "1 µs".to_owned()],
            vec!["bcd".to_owned(), "10 ns".to_owned()],
        ];
        assert_eq!(table(&rows, 1), "a     1 µs\nbcd  10 ns\n");
    }
}
