//! Making a recording: directory, manifest, segment files. Nothing is world-readable, no symbolic link is followed.

use super::{Manifest, RecordingError};
use crate::private_file;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Makes the directory of a recording, readable by its owner only.
///
/// # Errors
/// [`RecordingError::Exists`] where anything, even an empty directory or a dangling link, has this name already.
pub fn create_directory(path: &Path) -> Result<(), RecordingError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => RecordingError::Exists(path.to_owned()),
            _ => RecordingError::Io {
                path: path.to_owned(),
                source,
            },
        })
}

/// A segment file that grows.
#[derive(Debug)]
pub struct SegmentWriter {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl SegmentWriter {
    /// Makes a new file.
    ///
    /// # Errors
    /// [`RecordingError::Io`], also where the file exists.
    pub fn create(path: &Path) -> Result<SegmentWriter, RecordingError> {
        let file = private_file::create(path).map_err(|source| RecordingError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(SegmentWriter {
            path: path.to_owned(),
            file,
            bytes: 0,
        })
    }

    /// Appends an encoded segment, whole or not at all.
    ///
    /// # Errors
    /// [`RecordingError::Io`], for example where the disk is full; the file then ends with the segment before.
    pub fn append(&mut self, segment: &[u8]) -> Result<(), RecordingError> {
        if let Err(source) = self.file.write_all(segment) {
            self.cut_back();
            return Err(RecordingError::Io {
                path: self.path.clone(),
                source,
            });
        }
        self.bytes += segment.len() as u64;
        Ok(())
    }

    /// Takes back a segment that was written in part. Where that fails too, readers find a torn segment and skip it.
    fn cut_back(&mut self) {
        if self.file.set_len(self.bytes).is_ok() {
            let _ = io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.bytes));
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Manifest {
    /// Name of the manifest in its directory.
    pub const FILE_NAME: &str = "manifest.json";

    /// Writes the manifest, in place of an earlier one, so that at every moment a whole one is there.
    ///
    /// # Errors
    /// [`RecordingError::Io`]
    pub fn write(&self, dir: &Path) -> Result<(), RecordingError> {
        let path = dir.join("manifest.json.new");
        let result = self
            .write_new(&path)
            .and_then(|()| std::fs::rename(&path, dir.join(Manifest::FILE_NAME)));
        result
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(|source| RecordingError::Io { path, source })
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        // Left over by a recorder that was killed just here.
        let _ = std::fs::remove_file(path);
        let mut file = private_file::create(path)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()
    }
}
