//! Rows of JVM records as columns: times as differences, and the method of an exit predicted by a stack of the enters before it.
//!
//! ```text
//! column  what
//! TICKS   difference to the record before
//! KIND    kind * 2, plus 1 where the detail is not 0
//! DETAIL  the detail, where it is not 0
//! VALUE   value XOR prediction
//! ```

use crate::columns::{Coder, Decoder, Encoder};
use crate::record::{JvmKind, JvmRecord};

const TICKS: usize = 0;
const KIND: usize = 1;
const DETAIL: usize = 2;
const VALUE: usize = 3;
const COLUMNS: usize = 4;

/// Deeper calls are not predicted: a bound for the decoder's memory too.
const STACK_MAX: usize = 1024;

/// Appends the columns of `records`.
pub(super) fn encode(records: &[JvmRecord], out: &mut Vec<u8>) {
    let mut coder = Encoder::new(COLUMNS);
    let mut model = Model::default();
    for record in records {
        row(&mut coder, &mut model, record);
    }
    coder.finish(out);
}

/// Reads `count` records from exactly these columns.
pub(super) fn decode(bytes: &[u8], count: usize) -> Option<Vec<JvmRecord>> {
    let mut coder = Decoder::new(bytes, COLUMNS)?;
    let mut model = Model::default();
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        records.push(row(&mut coder, &mut model, &JvmRecord { ticks: 0, word: 0 })?);
    }
    coder.is_done().then_some(records)
}

#[derive(Default)]
struct Model {
    ticks: u64,
    stack: Vec<u32>,
    /// Object of the last monitor or wait record.
    object: u32,
}

impl Model {
    fn predict(&mut self, kind: Option<JvmKind>) -> u32 {
        match kind {
            Some(JvmKind::Exit | JvmKind::Thrown) => self.stack.pop().unwrap_or_default(),
            Some(JvmKind::MonitorEntered | JvmKind::Waited) => self.object,
            _ => 0,
        }
    }

    fn learn(&mut self, kind: Option<JvmKind>, ticks: u64, value: u32) {
        self.ticks = ticks;
        match kind {
            Some(JvmKind::Enter) if self.stack.len() < STACK_MAX => self.stack.push(value),
            Some(JvmKind::MonitorEnter | JvmKind::Wait) => self.object = value,
            _ => {}
        }
    }
}

fn row(coder: &mut impl Coder, model: &mut Model, actual: &JvmRecord) -> Option<JvmRecord> {
    let ticks = coder.delta(TICKS, actual.ticks, model.ticks)?;
    let number = u64::from(actual.word as u8);
    let code = coder.number(KIND, number << 1 | u64::from(actual.detail() != 0))?;
    let number = u8::try_from(code >> 1).ok()?;
    let detail = if code & 1 == 1 {
        coder.number32(DETAIL, actual.detail())?
    } else {
        0
    };
    let kind = JvmKind::from_u8(number);
    let predicted = model.predict(kind);
    let value = coder.number32(VALUE, actual.value() ^ predicted)? ^ predicted;
    if detail > JvmRecord::DETAIL_MAX {
        return None;
    }
    model.learn(kind, ticks, value);
    Some(JvmRecord {
        ticks,
        word: u64::from(number) | u64::from(detail) << 8 | u64::from(value) << 32,
    })
}
