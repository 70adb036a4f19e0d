//! The bytes of compiled rules: written by `plumb`, read inside the JVM. Little endian, no padding.
//!
//! ```text
//! ┌──────────┬─────────┬──────────┬───────┬───────┬──────────┬────────┬───────────────┬──────────────┬────────────┬─────────┬──────────┐
//! │ "plumbML"│ version │ features │ units │ rules │ excludes │ stacks │ unit × units  │ rule × rules │ pattern ×… │ stack ×…│ checksum │
//! │ + 0      │ u16     │ u16      │ u16   │ u32   │ u32      │ u32    │ string        │              │            │         │ u64      │
//! └──────────┴─────────┴──────────┴───────┴───────┴──────────┴────────┴───────────────┴──────────────┴────────────┴─────────┴──────────┘
//! rule     unit u16 (index, 0xffff none) · flags u16 · min_ns u64 · code_bytes_min u32 · pattern
//! pattern  relation u8 (0 is, 1 extends, 2 annotated) · class string · method string · descriptor string (empty: any)
//! stack    longer_ns u64 · threads string
//! string   length u16 · UTF-8
//! features bit 0 threads, 1 monitors, 2 waits, 3 gc, 4 parks, 5 sleeps, 6 virtual_threads, 7 exceptions, 8 allocations; the others are 0
//! flags    bit 0 idle, 1 handover, 8 to 15 the number of the argument that is the unit's key (0 none); the others are 0
//! ```
//! The checksum is FNV-1a (64 bits) of all bytes before it: it finds accidents. Against malice every field is checked, and
//! memory is bounded by a small multiple of the input, itself at most [`BYTES_MAX`].

use super::{FEATURES, JvmFeatures, MatcherError, Relation, glob};

const MAGIC: &[u8; 8] = b"plumbML\0";
const VERSION: u16 = 3;
const IDLE: u16 = 1;
const HANDOVER: u16 = 2;
const KEY_SHIFT: u32 = 8;
const NO_UNIT: u16 = u16::MAX;
const CHECKSUM_BYTES: usize = 8;

/// The longest compiled rules that are written or read, in bytes.
pub(crate) const BYTES_MAX: usize = 4 << 20;

/// Compiled rules, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub features: JvmFeatures,
    pub units: Vec<Box<str>>,
    pub rules: Vec<RuleImage>,
    pub excludes: Vec<Pattern>,
    pub stacks: Vec<StackImage>,
}

/// Threads of whose long waits the stack is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StackImage {
    /// Glob over their names.
    pub threads: Box<str>,
    /// Waits that are longer.
    pub longer_ns: u64,
}

/// One method rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleImage {
    /// Index into the image's units.
    pub unit: Option<u16>,
    /// Which argument is the unit's key, from 1.
    pub key: Option<u8>,
    /// The unit goes on in tasks that are handed over.
    pub handover: bool,
    /// A thread in such a method has nothing to do.
    pub idle: bool,
    /// Shorter calls leave no record.
    pub min_ns: u64,
    pub code_bytes_min: u32,
    pub pattern: Pattern,
}

/// What a method must look like; names are the JVM's (`/` between levels).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub relation: Relation,
    pub class: Box<str>,
    pub method: Box<str>,
    pub descriptor: Option<Box<str>>,
}

/// Writes compiled rules. The caller keeps strings under 64 KiB, units under 65535 and the whole under [`BYTES_MAX`].
#[cfg(feature = "compile")]
pub(crate) fn encode(image: &Image) -> Vec<u8> {
    let Image {
        features,
        units,
        rules,
        excludes,
        stacks,
    } = image;
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(feature_bits(*features).to_le_bytes());
    out.extend((units.len() as u16).to_le_bytes());
    out.extend((rules.len() as u32).to_le_bytes());
    out.extend((excludes.len() as u32).to_le_bytes());
    out.extend((stacks.len() as u32).to_le_bytes());
    units.iter().for_each(|unit| put_string(&mut out, unit));
    for RuleImage {
        unit,
        key,
        handover,
        idle,
        min_ns,
        code_bytes_min,
        pattern,
    } in rules
    {
        out.extend(unit.unwrap_or(NO_UNIT).to_le_bytes());
        let idle = if *idle { IDLE } else { 0 };
        let handover = if *handover { HANDOVER } else { 0 };
        let key = u16::from(key.unwrap_or(0)) << KEY_SHIFT;
        out.extend((idle | handover | key).to_le_bytes());
        out.extend(min_ns.to_le_bytes());
        out.extend(code_bytes_min.to_le_bytes());
        put_pattern(&mut out, pattern);
    }
    excludes.iter().for_each(|pattern| put_pattern(&mut out, pattern));
    for StackImage { threads, longer_ns } in stacks {
        out.extend(longer_ns.to_le_bytes());
        put_string(&mut out, threads);
    }
    out.extend(checksum(&out).to_le_bytes());
    out
}

