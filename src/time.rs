//! Times and lengths of time as the user writes them: `1.5s`, `200ms`, `@1234567890` (absolute ns).

/// Nanoseconds of each unit, longest name first where one ends in the other.
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A time of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// From the timeline's start, ns.
    FromStart(u64),
    /// CLOCK_MONOTONIC, ns.
    Absolute(u64),
}

impl Time {
    /// As CLOCK_MONOTONIC ns, in a timeline that starts at `start_ns`.
    pub fn to_ns(self, start_ns: u64) -> u64 {
        match self {
            Time::FromStart(ns) => start_ns.saturating_add(ns),
            Time::Absolute(ns) => ns,
        }
    }
}

/// Reads a time: for clap.
pub fn parse_time(text: &str) -> Result<Time, String> {
    match text.strip_prefix('@') {
        Some(ns) => ns
            .parse()
            .map(Time::Absolute)
            .map_err(|_| "after @ stand nanoseconds, as in @1234567890".to_owned()),
        None => parse_length(text).map(Time::FromStart),
    }
}

/// Reads a length of time, in ns: for clap.
pub fn parse_length(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a number and a unit (ns, us, ms, s, m, h), as in 1.5s or 200ms".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let (_, unit_ns) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.contains('.') {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let too_long = || "that is more nanoseconds than 64 bits hold".to_owned();
    let whole_ns = whole.checked_mul(unit_ns).ok_or_else(too_long)?;
    whole_ns
        .checked_add(fraction_ns(fraction, unit_ns))
        .ok_or_else(too_long)
}

/// A length of time for people, in seconds or, where it is short, milliseconds.
pub fn shown(ns: u64) -> String {
    if ns < 1_000_000_000 {
        format!("{:.1} ms", ns as f64 / 1e6)
    } else {
        format!("{:.1} s", ns as f64 / 1e9)
    }
}

/// `fraction` are the digits behind the point; those below a nanosecond are cut.
fn fraction_ns(fraction: &str, unit_ns: u64) -> u64 {
    let mut place_ns = unit_ns;
    let mut sum = 0;
    for digit in fraction.bytes() {
        // Of units that are no power of ten (m, h), tenths are still whole nanoseconds for ten digits and more.
        place_ns /= 10;
        sum += u64::from(digit - b'0') * place_ns;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let read = [
            ("1.5s", 1_500_000_000),
            ("200ms", 200_000_000),
            ("7ns", 7),
            ("0.5m", 30_000_000_000),
            ("2h", 7_200_000_000_000),
        ];
        for (text, ns) in read {
            assert_eq!(parse_length(text), Ok(ns), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "1.s",
            ".5s",
            "1.2.3s",
            "-1s",
            "1 s",
            "1S",
            "99999999999999999999s",
            "99999999999h",
        ] {
            assert!(parse_length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_count_from_the_start_or_are_absolute() {
        assert_eq!(parse_time("2s").map(|time| time.to_ns(5)), Ok(2_000_000_005));
        assert_eq!(parse_time("@77").map(|time| time.to_ns(5)), Ok(77));
        assert!(parse_time("@1s").is_err());
    }
}
