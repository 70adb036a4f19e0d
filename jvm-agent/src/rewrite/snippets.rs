//! The bytecode of the probes themselves.

use super::Probes;
use crate::classfile::instructions::op;
use crate::classfile::pool::{Additions, PoolFull};

/// Pool indices that every probed method of a class shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolRefs {
    enter: u16,
    exit: u16,
    thrown: u16,
    /// `java/lang/Throwable`, for the handler's frame.
    throwable: u16,
    /// The name `StackMapTable`, for bodies that have none yet.
    frames_name: u16,
}

impl PoolRefs {
    pub fn add(pool: &mut Additions, probes: &Probes<'_>) -> Result<Self, PoolFull> {
        let class = pool.class(probes.class)?;
        let descriptor = pool.utf8("(I)V")?;
        let mut method = |name| {
            let name = pool.utf8(name)?;
            pool.method(class, name, descriptor)
        };
        let (enter, exit, thrown) = (method(probes.enter)?, method(probes.exit)?, method(probes.thrown)?);
        let (throwable, frames_name) = (pool.class("java/lang/Throwable")?, pool.utf8("StackMapTable")?);
        Ok(Self {
            enter,
            exit,
            thrown,
            throwable,
            frames_name,
        })
    }
}

/// What to insert into one method.
#[derive(Debug)]
pub(super) struct Snippets {
    /// Where the method begins.
    pub enter: Vec<u8>,
    /// Before each return.
    pub exit: Vec<u8>,
    /// The handler, with its `athrow`.
    pub thrown: Vec<u8>,
    /// Pool index of `java/lang/Throwable`.
    pub throwable: u16,
    /// Pool index of the name `StackMapTable`.
    pub frames_name: u16,
}

impl Snippets {
    /// Probes that call with `id`.
    pub fn new(pool: &mut Additions, refs: PoolRefs, id: u32) -> Result<Self, PoolFull> {
        let push = push_int(pool, id.cast_signed())?;
        let call = |method: u16| {
            let [high, low] = method.to_be_bytes();
            [&push[..], &[op::INVOKESTATIC, high, low]].concat()
        };
        let mut thrown = call(refs.thrown);
        thrown.push(op::ATHROW);
        let PoolRefs {
            enter,
            exit,
            thrown: _,
            throwable,
            frames_name,
        } = refs;
        Ok(Self {
            enter: call(enter),
            exit: call(exit),
            thrown,
            throwable,
            frames_name,
        })
    }

    /// Nothing to insert.
    pub fn none() -> Self {
        Self {
            enter: Vec::new(),
            exit: Vec::new(),
            thrown: Vec::new(),
            throwable: 0,
            frames_name: 0,
        }
    }
}

/// The begin of a method that tells its first argument, or null.
pub(super) fn object(pool: &mut Additions, probes: &Probes<'_>, has_object: bool) -> Result<Vec<u8>, PoolFull> {
    let class = pool.class(probes.class)?;
    let (name, descriptor) = (pool.utf8(probes.object)?, pool.utf8("(Ljava/lang/Object;)V")?);
    let [high, low] = pool.method(class, name, descriptor)?.to_be_bytes();
    let push = if has_object { op::ALOAD_0 } else { op::ACONST_NULL };
    Ok(vec![push, op::INVOKESTATIC, high, low])
}

/// The shortest instruction that pushes `value`.
fn push_int(pool: &mut Additions, value: i32) -> Result<Vec<u8>, PoolFull> {
    if let (-1..=5, Ok(small)) = (value, i8::try_from(value)) {
        return Ok(vec![op::ICONST_0.wrapping_add_signed(small)]);
    }
    if let Ok(byte) = i8::try_from(value) {
        return Ok(vec![op::BIPUSH, byte.cast_unsigned()]);
    }
    let (opcode, operand) = match i16::try_from(value) {
        Ok(short) => (op::SIPUSH, short.to_be_bytes()),
        Err(_) => (op::LDC_W, pool.integer(value)?.to_be_bytes()),
    };
    Ok(vec![opcode, operand[0], operand[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_are_pushed_by_the_shortest_instruction() {
        let mut pool = Additions::after(300);
        let mut push = |value| push_int(&mut pool, value).unwrap();
        assert_eq!(push(-1), [2]);
        assert_eq!(push(5), [8]);
        assert_eq!(push(6), [16, 6]);
        assert_eq!(push(-128), [16, 0x80]);
        assert_eq!(push(128), [17, 0, 128]);
        assert_eq!(push(32_767), [17, 0x7f, 0xff]);
        assert_eq!(push(32_768), [19, 1, 44]);
    }
}
