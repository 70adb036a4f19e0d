//! What can go wrong, with what to do about it.

use std::path::PathBuf;

/// Why a recording cannot begin or go on. Displays as two lines: the cause, then the remedy.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The kernel refused a BPF program, a map or an attachment.
    #[error(
        "the kernel refused {what}: {cause}\nrun as root on a kernel 5.8 or later with BTF (`plumb doctor` says what is missing), or record with --no-kernel"
    )]
    Bpf {
        /// What it refused.
        what: String,
        /// The kernel's or the loader's words.
        cause: String,
    },
    /// The directory of the recording cannot be made or written.
    #[error("{}: {cause}\nname a new directory in one that is there and that you may write into", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The recording cannot be made.
    #[error(transparent)]
    Recording(plumb_trace::recording::RecordingError),
    /// A file of the recording cannot be written.
    #[error("{}: {cause}\nfree space there, or record into another file system with -o", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A process is not there, or not the one that was meant.
    #[error("process {pid}: {cause}\nlook for its pid again: it has ended, or is in another pid namespace")]
    Process {
        /// Its pid.
        pid: u32,
        /// Why.
        cause: String,
    },
    /// A process cannot be asked to save.
    #[error(
        "process {pid} is no flight recorder of ours: {cause}\ngive the pid that `plumb record --flight` says at its begin, as the same user"
    )]
    NoFlight {
        /// Its pid.
        pid: u32,
        /// Why.
        cause: String,
    },
    /// What came as a JVM's arena is none.
    #[error(
        "the arena of JVM {pid} is unusable: {cause}\ndetach and attach again with the agent of this version of plumb"
    )]
    Arena {
        /// The JVM.
        pid: u32,
        /// What is wrong with it.
        cause: String,
    },
    /// The machine refuses something that a recorder cannot do without.
    #[error("{what}: {cause}\nraise the limits of this process (memory, threads, open files) and try again")]
    System {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        cause: std::io::Error,
    },
}
