//! The class whose natives the probes call, made from nothing.

use super::Probes;
use crate::classfile::access;
use crate::classfile::instructions::op;
use crate::classfile::pool::{Additions, PoolFull};

/// Java 8: every JVM that plumb attaches to takes it, and code without branches needs no newer one.
const VERSION: [u8; 4] = [0, 0, 0, 52];

/// Bytes of the class that `probes` names: final, with its `public static native` methods, and with [`RELAY`].
/// None if a name is longer than a class file can hold (65,535 bytes).
pub fn helper_class(probes: &Probes<'_>) -> Option<Vec<u8>> {
    build(probes).ok()
}

fn build(probes: &Probes<'_>) -> Result<Vec<u8>, PoolFull> {
    const METHOD_FLAGS: u16 = access::PUBLIC | access::STATIC | access::NATIVE;
    const CLASS_FLAGS: u16 = access::PUBLIC | access::FINAL | access::SUPER | access::SYNTHETIC;
    let mut pool = Additions::after(1);
    let this = pool.class(probes.class)?;
    let object = pool.class("java/lang/Object")?;
    let natives = [
        (probes.enter, "(I)V"),
        (probes.exit, "(I)V"),
        (probes.thrown, "(I)V"),
        (probes.object, "(Ljava/lang/Object;)V"),
        (probes.text, "(Ljava/lang/String;I)V"),
        (probes.number, "(JI)V"),
        (probes.given, "(Ljava/lang/Object;I)V"),
    ];
    let mut methods = Vec::new();
    for (name, descriptor) in natives {
        methods.extend([METHOD_FLAGS, pool.utf8(name)?, pool.utf8(descriptor)?, 0]);
    }
    let descriptor = pool.utf8("(I)V")?;
    let relay = relay(&mut pool, this, (probes.enter, descriptor))?;
    let mut bytes = vec![0xca, 0xfe, 0xba, 0xbe];
    bytes.extend_from_slice(&VERSION);
    bytes.extend_from_slice(&pool.pool_count().to_be_bytes());
    bytes.extend_from_slice(pool.bytes());
    let (interfaces, fields, method_count, attributes) = (0, 0, natives.len() as u16 + 1, 0);
    let words = [CLASS_FLAGS, this, object, interfaces, fields, method_count]
        .into_iter()
        .chain(methods);
    bytes.extend(words.flat_map(u16::to_be_bytes));
    bytes.extend(relay);
    bytes.extend(u16::to_be_bytes(attributes));
    Ok(bytes)
}

/// Name of a method `(I)V` of the helper class, in bytecode, that calls `enter` with its argument: to the JVM, that native then is called by a class of the boot loader.
pub const RELAY: &str = "relay";

fn relay(pool: &mut Additions, this: u16, (enter, descriptor): (&str, u16)) -> Result<Vec<u8>, PoolFull> {
    const METHOD_FLAGS: u16 = access::PUBLIC | access::STATIC;
    let name = pool.utf8(enter)?;
    let [high, low] = pool.method(this, name, descriptor)?.to_be_bytes();
    let code = [op::ILOAD_0, op::INVOKESTATIC, high, low, op::RETURN];
    let (max_stack, max_locals, handlers, attributes) = (1u16, 1u16, 0u16, 0u16);
    let content = [
        &max_stack.to_be_bytes()[..],
        &max_locals.to_be_bytes(),
        &(code.len() as u32).to_be_bytes(),
        &code,
        &handlers.to_be_bytes(),
        &attributes.to_be_bytes(),
    ]
    .concat();
    let head = [METHOD_FLAGS, pool.utf8(RELAY)?, descriptor, 1, pool.utf8("Code")?];
    let mut method: Vec<u8> = head.into_iter().flat_map(u16::to_be_bytes).collect();
    method.extend((content.len() as u32).to_be_bytes());
    method.extend(content);
    Ok(method)
}
