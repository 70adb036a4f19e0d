//! The little of a class file that rules ask for: its name and kin, its methods' names, the lengths of their code, and annotations.

use super::{ClassMethod, ClassMethods};

const ANNOTATIONS: &[u8] = b"RuntimeVisibleAnnotations";
/// Deeper nesting is no annotation that a compiler wrote.
const ANNOTATION_DEPTH_MAX: u32 = 64;

/// A constant of the pool: only names are kept.
#[derive(Clone, Copy)]
enum Constant<'a> {
    Text(&'a [u8]),
    Class(u16),
    Other,
}

pub(super) fn parse(bytes: &[u8]) -> Result<ClassMethods, String> {
    let mut input = Input { bytes, offset: 0 };
    input
        .class()
        .map_err(|reason| format!("byte {}: {reason}", input.offset))
}

struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

type Read<T> = Result<T, &'static str>;

impl<'a> Input<'a> {
    fn class(&mut self) -> Read<ClassMethods> {
        if self.u32()? != 0xcafe_babe {
            return Err("no class file");
        }
        self.take(4)?;
        let pool = self.pool()?;
        self.take(2)?;
        let name = class_name(&pool, self.u16()?)?;
        let mut supertypes = Vec::new();
        match self.u16()? {
            0 => {}
            index => supertypes.push(class_name(&pool, index)?),
        }
        for _ in 0..self.u16()? {
            supertypes.push(class_name(&pool, self.u16()?)?);
        }
        for _ in 0..self.u16()? {
            self.member(&pool)?;
        }
        let methods = (0..self.u16()?).map(|_| self.member(&pool)).collect::<Read<Vec<_>>>()?;
        let mut annotations = Vec::new();
        for _ in 0..self.u16()? {
            let attribute = self.u16()?;
            let length = self.u32()? as usize;
            let body = self.take(length)?;
            if is_called(&pool, attribute, ANNOTATIONS) {
                annotations = annotation_names(&pool, body)?;
            }
        }
        Ok(ClassMethods {
            name,
            supertypes,
            annotations,
            methods,
        })
    }

