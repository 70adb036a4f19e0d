//! USDT probes: the places that a library's makers have marked for tracers, as its section `.note.stapsdt` tells them.
//!
//! ```text
//! a note:         namesz (4) | descsz (4) | type = 3 (4) | "stapsdt\0" | descriptor, padded to 4
//! a descriptor:   pc (8) | base (8) | semaphore (8) | provider \0 | name \0 | arguments \0
//! arguments:      SIZE@PLACE, blanks between: 8@%r12, -4@%eax, 8@-144(%rbp), 1@$1
//! ```
//! Addresses are those of the linker; where the library was moved after that (prelink), its section `.stapsdt.base` is not where the note says that it was, and
//! all addresses go along. A uprobe wants the place in the file: what the loadable segment around it says.
//!
//! The section is not loaded, so it is read from the file; the file may be anybody's and hold anything: sizes are bounded before memory is taken.

mod elf;
mod place;

pub use place::Place;

use elf::Elf;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Largest section of notes that is read, bytes; libjvm's have some 50,000.
const NOTES_BYTES_MAX: u64 = 4 << 20;
/// Type of a note of SystemTap, by which all USDT probes are made.
const TYPE: u32 = 3;
/// Most arguments that a probe can have.
const ARGUMENTS_MAX: usize = 12;

/// A marked place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Who has marked it, for example `hotspot`.
    pub provider: String,
    /// What it marks. Several places may have one name: a function that was inlined.
    pub name: String,
    /// Where in the file the marked instruction is.
    pub offset: u64,
    /// Whether the library looks at a counter before it comes here, which somebody has to raise.
    pub has_semaphore: bool,
    /// Where its arguments are; `None` for one whose place is not understood.
    pub arguments: Vec<Option<Place>>,
}

/// Why a file has no probes to read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsdtError {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is no library, or a damaged one.
    #[error("is no 64-bit ELF file for x86-64, or a damaged one: {0}")]
    Malformed(&'static str),
}

/// What can be read at any place: a file, or bytes.
pub trait Source {
    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::Error`] where there are not so many.
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl Source for File {
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

impl Source for [u8] {
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).ok();
        let range = from.and_then(|from| Some(from..from.checked_add(length)?));
        let bytes = range.and_then(|range| self.get(range));
        bytes.map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}

/// All probes of a library, in the order of its notes; none where it was built without.
///
/// # Errors
/// [`UsdtError`] where it cannot be read or is no library.
pub fn probes(source: &(impl Source + ?Sized)) -> Result<Vec<Probe>, UsdtError> {
    let elf = Elf::read(source)?;
    let Some(section) = elf.section(".note.stapsdt") else {
        return Ok(Vec::new());
    };
    if section.bytes > NOTES_BYTES_MAX {
        return Err(UsdtError::Malformed("its section .note.stapsdt is too large"));
    }
    let bytes = source.read(section.offset, section.bytes as usize)?;
    let base = elf.section(".stapsdt.base").map(|section| section.address);
    let notes = Notes { rest: &bytes }.map(|descriptor| probe(descriptor?, base, &elf));
    Ok(notes
        .collect::<Option<Vec<_>>>()
        .ok_or(UsdtError::Malformed("a note is cut short"))?
        .into_iter()
        .flatten()
        .collect())
}

/// The descriptors of the notes; `None` where one is malformed, which is the last then.
struct Notes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Notes<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        while !self.rest.is_empty() {
            match note(&mut self.rest) {
                Some((b"stapsdt\0", TYPE, descriptor)) => return Some(Some(descriptor)),
                Some(_) => {}
                None => {
                    self.rest = &[];
                    return Some(None);
                }
            }
        }
        None
    }
}

/// A note's name, type and descriptor.
fn note<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], u32, &'a [u8])> {
    let mut number = || Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?));
    let (name, descriptor, kind) = (number()?, number()?, number()?);
    let name = padded(rest, name)?;
    Some((name, kind, padded(rest, descriptor)?))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn padded<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let length = usize::try_from(length).ok()?;
    let taken = take(rest, length)?;
    // The padding of the last one may be missing.
    let padding = (length.next_multiple_of(4) - length).min(rest.len());
    take(rest, padding)?;
    Some(taken)
}

/// What a descriptor says. The outer `None`: it is malformed; the inner one: its place is in no code of the file.
fn probe(mut descriptor: &[u8], base: Option<u64>, elf: &Elf) -> Option<Option<Probe>> {
    let mut number = || Some(u64::from_le_bytes(take(&mut descriptor, 8)?.try_into().ok()?));
    let (pc, linked_base, semaphore) = (number()?, number()?, number()?);
    let mut texts = descriptor.split(|&byte| byte == 0);
    let mut text = || Some(String::from_utf8_lossy(texts.next()?).into_owned());
    let (provider, name, arguments) = (text()?, text()?, text()?);
    let moved = base.map_or(0, |base| base.wrapping_sub(linked_base));
    let Some(offset) = elf.code_offset(pc.wrapping_add(moved)) else {
        return Some(None);
    };
    Some(Some(Probe {
        provider,
        name,
        offset,
        has_semaphore: semaphore != 0,
        arguments: arguments
            .split_ascii_whitespace()
            .take(ARGUMENTS_MAX)
            .map(Place::parse)
            .collect(),
    }))
}

#[cfg(test)]
mod tests;
