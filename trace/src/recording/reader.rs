//! Reading a recording: of what a killed recorder or a failing disk left, all that is undamaged.

use super::segment::{self, HEADER_BYTES, MAGIC, Segment, SegmentHeader};
use super::{MANIFEST_VERSION, Manifest};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest manifest that is read, bytes.
const MANIFEST_MAX: u64 = 16 << 20;
/// Bytes that a search for the next segment reads at a time.
const SEARCH_BYTES: usize = 64 << 10;

/// Why a recording cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output is there already.
    #[error("{} exists already\nname another directory or remove this one: plumb overwrites nothing", .0.display())]
    Exists(PathBuf),
    /// There is no manifest.
    #[error("{} is no recording: it holds no {}\nname the directory that plumb record wrote", .0.display(), Manifest::FILE_NAME)]
    NoManifest(PathBuf),
    /// The manifest cannot be read.
    #[error("{}: {reason}\nthe manifest is damaged or not plumb's; a recording cannot be read without it", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The recording is of another version.
    #[error("{}: the recording has version {found}, this plumb reads {MANIFEST_VERSION}\nuse the plumb that wrote it", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// A stretch of a segment file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where it begins, bytes.
    pub offset: u64,
    /// Why.
    pub reason: String,
    /// Bytes up to the next good segment or the file's end.
    pub skipped_bytes: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: at byte {}: {}; {} bytes skipped",
            self.path.display(),
            self.offset,
            self.reason,
            self.skipped_bytes
        )
    }
}

impl std::error::Error for Damage {}

/// A recording that was opened.
#[derive(Debug)]
pub struct Recording {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its directory.
    pub dir: PathBuf,
    files: Vec<StreamFile>,
}

impl Recording {
    /// Opens a recording: reads the manifest, opens the segment files.
    ///
    /// # Errors
    /// [`RecordingError`], with a remedy. Damaged segments are no error here.
    pub fn open(dir: &Path) -> Result<Recording, RecordingError> {
        let manifest = Manifest::read(dir)?;
        let io_error = |source| RecordingError::Io {
            path: dir.to_owned(),
            source,
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(io_error)? {
            let name = entry.map_err(io_error)?.file_name();
            if let Some(kind) = name.to_str().and_then(FileKind::of_name) {
                files.push(StreamFile::open(&dir.join(&name), kind)?);
            }
        }
        files.sort_by_key(|file| file.kind);
        Ok(Recording {
            manifest,
            dir: dir.to_owned(),
            files,
        })
    }

    /// The segment files: clock, host, CPUs, JVMs.
    #[must_use]
    pub fn files(&self) -> &[StreamFile] {
        &self.files
    }
}

impl Manifest {
    /// Reads the manifest of a recording.
    ///
    /// # Errors
    /// [`RecordingError`], with a remedy.
    pub fn read(dir: &Path) -> Result<Manifest, RecordingError> {
        let path = dir.join(Manifest::FILE_NAME);
        let text = read_small_file(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => RecordingError::NoManifest(dir.to_owned()),
            _ => RecordingError::Io {
                path: path.clone(),
                source,
            },
        })?;
        let bad = |error: serde_json::Error| RecordingError::BadManifest {
            path: path.clone(),
            reason: error.to_string(),
        };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(bad)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(found) if found != u64::from(MANIFEST_VERSION) => Err(RecordingError::Version { path, found }),
            _ => serde_json::from_value(value).map_err(bad),
        }
    }
}

/// Opens without following a link and without waiting for the other end of a FIFO; only regular files will do.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

fn read_small_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(MANIFEST_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MANIFEST_MAX {
        Err(io::Error::other("too large for a manifest"))
    } else {
        Ok(bytes)
    }
}

/// What a segment file is about, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// `clock.seg`
    Clock,
    /// `host.seg`
    Host,
    /// `counters.seg`
    Counters,
    /// `cpu-N.seg`
    Cpu(u32),
    /// `jvm-PID-START.seg`
    Jvm {
        /// Process id in the initial namespace.
        pid: u32,
        /// Start time, clock ticks since boot.
        start_ticks: u64,
    },
}

impl FileKind {
    /// The name of such a file.
    #[must_use]
    pub fn file_name(self) -> String {
        match self {
            FileKind::Clock => "clock.seg".into(),
            FileKind::Host => "host.seg".into(),
            FileKind::Counters => "counters.seg".into(),
            FileKind::Cpu(cpu) => format!("cpu-{cpu}.seg"),
            FileKind::Jvm { pid, start_ticks } => format!("jvm-{pid}-{start_ticks}.seg"),
        }
    }

    /// What a file of this name is about.
    #[must_use]
    pub fn of_name(name: &str) -> Option<FileKind> {
        let stem = name.strip_suffix(".seg")?;
        if let Some(cpu) = stem.strip_prefix("cpu-") {
            return Some(FileKind::Cpu(cpu.parse().ok()?));
        }
        if let Some(jvm) = stem.strip_prefix("jvm-") {
            let (pid, start_ticks) = jvm.split_once('-')?;
            return Some(FileKind::Jvm {
                pid: pid.parse().ok()?,
                start_ticks: start_ticks.parse().ok()?,
            });
        }
        [FileKind::Clock, FileKind::Host, FileKind::Counters]
            .into_iter()
            .find(|kind| kind.file_name() == name)
    }
}