#[cfg(feature = "compile")]
fn put_pattern(out: &mut Vec<u8>, pattern: &Pattern) {
    let Pattern {
        relation,
        class,
        method,
        descriptor,
    } = pattern;
    out.push(*relation as u8);
    put_string(out, class);
    put_string(out, method);
    put_string(out, descriptor.as_deref().unwrap_or(""));
}

#[cfg(feature = "compile")]
fn put_string(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() <= usize::from(u16::MAX), "the language bounds its strings");
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
}

#[cfg(feature = "compile")]
fn feature_bits(features: JvmFeatures) -> u16 {
    let flags = features.into_array();
    flags.iter().rev().fold(0, |bits, flag| bits << 1 | u16::from(*flag))
}

/// Reads compiled rules; see [`super::Matcher::parse`].
pub(super) fn decode(bytes: &[u8]) -> Result<Image, MatcherError> {
    let mut input = Input {
        bytes: checked_body(bytes)?,
        offset: MAGIC.len(),
    };
    if input.u16()? != VERSION {
        return Err(MatcherError {
            offset: MAGIC.len(),
            reason: "another version of plumb wrote them",
        });
    }
    let features = input.features()?;
    let (units, rules, excludes, stacks) = (usize::from(input.u16()?), input.u32()?, input.u32()?, input.u32()?);
    let units = (0..units).map(|_| input.unit()).collect::<Result<Vec<_>, _>>()?;
    // A failing element ends the loop, so a lying count costs no memory beyond what the input itself holds.
    let rules = (0..rules)
        .map(|_| input.rule(units.len()))
        .collect::<Result<Vec<_>, _>>()?;
    let excludes = (0..excludes).map(|_| input.pattern()).collect::<Result<Vec<_>, _>>()?;
    let stacks = (0..stacks).map(|_| input.stack()).collect::<Result<Vec<_>, _>>()?;
    match input.bytes.len() == input.offset {
        true => Ok(Image {
            features,
            units,
            rules,
            excludes,
            stacks,
        }),
        false => Err(input.error("bytes are left over")),
    }
}

