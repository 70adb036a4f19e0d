//! Names of block devices.

use crate::proc;
use plumb_trace::definition::Definition;
use std::fs;

/// Most devices that are named.
const DEVICES_MAX: usize = 4096;

/// All whole block devices that there are now.
pub(crate) fn devices() -> Vec<Definition> {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let device = |entry: fs::DirEntry| {
        let number = proc::read_trimmed(entry.path().join("dev"))?;
        Some(Definition::Device {
            number: number_of(&number)?,
            name: entry.file_name().to_string_lossy().into_owned(),
        })
    };
    entries.flatten().filter_map(device).take(DEVICES_MAX).collect()
}

/// `major:minor` as records have it.
fn number_of(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(number_of("254:3"), Some(254 << 20 | 3));
        for wrong in ["", "254", "4096:0", "1:1048576", "-1:0"] {
            assert_eq!(number_of(wrong), None, "{wrong}");
        }
    }
}
