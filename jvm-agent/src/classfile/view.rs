//! A class at a glance: what rules match against, and where its methods lie.

use std::borrow::Cow;

use super::pool::{ConstantPool, text};
use super::{ClassError, Reader, annotations};

/// Access flags of classes and methods.
pub mod access {
    /// `public`
    pub const PUBLIC: u16 = 0x0001;
    /// `static`
    pub const STATIC: u16 = 0x0008;
    /// `final`
    pub const FINAL: u16 = 0x0010;
    /// Set on every class since Java 1.0.2.
    pub const SUPER: u16 = 0x0020;
    /// `native`
    pub const NATIVE: u16 = 0x0100;
    /// An interface.
    pub const INTERFACE: u16 = 0x0200;
    /// `abstract`
    pub const ABSTRACT: u16 = 0x0400;
    /// Made by a compiler.
    pub const SYNTHETIC: u16 = 0x1000;
}

const MAGIC: u32 = 0xcafe_babe;
const CODE: &[u8] = b"Code";
const ANNOTATIONS: &[u8] = b"RuntimeVisibleAnnotations";

/// An attribute: its data, and where in the class file its length field lies.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    /// Index of the name in the constant pool.
    pub name_index: u16,
    /// Name, in modified UTF-8.
    pub name: &'a [u8],
    /// Offset in the class file of the four bytes of length; the data follow them.
    pub length_at: usize,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Reads name, length and data where `reader` stands.
    pub fn parse(pool: &ConstantPool<'a>, reader: &mut Reader<'a>) -> Result<Self, ClassError> {
        let name_index = reader.u16()?;
        let name = pool.utf8(name_index)?;
        let length_at = reader.offset();
        let length = reader.u32()?;
        let data = reader.take(length as usize)?;
        Ok(Self {
            name_index,
            name,
            length_at,
            data,
        })
    }

    /// A reader over the data.
    pub fn reader(&self) -> Reader<'a> {
        Reader::new(self.data, self.length_at + 4)
    }
}

/// A method of a class.
#[derive(Debug)]
pub struct Method<'a> {
    /// Access flags, see [`access`].
    pub access: u16,
    /// Name, in modified UTF-8.
    pub name: &'a [u8],
    /// Descriptor, in modified UTF-8.
    pub descriptor: &'a [u8],
    /// The body; none for abstract and native methods.
    pub code: Option<Attribute<'a>>,
    annotations: Option<Attribute<'a>>,
}

impl<'a> Method<'a> {
    /// The name as text.
    pub fn name(&self) -> Cow<'a, str> {
        text(self.name)
    }

    /// The descriptor as text, as in `(ILjava/lang/String;)V`.
    pub fn descriptor(&self) -> Cow<'a, str> {
        text(self.descriptor)
    }

    /// Length of the bytecode in bytes; 0 without a body or where it cannot be read.
    pub fn code_len(&self) -> u32 {
        let length = |code: Attribute<'_>| {
            let mut reader = code.reader();
            let length = reader.skip(4).and_then(|()| reader.u32()).ok()?;
            (length as usize <= reader.remaining()).then_some(length)
        };
        self.code.and_then(length).unwrap_or(0)
    }
}

/// Name, kin, flags and methods of a class. Field and class attributes are stepped over, not checked.
#[derive(Debug)]
pub struct ClassView<'a> {
    /// The whole class file.
    pub bytes: &'a [u8],
    /// Major version: 52 is Java 8, 69 is Java 25.
    pub major: u16,
    /// The constant pool.
    pub pool: ConstantPool<'a>,
    /// Offset of the first byte after the constant pool.
    pub pool_end: usize,
    /// Access flags, see [`access`].
    pub access: u16,
    /// Internal name, in modified UTF-8.
    pub name: &'a [u8],
    /// Internal name of the superclass; none for `java/lang/Object` and for modules.
    pub super_name: Option<&'a [u8]>,
    /// Internal names of the interfaces that the class names.
    pub interfaces: Vec<&'a [u8]>,
    /// Its methods, constructors and initialiser.
    pub methods: Vec<Method<'a>>,
    annotations: Option<Attribute<'a>>,
}

