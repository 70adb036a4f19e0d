//! Arguments of methods, by their descriptors: which of them can be a unit's key, and where it lies when the method begins.

/// What kind of argument can be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// `String`.
    Text,
    /// `int`, `short` or `byte`.
    Int,
    /// `long`.
    Long,
}

/// An argument that can be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// What it is.
    pub kind: ArgumentKind,
    /// Place among the local variables, counted from the first argument's; where there is a `this`, that lies before.
    pub slot: u16,
}

/// The argument of this number, from 1. None: there is none, it can be no key, or the descriptor is none.
pub fn argument(descriptor: &str, number: u8) -> Option<Argument> {
    let mut rest = descriptor.strip_prefix('(')?;
    let mut slot = 0;
    for _ in 1..number {
        let (kind, after) = split_first(rest)?;
        slot += if matches!(kind, "J" | "D") { 2 } else { 1 };
        rest = after;
    }
    let kind = match split_first(rest)?.0 {
        "Ljava/lang/String;" => ArgumentKind::Text,
        "I" | "S" | "B" => ArgumentKind::Int,
        "J" => ArgumentKind::Long,
        _ => return None,
    };
    Some(Argument { kind, slot })
}

/// The first type, and what follows it.
fn split_first(types: &str) -> Option<(&str, &str)> {
    let dimensions = types.bytes().take_while(|byte| *byte == b'[').count();
    let element = types.as_bytes().get(dimensions)?;
    let length = match element {
        b'L' => types.find(';')? + 1,
        b')' => return None,
        _ => dimensions + 1,
    };
    types.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_found_by_their_number() {
        let descriptor = "(JLjava/lang/String;[[IS[Ljava/lang/String;DLjava/lang/Object;B)V";
        let found = |number| argument(descriptor, number).map(|argument| (argument.kind, argument.slot));
        assert_eq!(found(1), Some((ArgumentKind::Long, 0)));
        assert_eq!(found(2), Some((ArgumentKind::Text, 2)));
        assert_eq!(found(3), None);
        assert_eq!(found(4), Some((ArgumentKind::Int, 4)));
        assert_eq!((found(5), found(6), found(7)), (None, None, None));
        assert_eq!(found(8), Some((ArgumentKind::Int, 9)));
        assert_eq!((found(9), found(255)), (None, None));
    }

    #[test]
    fn what_is_no_descriptor_has_no_arguments() {
        for wrong in ["", "(", "I", "([", "(Ljava/lang/String", "()V", "(é;)V"] {
            assert_eq!(argument(wrong, 1), None, "{wrong}");
        }
    }
}
