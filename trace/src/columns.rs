//! Columns: how rows of numbers become bytes that compress well, and come back.
//!
//! A row codec is one function that is generic over [`Coder`]: written once, it encodes with an [`Encoder`] and decodes with a [`Decoder`], so that the two
//! directions cannot drift apart. Every method takes the actual value (ignored when decoding) and gives the actual value back.
//!
//! ```text
//! length of column 0 (varint) | … | length of column N-1 | bytes of column 0 | … | bytes of column N-1
//! ```

use crate::varint;

/// One direction of a row codec. Every method is `None` where the bytes end early or hold what cannot be.
pub(crate) trait Coder {
    /// A byte.
    fn byte(&mut self, column: usize, actual: u8) -> Option<u8>;
    /// An unsigned number, small ones short.
    fn number(&mut self, column: usize, actual: u64) -> Option<u64>;
    /// A number near `predicted` (the difference wraps).
    fn delta(&mut self, column: usize, actual: u64, predicted: u64) -> Option<u64>;
    /// Begins a row with sixteen bits in two columns, low ones in the first: `bits` as they are, and what [`Coder::is_surprise`] adds. Gives all that is set from the start.
    fn begin_row(&mut self, columns: [usize; 2], bits: u16) -> Option<u16>;
    /// Ends the row.
    fn end_row(&mut self, columns: [usize; 2]);
    /// A bit of the row: whether something is not as predicted.
    fn is_surprise(&mut self, bit: u16, actual: bool) -> bool;

    /// A number that nearly always is `predicted`: costs a bit of the row then, and a number in `literals` otherwise.
    #[inline(always)]
    fn expect(&mut self, bit: u16, literals: usize, actual: u64, predicted: u64) -> Option<u64> {
        if self.is_surprise(bit, actual != predicted) {
            self.number(literals, actual)
        } else {
            Some(predicted)
        }
    }

    /// A number that often is `predicted`, and near it otherwise.
    #[inline(always)]
    fn expect_near(&mut self, bit: u16, column: usize, actual: u64, predicted: u64) -> Option<u64> {
        if self.is_surprise(bit, actual != predicted) {
            self.delta(column, actual, predicted)
        } else {
            Some(predicted)
        }
    }

    /// A number of at most 32 bits.
    fn number32(&mut self, column: usize, actual: u32) -> Option<u32> {
        self.number(column, u64::from(actual))?.try_into().ok()
    }

    /// See [`Coder::expect`], of at most 32 bits.
    #[inline(always)]
    fn expect32(&mut self, bit: u16, literals: usize, actual: u32, predicted: u32) -> Option<u32> {
        self.expect(bit, literals, u64::from(actual), u64::from(predicted))?
            .try_into()
            .ok()
    }
}

/// Room that a column has from the start, bytes: most rows take a byte of it.
const COLUMN_BYTES: usize = 1 << 12;

/// Writes columns. Methods of [`Coder`] always succeed.
#[derive(Debug)]
pub(crate) struct Encoder {
    columns: Vec<Vec<u8>>,
    bits: u16,
}

impl Encoder {
    pub(crate) fn new(columns: usize) -> Encoder {
        Encoder {
            columns: (0..columns).map(|_| Vec::with_capacity(COLUMN_BYTES)).collect(),
            bits: 0,
        }
    }

    /// Appends lengths and columns to `out`.
    pub(crate) fn finish(&self, out: &mut Vec<u8>) {
        for column in &self.columns {
            varint::put(out, column.len() as u64);
        }
        for column in &self.columns {
            out.extend_from_slice(column);
        }
    }
}

impl Coder for Encoder {
    #[inline]
    fn byte(&mut self, column: usize, actual: u8) -> Option<u8> {
        self.columns[column].push(actual);
        Some(actual)
    }

    #[inline]
    fn number(&mut self, column: usize, actual: u64) -> Option<u64> {
        varint::put(&mut self.columns[column], actual);
        Some(actual)
    }