/// A segment file. Its length is that at the time of opening: what is appended later is not seen.
#[derive(Clone, Debug)]
pub struct StreamFile {
    /// The file.
    pub path: PathBuf,
    /// What it is about.
    pub kind: FileKind,
    file: Arc<File>,
    bytes: u64,
}

/// Where a segment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Offset in the file, for [`StreamFile::read_at`].
    pub offset: u64,
    /// Its header.
    pub header: SegmentHeader,
}

/// What a file holds, without its payloads.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Segments whose header is good, in the file's order; a payload may still turn out damaged.
    pub entries: Vec<SegmentEntry>,
    /// What lies between them and is no segment.
    pub damage: Vec<Damage>,
}

impl StreamFile {
    /// Opens a segment file.
    ///
    /// # Errors
    /// [`RecordingError::Io`]
    pub fn open(path: &Path, kind: FileKind) -> Result<StreamFile, RecordingError> {
        let open = || {
            let file = open_regular(path)?;
            let bytes = file.metadata()?.len();
            Ok((Arc::new(file), bytes))
        };
        let (file, bytes) = open().map_err(|source| RecordingError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(StreamFile {
            path: path.to_owned(),
            kind,
            file,
            bytes,
        })
    }

    /// Length of the file, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All segments in the file's order, and between them what is damaged.
    #[must_use]
    pub fn segments(&self) -> SegmentIter {
        SegmentIter {
            file: self.clone(),
            offset: 0,
        }
    }

    /// All headers, without the payloads: one small read a segment.
    #[must_use]
    pub fn index(&self) -> Index {
        let mut index = Index::default();
        let mut offset = 0;
        while offset < self.bytes {
            match self.header_at(offset) {
                Ok((header, _)) => {
                    index.entries.push(SegmentEntry { offset, header });
                    offset += header.segment_bytes();
                }
                Err(reason) => {
                    let damage = self.damage(offset, reason);
                    offset += damage.skipped_bytes;
                    index.damage.push(damage);
                }
            }
        }
        index
    }

    /// The segment at `offset` (of a [`SegmentEntry`]).
    ///
    /// # Errors
    /// [`Damage`] where there is none, or it is damaged.
    pub fn read_at(&self, offset: u64) -> Result<Segment, Damage> {
        self.try_read_at(offset).map_err(|reason| self.damage(offset, reason))
    }

    fn try_read_at(&self, offset: u64) -> Result<Segment, String> {
        let (header, crc) = self.header_at(offset)?;
        let mut stored = vec![0; header.stored_bytes as usize];
        self.file
            .read_exact_at(&mut stored, offset + HEADER_BYTES as u64)
            .map_err(|error| error.to_string())?;
        segment::decode_payload(header, crc, &stored).map_err(str::to_owned)
    }

    /// A header, of a segment that lies whole in the file.
    fn header_at(&self, offset: u64) -> Result<(SegmentHeader, u32), String> {
        let left = self.bytes.saturating_sub(offset);
        if left < HEADER_BYTES as u64 {
            return Err("the file ends within a header".into());
        }
        let mut bytes = [0; HEADER_BYTES];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| error.to_string())?;
        let (header, crc) = SegmentHeader::from_bytes(&bytes)?;
        if header.segment_bytes() > left {
            return Err("the file ends within a segment".into());
        }
        Ok((header, crc))
    }

    fn damage(&self, offset: u64, reason: String) -> Damage {
        let next = self.next_segment(offset + 1);
        Damage {
            path: self.path.clone(),
            offset,
            reason,
            skipped_bytes: next.saturating_sub(offset),
        }
    }

    /// Where the first good header at or after `offset` lies, or the file's end.
    fn next_segment(&self, mut offset: u64) -> u64 {
        let mut buffer = vec![0; SEARCH_BYTES];
        while offset < self.bytes {
            let length = usize::try_from(self.bytes - offset).map_or(SEARCH_BYTES, |left| left.min(SEARCH_BYTES));
            if self.file.read_exact_at(&mut buffer[..length], offset).is_err() {
                break;
            }
            let candidates = buffer[..length]
                .windows(MAGIC.len())
                .enumerate()
                .filter(|(_, window)| *window == MAGIC);
            for (at, _) in candidates {
                if self.header_at(offset + at as u64).is_ok() {
                    return offset + at as u64;
                }
            }
            // A magic may lie across the border of two reads.
            offset += (length.saturating_sub(MAGIC.len() - 1)).max(1) as u64;
        }
        self.bytes
    }
}

/// The segments of a file, see [`StreamFile::segments`].
#[derive(Debug)]
pub struct SegmentIter {
    file: StreamFile,
    offset: u64,
}

impl Iterator for SegmentIter {
    type Item = Result<Segment, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.file.bytes {
            return None;
        }
        let result = self.file.read_at(self.offset);
        self.offset += match &result {
            Ok(segment) => segment.header.segment_bytes(),
            Err(damage) => damage.skipped_bytes.max(1),
        };
        Some(result)
    }
}
