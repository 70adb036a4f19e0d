//! Rows as columns: how each kind of row stands in a block. States have their own module, `states`, and rows of levels of detail theirs, `coarse_rows`.

use super::model::{Occupancy, Sleep, Slice, StackId, StringId, TrackId, Unit, UnitPart};
use crate::columns::{Coder, Decoder, Encoder};

/// A row of a sequence.
pub(super) trait Row: Copy {
    /// Number of columns.
    const COLUMNS: usize;
    /// Any row: what a decoder gives in place of the actual one.
    const BLANK: Self;
    /// What both directions know before the next row of a block.
    type Model;

    /// The model at a block's begin.
    fn model(level: u8) -> Self::Model;
    /// Codes one row.
    fn code(coder: &mut impl Coder, model: &mut Self::Model, actual: &Self) -> Option<Self>;
    /// Begin and end, ns.
    fn span(&self) -> (u64, u64);
    /// Whether what was decoded can be: numbers of tracks are below `track_count`.
    fn is_sound(&self, track_count: u32) -> bool;
}

/// Appends the columns of `rows`.
pub(super) fn encode<R: Row>(rows: &[R], level: u8, out: &mut Vec<u8>) {
    let mut coder = Encoder::new(R::COLUMNS);
    let mut model = R::model(level);
    for row in rows {
        R::code(&mut coder, &mut model, row);
    }
    coder.finish(out);
}

/// Reads `count` rows from exactly these columns.
pub(super) fn decode<R: Row>(bytes: &[u8], level: u8, count: usize, track_count: u32) -> Option<Vec<R>> {
    let mut coder = Decoder::new(bytes, R::COLUMNS)?;
    let mut model = R::model(level);
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let row = R::code(&mut coder, &mut model, &R::BLANK)?;
        row.is_sound(track_count).then_some(())?;
        rows.push(row);
    }
    coder.is_done().then_some(rows)
}

/// `end - start` as a number: lengths are never negative.
pub(super) fn code_length(coder: &mut impl Coder, column: usize, actual: (u64, u64), start_ns: u64) -> Option<u64> {
    start_ns.checked_add(coder.number(column, actual.1.wrapping_sub(actual.0))?)
}

/// A track + 1, or 0 for none.
pub(super) fn code_track(coder: &mut impl Coder, column: usize, actual: Option<TrackId>) -> Option<Option<TrackId>> {
    let number = coder.number(column, actual.map_or(0, |track| u64::from(track.0) + 1))?;
    let track = number.checked_sub(1).map(u32::try_from).transpose().ok()?;
    Some(track.map(TrackId))
}

/// Columns: difference of end to the end before, length, difference of name, depth, flags.
impl Row for Slice {
    const COLUMNS: usize = 5;
    const BLANK: Slice = Slice {
        start_ns: 0,
        end_ns: 0,
        name: StringId(0),
        depth: 0,
        thrown: false,
        open_start: false,
        open_end: false,
    };
    type Model = (u64, u32);

    fn model(_level: u8) -> Self::Model {
        (0, 0)
    }