impl<'a> ClassView<'a> {
    /// Parses a class file.
    ///
    /// # Errors
    /// If the bytes are no class file that a JVM would take: names offset and reason. Bodies are not looked into.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ClassError> {
        let mut reader = Reader::new(bytes, 0);
        if reader.u32()? != MAGIC {
            return Err(ClassError {
                offset: 0,
                reason: "is no class file",
            });
        }
        let (minor, major) = (reader.u16()?, reader.u16()?);
        if major < 45 || (major == 45 && minor < 3) {
            // Before 45.3 the fields of a body had other sizes.
            return Err(ClassError {
                offset: 4,
                reason: "is of a version before Java 1.1",
            });
        }
        let pool = ConstantPool::parse(bytes, &mut reader)?;
        let pool_end = reader.offset();
        let access = reader.u16()?;
        let name = pool.class_name(reader.u16()?)?;
        let super_name = match reader.u16()? {
            0 => None,
            index => Some(pool.class_name(index)?),
        };
        let mut interfaces = Vec::new();
        for _ in 0..reader.u16()? {
            interfaces.push(pool.class_name(reader.u16()?)?);
        }
        skip_fields(&pool, &mut reader)?;
        let mut methods = Vec::new();
        for _ in 0..reader.u16()? {
            methods.push(parse_method(&pool, &mut reader)?);
        }
        let annotations = class_annotations(&pool, &mut reader)?;
        reader.end()?;
        Ok(Self {
            bytes,
            major,
            pool,
            pool_end,
            access,
            name,
            super_name,
            interfaces,
            methods,
            annotations,
        })
    }

    /// The internal name as text, as in `java/util/Map$Entry`.
    pub fn name(&self) -> Cow<'a, str> {
        text(self.name)
    }

    /// Internal names of the class's annotations that are visible at run time.
    pub fn annotations(&self) -> Result<Vec<Cow<'a, str>>, ClassError> {
        self.annotation_names(self.annotations)
    }

    /// Internal names of the annotations of one of its methods that are visible at run time.
    pub fn method_annotations(&self, method: &Method<'a>) -> Result<Vec<Cow<'a, str>>, ClassError> {
        self.annotation_names(method.annotations)
    }

    fn annotation_names(&self, attribute: Option<Attribute<'a>>) -> Result<Vec<Cow<'a, str>>, ClassError> {
        attribute.map_or(Ok(Vec::new()), |found| {
            annotations::type_names(&self.pool, found.reader())
        })
    }
}

fn skip_fields(pool: &ConstantPool<'_>, reader: &mut Reader<'_>) -> Result<(), ClassError> {
    for _ in 0..reader.u16()? {
        reader.skip(2)?;
        pool.utf8(reader.u16()?)?;
        pool.utf8(reader.u16()?)?;
        for _ in 0..reader.u16()? {
            reader.skip(2)?;
            let length = reader.u32()?;
            reader.skip(length as usize)?;
        }
    }
    Ok(())
}

fn parse_method<'a>(pool: &ConstantPool<'a>, reader: &mut Reader<'a>) -> Result<Method<'a>, ClassError> {
    let access = reader.u16()?;
    let name = pool.utf8(reader.u16()?)?;
    let descriptor = pool.utf8(reader.u16()?)?;
    let mut method = Method {
        access,
        name,
        descriptor,
        code: None,
        annotations: None,
    };
    for _ in 0..reader.u16()? {
        let attribute = Attribute::parse(pool, reader)?;
        match attribute.name {
            CODE if method.code.is_some() => return Err(reader.error("method has two bodies")),
            CODE => method.code = Some(attribute),
            ANNOTATIONS => method.annotations = Some(attribute),
            _ => {}
        }
    }
    Ok(method)
}

fn class_annotations<'a>(
    pool: &ConstantPool<'a>,
    reader: &mut Reader<'a>,
) -> Result<Option<Attribute<'a>>, ClassError> {
    let mut annotations = None;
    for _ in 0..reader.u16()? {
        let attribute = Attribute::parse(pool, reader)?;
        if attribute.name == ANNOTATIONS {
            annotations = Some(attribute);
        }
    }
    Ok(annotations)
}
