//! Frames of stacks, as definitions tell them.

/// Module of what a JVM compiled.
pub(super) const JAVA: &str = "[java]";
/// Module of the kernel's own code.
const KERNEL: &str = "[kernel]";

/// A frame; or a mark where nothing is known but a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    pub kernel: bool,
    pub function: String,
    pub module: String,
    pub build_id: String,
    pub offset: u64,
}

impl Frame {
    /// A mark in place of a frame.
    pub fn bare(mark: &str) -> Frame {
        Frame {
            module: mark.to_owned(),
            ..Frame::default()
        }
    }

    /// Of the kernel's own code; without a name where none is known.
    pub fn of_kernel(function: Option<String>) -> Frame {
        Frame {
            kernel: true,
            function: function.unwrap_or_default(),
            ..Frame::bare(KERNEL)
        }
    }
}