/// The bytes without the checksum, if magic, length and checksum hold.
fn checked_body(bytes: &[u8]) -> Result<&[u8], MatcherError> {
    if bytes.len() > BYTES_MAX {
        return Err(MatcherError {
            offset: BYTES_MAX,
            reason: "longer than compiled rules can be",
        });
    }
    if !bytes.starts_with(MAGIC) {
        return Err(MatcherError {
            offset: 0,
            reason: "these are not compiled rules",
        });
    }
    let truncated = MatcherError {
        offset: bytes.len(),
        reason: "truncated",
    };
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(truncated.clone())?;
    if body.len() < MAGIC.len() {
        return Err(truncated);
    }
    match checksum(body) == u64::from_le_bytes(*sum) {
        true => Ok(body),
        false => Err(MatcherError {
            offset: body.len(),
            reason: "the checksum does not fit: damaged or truncated",
        }),
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Input<'a> {
    fn error(&self, reason: &'static str) -> MatcherError {
        MatcherError {
            offset: self.offset,
            reason,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], MatcherError> {
        let end = self.offset.checked_add(count).ok_or(self.error("truncated"))?;
        let taken = self.bytes.get(self.offset..end).ok_or(self.error("truncated"))?;
        self.offset = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MatcherError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, MatcherError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, MatcherError> {
        self.array().map(u32::from_le_bytes)
    }

    fn string(&mut self) -> Result<&'a str, MatcherError> {
        let length = usize::from(self.u16()?);
        let start = self.offset;
        let invalid = |_| MatcherError {
            offset: start,
            reason: "a string is not UTF-8",
        };
        std::str::from_utf8(self.take(length)?).map_err(invalid)
    }

    fn features(&mut self) -> Result<JvmFeatures, MatcherError> {
        let bits = self.u16()?;
        if bits >> FEATURES != 0 {
            return Err(self.error("an unknown feature"));
        }
        Ok(JvmFeatures::from_array(std::array::from_fn(|bit| {
            bits & (1 << bit) != 0
        })))
    }

    fn unit(&mut self) -> Result<Box<str>, MatcherError> {
        match self.string()? {
            "" => Err(self.error("a unit without a name")),
            name => Ok(name.into()),
        }
    }

    fn rule(&mut self, units: usize) -> Result<RuleImage, MatcherError> {
        let unit = Some(self.u16()?).filter(|unit| *unit != NO_UNIT);
        if unit.is_some_and(|unit| usize::from(unit) >= units) {
            return Err(self.error("a rule names a unit that is not there"));
        }
        let flags = self.u16()?;
        let key = Some((flags >> KEY_SHIFT) as u8).filter(|key| *key != 0);
        let handover = flags & HANDOVER != 0;
        if flags & 0xff & !(IDLE | HANDOVER) != 0 {
            return Err(self.error("an unknown flag of a rule"));
        }
        if unit.is_none() && (handover || key.is_some()) {
            return Err(self.error("a rule has a key or hands over, and no unit"));
        }
        Ok(RuleImage {
            unit,
            key,
            handover,
            idle: flags & IDLE != 0,
            min_ns: self.array().map(u64::from_le_bytes)?,
            code_bytes_min: self.u32()?,
            pattern: self.pattern()?,
        })
    }

    fn stack(&mut self) -> Result<StackImage, MatcherError> {
        Ok(StackImage {
            longer_ns: self.array().map(u64::from_le_bytes)?,
            threads: self.string()?.into(),
        })
    }

    fn pattern(&mut self) -> Result<Pattern, MatcherError> {
        let relation = match self.take(1)? {
            [0] => Relation::Is,
            [1] => Relation::Extends,
            [2] => Relation::Annotated,
            _ => return Err(self.error("a pattern of an unknown relation")),
        };
        let class = self.string()?;
        if !glob::is_class_pattern(class) {
            return Err(self.error("a malformed class pattern"));
        }
        let method = self.string()?;
        if !glob::is_name_glob(method) {
            return Err(self.error("a malformed method pattern"));
        }
        let descriptor = Some(self.string()?)
            .filter(|descriptor| !descriptor.is_empty())
            .map(Into::into);
        Ok(Pattern {
            relation,
            class: class.into(),
            method: method.into(),
            descriptor,
        })
    }
}

#[cfg(all(test, feature = "compile"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Image {
        let pattern = |class: &str, method: &str, descriptor: Option<&str>| Pattern {
            relation: Relation::Extends,
            class: class.into(),
            method: method.into(),
            descriptor: descriptor.map(Into::into),
        };
        Image {
            features: JvmFeatures {
                threads: true,
                monitors: false,
                waits: true,
                gc: true,
                parks: true,
                sleeps: false,
                virtual_threads: true,
                exceptions: false,
                allocations: true,
            },
            units: vec!["request".into(), "job".into()],
            rules: vec![
                RuleImage {
                    unit: Some(1),
                    key: Some(255),
                    handover: true,
                    idle: false,
                    min_ns: 50_000,
                    code_bytes_min: 0,
                    pattern: pattern("com/**/Foo*", "*", None),
                },
                RuleImage {
                    unit: None,
                    key: None,
                    handover: false,
                    idle: true,
                    min_ns: 0,
                    code_bytes_min: 40,
                    pattern: pattern("Main", "run", Some("(J)V")),
                },
            ],
            excludes: vec![pattern("**/*", "get*", None)],
            stacks: vec![StackImage {
                threads: "http-?-*".into(),
                longer_ns: 100_000_000,
            }],
        }
    }

    /// Makes the checksum fit, so that a test reaches the checks behind it.
    fn reseal(mut bytes: Vec<u8>) -> Vec<u8> {
        let body = bytes.len().saturating_sub(CHECKSUM_BYTES);
        let sum = checksum(&bytes[..body]).to_le_bytes();
        bytes.truncate(body);
        bytes.extend(sum);
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(decode(&encode(&sample())), Ok(sample()));
        assert_eq!(decode(&encode(&Image::default())), Ok(Image::default()));
    }

    #[test]
    fn every_truncation_and_every_flip_is_found() {
        let bytes = encode(&sample());
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "{bit}");
        }
    }

    #[test]
    fn counts_that_lie_are_errors() {
        let mut bytes = encode(&sample());
        bytes[14..18].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = decode(&reseal(bytes)).unwrap_err();
        assert!(error.offset > 14, "{error}");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(edits in prop::collection::vec((0usize..200, any::<u8>()), 1..6), cut in 0usize..60) {
            let mut bytes = encode(&sample());
            for (at, value) in edits {
                let length = bytes.len();
                bytes[at % length] = value;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Ok(image) = decode(&reseal(bytes)) {
                let matcher = super::super::Matcher { image };
                matcher.method("com/shop/Foo", "run", "()V", 1);
                matcher.class_may_match("com/shop/Foo");
                matcher.stack_after_ns("http-1-é");
            }
        }
    }
}