    #[inline]
    fn delta(&mut self, column: usize, actual: u64, predicted: u64) -> Option<u64> {
        varint::put_signed(&mut self.columns[column], actual.wrapping_sub(predicted) as i64);
        Some(actual)
    }

    #[inline(always)]
    fn begin_row(&mut self, _columns: [usize; 2], bits: u16) -> Option<u16> {
        self.bits = bits;
        Some(bits)
    }

    #[inline(always)]
    fn end_row(&mut self, columns: [usize; 2]) {
        for (column, bits) in columns.into_iter().zip(self.bits.to_le_bytes()) {
            self.columns[column].push(bits);
        }
    }

    #[inline(always)]
    fn is_surprise(&mut self, bit: u16, actual: bool) -> bool {
        self.bits |= if actual { bit } else { 0 };
        actual
    }
}

/// Reads columns.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    columns: Vec<&'a [u8]>,
    bits: u16,
}

impl<'a> Decoder<'a> {
    /// Splits `bytes` into exactly `columns` columns.
    pub(crate) fn new(mut bytes: &'a [u8], columns: usize) -> Option<Decoder<'a>> {
        let mut lengths = Vec::with_capacity(columns);
        for _ in 0..columns {
            lengths.push(usize::try_from(varint::take(&mut bytes)?).ok()?);
        }
        let mut split = Vec::with_capacity(columns);
        for length in lengths {
            let (column, rest) = bytes.split_at_checked(length)?;
            split.push(column);
            bytes = rest;
        }
        bytes.is_empty().then_some(Decoder {
            columns: split,
            bits: 0,
        })
    }

    /// Whether every column was read to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.columns.iter().all(|column| column.is_empty())
    }
}

impl Coder for Decoder<'_> {
    fn byte(&mut self, column: usize, _actual: u8) -> Option<u8> {
        let (&byte, rest) = self.columns[column].split_first()?;
        self.columns[column] = rest;
        Some(byte)
    }

    fn number(&mut self, column: usize, _actual: u64) -> Option<u64> {
        varint::take(&mut self.columns[column])
    }

    fn delta(&mut self, column: usize, _actual: u64, predicted: u64) -> Option<u64> {
        let difference = varint::take_signed(&mut self.columns[column])?;
        Some(predicted.wrapping_add(difference as u64))
    }

    fn begin_row(&mut self, [low, high]: [usize; 2], _bits: u16) -> Option<u16> {
        self.bits = u16::from_le_bytes([self.byte(low, 0)?, self.byte(high, 0)?]);
        Some(self.bits)
    }

    fn end_row(&mut self, _columns: [usize; 2]) {}

    fn is_surprise(&mut self, bit: u16, _actual: bool) -> bool {
        self.bits & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(coder: &mut impl Coder, row: [u64; 3]) -> Option<[u64; 3]> {
        assert_eq!(coder.begin_row([0, 3], 5)? & 7, 5);
        let row = [
            coder.expect(8, 1, row[0], 7)?,
            coder.number(1, row[1])?,
            coder.expect_near(1 << 15, 2, row[2], 100)?,
        ];
        coder.end_row([0, 3]);
        Some(row)
    }

    #[test]
    fn rows_and_back_and_every_cut_is_none() {
        let rows = [[7, 0, 100], [8, u64::MAX, 0], [7, 300, u64::MAX]];
        let mut encoder = Encoder::new(4);
        for values in rows {
            assert_eq!(row(&mut encoder, values), Some(values));
        }
        let mut bytes = Vec::new();
        encoder.finish(&mut bytes);
        let mut decoder = Decoder::new(&bytes, 4).expect("columns");
        for values in rows {
            assert_eq!(row(&mut decoder, [0; 3]), Some(values));
        }
        assert!(decoder.is_done());
        for length in 0..bytes.len() {
            assert!(Decoder::new(&bytes[..length], 4).is_none(), "{length}");
        }
    }
}
