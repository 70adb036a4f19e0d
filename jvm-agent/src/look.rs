//! What the agent tells of the classes in its JVM, when somebody only wants to know what rules would match.
//!
//! After hello and config (see [`crate::protocol`]) come frames of the agent's, and then the socket's end:
//! ```text
//! 20  classes: count; each name, supertypes (count; names), linked (0 or 1), methods (count; each name, descriptor, bytes of code + 1, or 0 where it has none)
//! 21  end:     classes loaded
//! ```
//! Numbers are varints, strings varint length and bytes.

use std::io;

use plumb_trace::varint;

const CLASSES: u8 = 20;
const END: u8 = 21;

/// A loaded class that rules name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedClass {
    /// Internal name, `org/apache/catalina/core/StandardHostValve`.
    pub name: String,
    /// Internal names of what it extends and implements, at any distance; only where the rules ask for it.
    pub supertypes: Vec<String>,
    /// Whether it is linked. Of a class that is not, the JVM does not tell the methods.
    pub linked: bool,
    /// Its methods.
    pub methods: Vec<LoadedMethod>,
}

/// A method of a loaded class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedMethod {
    /// Name.
    pub name: String,
    /// As the JVM writes it, `(J)V`.
    pub descriptor: String,
    /// Length of its code, bytes; `None` for abstract and native methods.
    pub code_bytes: Option<u32>,
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Some classes.
    Classes(Vec<LoadedClass>),
    /// That was all.
    End {
        /// Classes in the JVM that may get probes.
        loaded: u32,
    },
}

impl Told {
    /// The message's frame.
    pub(crate) fn to_frame(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        match self {
            Told::Classes(classes) => {
                out.push(CLASSES);
                varint::put(&mut out, classes.len() as u64);
                classes.iter().for_each(|class| put_class(&mut out, class));
            }
            Told::End { loaded } => {
                out.push(END);
                varint::put(&mut out, u64::from(*loaded));
            }
        }
        let length = (out.len() - 4) as u32;
        out[..4].copy_from_slice(&length.to_le_bytes());
        out
    }

    /// Reads a message from a frame's content.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is none.
    pub(crate) fn parse(content: &[u8]) -> io::Result<Told> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not a list of classes");
        let (kind, mut rest) = content.split_first().ok_or_else(malformed)?;
        let told = match *kind {
            CLASSES => take_list(&mut rest, take_class).map(Told::Classes),
            END => take_u32(&mut rest).map(|loaded| Told::End { loaded }),
            _ => None,
        };
        told.filter(|_| rest.is_empty()).ok_or_else(malformed)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    varint::put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_class(out: &mut Vec<u8>, class: &LoadedClass) {
    let LoadedClass {
        name,
        supertypes,
        linked,
        methods,
    } = class;
    put_text(out, name);
    varint::put(out, supertypes.len() as u64);
    supertypes.iter().for_each(|name| put_text(out, name));
    varint::put(out, u64::from(*linked));
    varint::put(out, methods.len() as u64);
    for LoadedMethod {
        name,
        descriptor,
        code_bytes,
    } in methods
    {
        put_text(out, name);
        put_text(out, descriptor);
        varint::put(out, code_bytes.map_or(0, |bytes| u64::from(bytes) + 1));
    }
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    varint::take(rest)?.try_into().ok()
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(varint::take(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Each element takes a byte at least: no memory is taken for more than can be there.
fn take_list<T>(rest: &mut &[u8], take: fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = varint::take(rest)?;
    if count > rest.len() as u64 {
        return None;
    }
    (0..count).map(|_| take(rest)).collect()
}

fn take_class(rest: &mut &[u8]) -> Option<LoadedClass> {
    Some(LoadedClass {
        name: take_text(rest)?,
        supertypes: take_list(rest, take_text)?,
        linked: varint::take(rest)? != 0,
        methods: take_list(rest, take_method)?,
    })
}

fn take_method(rest: &mut &[u8]) -> Option<LoadedMethod> {
    Some(LoadedMethod {
        name: take_text(rest)?,
        descriptor: take_text(rest)?,
        code_bytes: take_u32(rest)?.checked_sub(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_every_cut_refused() {
        let method = |name: &str, code_bytes| LoadedMethod {
            name: name.into(),
            descriptor: "()V".into(),
            code_bytes,
        };
        let class = LoadedClass {
            name: "com/shop/Cart".into(),
            supertypes: vec!["java/lang/Object".into()],
            linked: true,
            methods: vec![method("add", Some(7)), method("sum", None)],
        };
        for told in [
            Told::Classes(vec![class.clone(), LoadedClass::default(), class]),
            Told::End { loaded: 4711 },
        ] {
            let frame = told.to_frame();
            assert_eq!(Told::parse(&frame[4..]).ok(), Some(told));
            (4..frame.len()).for_each(|end| assert!(Told::parse(&frame[4..end]).is_err()));
        }
        let many = [CLASSES, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(Told::parse(&many).is_err(), "no memory for what cannot be there");
    }
}