    fn code(coder: &mut impl Coder, (last_ns, last_name): &mut Self::Model, actual: &Slice) -> Option<Slice> {
        let end_ns = coder.delta(0, actual.end_ns, *last_ns)?;
        let start_ns = end_ns.checked_sub(coder.number(1, actual.end_ns - actual.start_ns)?)?;
        let name = u32::try_from(coder.delta(2, u64::from(actual.name.0), u64::from(*last_name))?).ok()?;
        let depth = u16::try_from(coder.number(3, u64::from(actual.depth))?).ok()?;
        let flags = u8::from(actual.thrown) | u8::from(actual.open_start) << 1 | u8::from(actual.open_end) << 2;
        let flags = coder.byte(4, flags)?;
        (*last_ns, *last_name) = (end_ns, name);
        let [thrown, open_start, open_end] = [1, 2, 4].map(|bit| flags & bit != 0);
        Some(Slice {
            start_ns,
            end_ns,
            name: StringId(name),
            depth,
            thrown,
            open_start,
            open_end,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, _track_count: u32) -> bool {
        self.start_ns <= self.end_ns
    }
}

/// Columns: difference of end to the end before, length, name, track, flags, key, difference of number to the number before.
impl Row for Unit {
    const COLUMNS: usize = 7;
    const BLANK: Unit = Unit {
        name: StringId(0),
        key: StringId(0),
        track: TrackId(0),
        number: 0,
        start_ns: 0,
        end_ns: 0,
        thrown: false,
        complete: false,
    };
    type Model = (u64, u64);

    fn model(_level: u8) -> Self::Model {
        (0, 0)
    }

    fn code(coder: &mut impl Coder, (last_ns, last_number): &mut Self::Model, actual: &Unit) -> Option<Unit> {
        let end_ns = coder.delta(0, actual.end_ns, *last_ns)?;
        let start_ns = end_ns.checked_sub(coder.number(1, actual.end_ns - actual.start_ns)?)?;
        let name = StringId(coder.number32(2, actual.name.0)?);
        let track = TrackId(coder.number32(3, actual.track.0)?);
        let flags = coder.byte(4, u8::from(actual.thrown) | u8::from(actual.complete) << 1)?;
        let key = StringId(coder.number32(5, actual.key.0)?);
        let number = coder.delta(6, actual.number, *last_number)?;
        (*last_ns, *last_number) = (end_ns, number);
        Some(Unit {
            name,
            key,
            track,
            number,
            start_ns,
            end_ns,
            thrown: flags & 1 != 0,
            complete: flags & 2 != 0,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, track_count: u32) -> bool {
        self.start_ns <= self.end_ns && self.track.0 < track_count
    }
}

/// Columns: difference of end to the end before, length, wait before it, difference of number to the number before, name, key, track.
impl Row for UnitPart {
    const COLUMNS: usize = 7;
    const BLANK: UnitPart = UnitPart {
        number: 0,
        name: StringId(0),
        key: StringId(0),
        track: TrackId(0),
        handed_ns: 0,
        start_ns: 0,
        end_ns: 0,
    };
    type Model = (u64, u64);

    fn model(_level: u8) -> Self::Model {
        (0, 0)
    }

    fn code(coder: &mut impl Coder, (last_ns, last_number): &mut Self::Model, actual: &UnitPart) -> Option<UnitPart> {
        let end_ns = coder.delta(0, actual.end_ns, *last_ns)?;
        let start_ns = end_ns.checked_sub(coder.number(1, actual.end_ns - actual.start_ns)?)?;
        let handed_ns = start_ns.checked_sub(coder.number(2, actual.start_ns - actual.handed_ns)?)?;
        let number = coder.delta(3, actual.number, *last_number)?;
        (*last_ns, *last_number) = (end_ns, number);
        Some(UnitPart {
            number,
            name: StringId(coder.number32(4, actual.name.0)?),
            key: StringId(coder.number32(5, actual.key.0)?),
            track: TrackId(coder.number32(6, actual.track.0)?),
            handed_ns,
            start_ns,
            end_ns,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, track_count: u32) -> bool {
        self.start_ns <= self.end_ns && self.track.0 < track_count
    }
}

/// Columns: gap to the end before, length, track + 1 or 0.
impl Row for Occupancy {
    const COLUMNS: usize = 3;
    const BLANK: Occupancy = Occupancy {
        start_ns: 0,
        end_ns: 0,
        track: None,
    };
    type Model = u64;

    fn model(_level: u8) -> Self::Model {
        0
    }

    fn code(coder: &mut impl Coder, last_ns: &mut u64, actual: &Occupancy) -> Option<Occupancy> {
        let start_ns = last_ns.checked_add(coder.number(0, actual.start_ns.wrapping_sub(*last_ns))?)?;
        let end_ns = code_length(coder, 1, actual.span(), start_ns)?;
        let track = code_track(coder, 2, actual.track)?;
        *last_ns = end_ns;
        Some(Occupancy {
            start_ns,
            end_ns,
            track,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, track_count: u32) -> bool {
        self.start_ns < self.end_ns && self.track.is_none_or(|track| track.0 < track_count)
    }
}

/// Columns: gap to the end before, length, difference of each stack to the one before, waker + 1 or 0, difference of the Java stack.
impl Row for Sleep {
    const COLUMNS: usize = 6;
    const BLANK: Sleep = Sleep {
        start_ns: 0,
        end_ns: 0,
        stack: StackId(0),
        waker_stack: StackId(0),
        waker: None,
        java_stack: StackId(0),
    };
    type Model = (u64, [StackId; 3]);

    fn model(_level: u8) -> Self::Model {
        Self::Model::default()
    }

    fn code(coder: &mut impl Coder, (last_ns, last): &mut Self::Model, actual: &Sleep) -> Option<Sleep> {
        let start_ns = last_ns.checked_add(coder.number(0, actual.start_ns.wrapping_sub(*last_ns))?)?;
        let end_ns = code_length(coder, 1, actual.span(), start_ns)?;
        let mut stack = |column, actual: StackId, last: StackId| {
            let number = coder.delta(column, actual.0.into(), last.0.into())?;
            number.try_into().ok().map(StackId)
        };
        *last = [
            stack(2, actual.stack, last[0])?,
            stack(3, actual.waker_stack, last[1])?,
            stack(5, actual.java_stack, last[2])?,
        ];
        *last_ns = end_ns;
        Some(Sleep {
            start_ns,
            end_ns,
            stack: last[0],
            waker_stack: last[1],
            waker: code_track(coder, 4, actual.waker)?,
            java_stack: last[2],
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, track_count: u32) -> bool {
        self.start_ns < self.end_ns && self.waker.is_none_or(|track| track.0 < track_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{CoarseOccupancy, CoarseState, CounterPoint, states};
    use crate::varint;
    use proptest::prelude::*;

    /// What passes every checksum may still be made up by somebody.
    fn check_decodes_without_panic<R: Row>(columns: &[Vec<u8>], level: u8, count: usize) {
        let mut bytes = Vec::new();
        for column in &columns[..R::COLUMNS] {
            varint::put(&mut bytes, column.len() as u64);
        }
        bytes.extend(columns[..R::COLUMNS].concat());
        for row in decode::<R>(&bytes, level, count, 5).unwrap_or_default() {
            assert!(row.span().0 <= row.span().1);
        }
        // States have an account before their columns.
        let with_account = [vec![0; 25], bytes].concat();
        let _ = states::decode(&with_account, count, 5);
    }

    proptest! {
        #[test]
        fn made_up_columns_are_no_panic(
            columns in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff), any::<u8>()], 0..30), 7),
            level in 0u8..64,
            count in 0usize..10,
        ) {
            check_decodes_without_panic::<crate::timeline::StateInterval>(&columns, level, count);
            check_decodes_without_panic::<Slice>(&columns, level, count);
            check_decodes_without_panic::<Unit>(&columns, level, count);
            check_decodes_without_panic::<UnitPart>(&columns, level, count);
            check_decodes_without_panic::<Occupancy>(&columns, level, count);
            check_decodes_without_panic::<Sleep>(&columns, level, count);
            check_decodes_without_panic::<CoarseState>(&columns, level, count);
            check_decodes_without_panic::<CoarseOccupancy>(&columns, level, count);
            check_decodes_without_panic::<CounterPoint>(&columns, level, count);
        }
    }
}
