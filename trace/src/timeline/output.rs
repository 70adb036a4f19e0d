//! The file that a timeline is written into: under another name until it is whole, readable by its owner only.

use super::error::TimelineError;
use super::format::Extent;
use crate::{pack, private_file};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that grows at its end. Dropped before [`Output::finish`], it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Output {
    file: BufWriter<File>,
    offset: u64,
    path: PathBuf,
    part: PathBuf,
    packed: Vec<u8>,
    finished: bool,
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Output, TimelineError> {
        let part = part_name(path);
        let file = private_file::create(&part).map_err(|source| TimelineError::Io {
            path: part.clone(),
            source,
        })?;
        Ok(Output {
            file: BufWriter::with_capacity(1 << 18, file),
            offset: 0,
            path: path.to_owned(),
            part,
            packed: Vec::new(),
            finished: false,
        })
    }

    /// Bytes written so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends bytes as they are.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<Extent, TimelineError> {
        self.put_extent(bytes, bytes.len())
    }

    /// Appends bytes compressed.
    pub(super) fn put_packed(&mut self, raw: &[u8]) -> Result<Extent, TimelineError> {
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        pack::pack(raw, &mut packed);
        let extent = self.put_extent(&packed, raw.len());
        self.packed = packed;
        extent
    }

    fn put_extent(&mut self, stored: &[u8], raw_length: usize) -> Result<Extent, TimelineError> {
        let too_large = |_| TimelineError::Misuse(format!("a table of {raw_length} bytes"));
        let raw_bytes = u32::try_from(raw_length).map_err(too_large)?;
        let stored_bytes = u32::try_from(stored.len()).map_err(too_large)?;
        let extent = Extent {
            offset: self.offset,
            stored_bytes,
            raw_bytes,
            crc: crc32fast::hash(stored),
        };
        self.file.write_all(stored).map_err(|source| self.io_error(source))?;
        self.offset += stored.len() as u64;
        Ok(extent)
    }

    /// Writes out what is buffered and gives the file to be read.
    pub(super) fn flushed(&mut self) -> Result<&File, TimelineError> {
        self.file.flush().map_err(|source| self.io_error(source))?;
        Ok(self.file.get_ref())
    }

    /// Where the file is until it is finished.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    /// Gives the file its name, in place of an older one.
    pub(super) fn finish(mut self) -> Result<(), TimelineError> {
        self.flushed()?.sync_all().map_err(|source| self.io_error(source))?;
        std::fs::rename(&self.part, &self.path).map_err(|source| TimelineError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.finished = true;
        Ok(())
    }

    fn io_error(&self, source: io::Error) -> TimelineError {
        TimelineError::Io {
            path: self.part.clone(),
            source,
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody is left to hear of a failure; a part is never mistaken for a timeline.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

fn part_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
