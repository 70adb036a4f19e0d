//! A file that takes up some space, to be given back when the disk is full.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use plumb_trace::private_file;

/// Enough for a loss of each CPU and each thread's stream, the last clocks and the manifest of all but the largest recordings.
const RESERVE_BYTES: usize = 512 << 10;

/// The file; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// Makes the file, of real blocks.
    pub fn take(dir: &Path) -> io::Result<Reserve> {
        let path = dir.join("reserve");
        let mut file = private_file::create(&path)?;
        let reserve = Reserve { path };
        file.write_all(&vec![0; RESERVE_BYTES])?;
        file.sync_all()?;
        Ok(reserve)
    }

    /// Gives the space back.
    pub fn give_back(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.give_back();
    }
}
