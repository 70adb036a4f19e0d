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
    /// Begins a row whose surprises are flagged in `column`, see [`Coder::expect`].
    fn flagged_row(&mut self, column: usize) -> Option<()>;
    /// A number that nearly always is `predicted`: costs a bit of the row's flags then, and a number in `literals` otherwise.
    fn expect(&mut self, bit: u8, literals: usize, actual: u64, predicted: u64) -> Option<u64>;

    /// A number of at most 32 bits.
    fn number32(&mut self, column: usize, actual: u32) -> Option<u32> {
        self.number(column, u64::from(actual))?.try_into().ok()
    }

    /// See [`Coder::expect`], of at most 32 bits.
    fn expect32(&mut self, bit: u8, literals: usize, actual: u32, predicted: u32) -> Option<u32> {
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
    flags: usize,
}

impl Encoder {
    pub(crate) fn new(columns: usize) -> Encoder {
        Encoder {
            columns: (0..columns).map(|_| Vec::with_capacity(COLUMN_BYTES)).collect(),
            flags: 0,
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

    #[inline]
    fn flagged_row(&mut self, column: usize) -> Option<()> {
        self.flags = column;
        self.columns[column].push(0);
        Some(())
    }

    #[inline]
    fn expect(&mut self, bit: u8, literals: usize, actual: u64, predicted: u64) -> Option<u64> {
        if actual != predicted {
            *self.columns[self.flags].last_mut()? |= bit;
            varint::put(&mut self.columns[literals], actual);
        }
        Some(actual)
    }
}

/// Reads columns.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    columns: Vec<&'a [u8]>,
    flags: u8,
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
            flags: 0,
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

    fn flagged_row(&mut self, column: usize) -> Option<()> {
        self.flags = self.byte(column, 0)?;
        Some(())
    }

    fn expect(&mut self, bit: u8, literals: usize, _actual: u64, predicted: u64) -> Option<u64> {
        if self.flags & bit == 0 {
            Some(predicted)
        } else {
            varint::take(&mut self.columns[literals])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(coder: &mut impl Coder, row: [u64; 3]) -> Option<[u64; 3]> {
        coder.flagged_row(0)?;
        Some([
            coder.expect(1, 1, row[0], 7)?,
            coder.number(1, row[1])?,
            coder.delta(2, row[2], 100)?,
        ])
    }

    #[test]
    fn rows_and_back_and_every_cut_is_none() {
        let rows = [[7, 0, 100], [8, u64::MAX, 0], [7, 300, u64::MAX]];
        let mut encoder = Encoder::new(3);
        for values in rows {
            assert_eq!(row(&mut encoder, values), Some(values));
        }
        let mut bytes = Vec::new();
        encoder.finish(&mut bytes);
        let mut decoder = Decoder::new(&bytes, 3).expect("columns");
        for values in rows {
            assert_eq!(row(&mut decoder, [0; 3]), Some(values));
        }
        assert!(decoder.is_done());
        for length in 0..bytes.len() {
            assert!(Decoder::new(&bytes[..length], 3).is_none(), "{length}");
        }
    }
}