    fn pool(&mut self) -> Read<Vec<Constant<'a>>> {
        let count = usize::from(self.u16()?);
        let mut pool = vec![Constant::Other];
        while pool.len() < count {
            let tag = self.take(1)?[0];
            pool.push(self.constant(tag)?);
            // A long or double takes two places of the pool.
            if matches!(tag, 5 | 6) {
                pool.push(Constant::Other);
            }
        }
        Ok(pool)
    }

    fn constant(&mut self, tag: u8) -> Read<Constant<'a>> {
        let skipped = match tag {
            1 => {
                let length = usize::from(self.u16()?);
                return self.take(length).map(Constant::Text);
            }
            7 => return self.u16().map(Constant::Class),
            8 | 16 | 19 | 20 => 2,
            15 => 3,
            3 | 4 | 9..=12 | 17 | 18 => 4,
            5 | 6 => 8,
            _ => return Err("an unknown kind of constant"),
        };
        self.take(skipped)?;
        Ok(Constant::Other)
    }

    /// A field or method; fields have no code.
    fn member(&mut self, pool: &[Constant<'a>]) -> Read<ClassMethod> {
        self.take(2)?;
        let (name, descriptor) = (self.u16()?, self.u16()?);
        let (mut code_bytes, mut annotations) = (None, Vec::new());
        for _ in 0..self.u16()? {
            let attribute = self.u16()?;
            let length = self.u32()? as usize;
            let body = self.take(length)?;
            if is_called(pool, attribute, b"Code") {
                let mut body = Input { bytes: body, offset: 4 };
                code_bytes = Some(body.u32()?);
            } else if is_called(pool, attribute, ANNOTATIONS) {
                annotations = annotation_names(pool, body)?;
            }
        }
        Ok(ClassMethod {
            name: text(pool, name)?,
            descriptor: text(pool, descriptor)?,
            code_bytes,
            annotations,
        })
    }

    /// One annotation, whose type's index has been read; `depth` bounds our stack.
    fn skip_annotation(&mut self, depth: u32) -> Read<()> {
        for _ in 0..self.u16()? {
            self.take(2)?;
            self.skip_value(depth + 1)?;
        }
        Ok(())
    }

    fn skip_value(&mut self, depth: u32) -> Read<()> {
        if depth > ANNOTATION_DEPTH_MAX {
            return Err("annotations nested too deeply");
        }
        match self.take(1)?[0] {
            b'e' => self.take(4).map(drop),
            b'@' => {
                self.take(2)?;
                self.skip_annotation(depth)
            }
            b'[' => (0..self.u16()?).try_for_each(|_| self.skip_value(depth + 1)),
            _ => self.take(2).map(drop),
        }
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let taken = self
            .offset
            .checked_add(count)
            .and_then(|end| self.bytes.get(self.offset..end))
            .ok_or("truncated")?;
        self.offset += count;
        Ok(taken)
    }

    fn u16(&mut self) -> Read<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Read<u32> {
        self.take(4)
            .map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

fn class_name(pool: &[Constant<'_>], index: u16) -> Read<String> {
    match pool.get(usize::from(index)) {
        Some(Constant::Class(index)) => text(pool, *index),
        _ => Err("a class has no name"),
    }
}

fn is_called(pool: &[Constant<'_>], index: u16, name: &[u8]) -> bool {
    matches!(pool.get(usize::from(index)), Some(Constant::Text(found)) if *found == name)
}

fn annotation_names(pool: &[Constant<'_>], bytes: &[u8]) -> Read<Vec<String>> {
    let mut input = Input { bytes, offset: 0 };
    let mut names = Vec::new();
    for _ in 0..input.u16()? {
        let descriptor = text(pool, input.u16()?)?;
        let name = descriptor.strip_prefix('L').and_then(|rest| rest.strip_suffix(';'));
        names.push(name.unwrap_or(&descriptor).to_owned());
        input.skip_annotation(0)?;
    }
    Ok(names)
}

fn text(pool: &[Constant<'_>], index: u16) -> Read<String> {
    match pool.get(usize::from(index)) {
        // Modified UTF-8 differs from UTF-8 only for characters that names hardly have.
        Some(Constant::Text(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err("a name is no text"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A class with one long constant, one field, and the methods `run()V` (3 bytes of code) and the abstract `stop()V`.
    pub fn sample_class(name: &str) -> Vec<u8> {
        let mut out = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52, 0, 12];
        out.extend([5, 0, 0, 0, 0, 0, 0, 0, 1]); // 1, 2
        let texts = [name, "run", "()V", "Code", "stop", "I"]; // 3 to 8
        for text in texts {
            out.push(1);
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        }
        out.extend([7, 0, 3]); // 9
        for text in ["RuntimeVisibleAnnotations", "La/Note;"] {
            // 10, 11
            out.push(1);
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        }
        out.extend([0, 33, 0, 9, 0, 9, 0, 1, 0, 9]); // access, this, super, interfaces
        out.extend([0, 1, 0, 1, 0, 4, 0, 8, 0, 0]); // one field
        out.extend([0, 2, 0, 1, 0, 4, 0, 5, 0, 1, 0, 6, 0, 0, 0, 15]); // run, one attribute, Code
        out.extend([0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0xb1, 0, 0, 0, 0]);
        out.extend([4, 0, 0, 7, 0, 5, 0, 0]); // stop
        // The annotation, twice: with an array of an array, and without values.
        out.extend([
            0, 1, 0, 10, 0, 0, 0, 21, 0, 2, 0, 11, 0, 1, 0, 4, b'[', 0, 1, b'[', 0, 1, b's', 0, 4,
        ]);
        out.extend([0, 11, 0, 0]);
        out
    }

    #[test]
    fn names_and_lengths_of_code_are_read() {
        let class = parse(&sample_class("a/B")).unwrap();
        let method = |name: &str, code_bytes| ClassMethod {
            name: name.into(),
            descriptor: "()V".into(),
            code_bytes,
            annotations: Vec::new(),
        };
        assert_eq!(
            class,
            ClassMethods {
                name: "a/B".into(),
                supertypes: vec!["a/B".into(), "a/B".into()],
                annotations: vec!["a/Note".into(), "a/Note".into()],
                methods: vec![method("run", Some(3)), method("stop", None)]
            }
        );
    }

    #[test]
    fn damaged_classes_are_errors_or_classes_but_no_panics() {
        let bytes = sample_class("a/B");
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = parse(&damaged);
            }
        }
    }
}
