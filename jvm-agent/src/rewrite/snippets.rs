//! The bytecode of the probes themselves.

use super::{Begin, Choice, Probes};
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
    /// Words of the operand stack that it needs; the stack is empty before it.
    pub enter_stack: u16,
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
            enter_stack: 1,
            exit: call(exit),
            thrown,
            throwable,
            frames_name,
        })
    }

    /// Lets the begin tell an argument.
    pub fn tell_argument(&mut self, pool: &mut Additions, probes: &Probes<'_>, choice: Choice) -> Result<(), PoolFull> {
        let Some((load, probe, descriptor, stack)) = argument(probes, choice.begin) else {
            return Ok(());
        };
        let class = pool.class(probes.class)?;
        let (name, descriptor) = (pool.utf8(probe)?, pool.utf8(descriptor)?);
        let [high, low] = pool.method(class, name, descriptor)?.to_be_bytes();
        let push = push_int(pool, choice.id.cast_signed())?;
        self.enter = [&load[..], &push, &[op::INVOKESTATIC, high, low]].concat();
        self.enter_stack = stack;
        Ok(())
    }

    /// Nothing to insert.
    pub fn none() -> Self {
        Self {
            enter: Vec::new(),
            enter_stack: 0,
            exit: Vec::new(),
            thrown: Vec::new(),
            throwable: 0,
            frames_name: 0,
        }
    }
}

/// How an argument is pushed, which probe it is told by, that one's descriptor, and the words of stack that a call of it takes.
fn argument<'p>(probes: &Probes<'p>, begin: Begin) -> Option<(Vec<u8>, &'p str, &'static str, u16)> {
    Some(match begin {
        Begin::Enter | Begin::Object => return None,
        Begin::Text(slot) => (
            load(op::ALOAD, op::ALOAD_0, slot),
            probes.text,
            "(Ljava/lang/String;I)V",
            2,
        ),
        Begin::Given(slot) => (
            load(op::ALOAD, op::ALOAD_0, slot),
            probes.given,
            "(Ljava/lang/Object;I)V",
            2,
        ),
        Begin::Long(slot) => (load(op::LLOAD, op::LLOAD_0, slot), probes.number, "(JI)V", 3),
        Begin::Int(slot) => {
            let mut pushed = load(op::ILOAD, op::ILOAD_0, slot);
            pushed.push(op::I2L);
            (pushed, probes.number, "(JI)V", 3)
        }
    })
}

/// The shortest instruction that pushes a local variable; `first` is that for the variable 0.
fn load(opcode: u8, first: u8, slot: u16) -> Vec<u8> {
    match (slot, u8::try_from(slot)) {
        (0..=3, Ok(slot)) => vec![first + slot],
        (_, Ok(slot)) => vec![opcode, slot],
        _ => {
            let [high, low] = slot.to_be_bytes();
            vec![op::WIDE, opcode, high, low]
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
    fn variables_are_pushed_by_the_shortest_instruction() {
        assert_eq!(load(op::ALOAD, op::ALOAD_0, 3), [45]);
        assert_eq!(load(op::LLOAD, op::LLOAD_0, 0), [30]);
        assert_eq!(load(op::ILOAD, op::ILOAD_0, 4), [21, 4]);
        assert_eq!(load(op::ALOAD, op::ALOAD_0, 255), [25, 255]);
        assert_eq!(load(op::ALOAD, op::ALOAD_0, 256), [196, 25, 1, 0]);
    }

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
