//! Memory that somebody else writes at the same time: the kernel's rings, a JVM's arena. All of the crate's pointer arithmetic is here, and all of it is checked.

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// A shared, writable mapping. Its content is not trusted, and read only through atomics or by copying bytes out.
pub(crate) struct SharedMemory {
    map: MmapRaw,
}

impl SharedMemory {
    /// Maps the first `bytes` of a file.
    ///
    /// The file must not shrink while it is mapped (BPF maps never do, arenas are sealed): access behind its end is a SIGBUS.
    pub fn map(fd: impl AsFd, bytes: usize) -> io::Result<SharedMemory> {
        let map = MmapOptions::new().len(bytes).map_raw(fd.as_fd().as_raw_fd())?;
        Ok(SharedMemory { map })
    }

    /// Where `size` bytes at `at` lie, if they lie in the mapping and are aligned to their size's need.
    fn place(&self, at: usize, size: usize, align: usize) -> Option<*mut u8> {
        let end = at.checked_add(size)?;
        (end <= self.map.len() && at.is_multiple_of(align)).then(|| self.map.as_mut_ptr().wrapping_add(at))
    }

    /// The byte at `at`; `None` outside the mapping.
    pub fn u8_at(&self, at: usize) -> Option<&AtomicU8> {
        let place = self.place(at, 1, 1)?;
        #[expect(unsafe_code, reason = "a view into the mapping")]
        // SAFETY: `place` lies in the mapping, which lives as long as `self`; every other access to it, here or in another process, is atomic or a copy of
        // bytes whose values are not relied on.
        Some(unsafe { AtomicU8::from_ptr(place) })
    }

    /// The u32 at `at`; `None` outside the mapping or unaligned.
    pub fn u32_at(&self, at: usize) -> Option<&AtomicU32> {
        let place = self.place(at, 4, 4)?;
        #[expect(unsafe_code, reason = "a view into the mapping")]
        // SAFETY: as in `u8_at`; mappings begin at a page, so that `at` aligned is `place` aligned.
        Some(unsafe { AtomicU32::from_ptr(place.cast()) })
    }

    /// The u64 at `at`; `None` outside the mapping or unaligned.
    pub fn u64_at(&self, at: usize) -> Option<&AtomicU64> {
        let place = self.place(at, 8, 8)?;
        #[expect(unsafe_code, reason = "a view into the mapping")]
        // SAFETY: as in `u32_at`.
        Some(unsafe { AtomicU64::from_ptr(place.cast()) })
    }

    /// Appends `size` bytes at `at` to `out`; false, and nothing done, outside the mapping or where `out` would have to grow.
    ///
    /// Bytes that a writer changes meanwhile come out as any mixture: copy only what its writer has published.
    pub fn copy_out(&self, at: usize, size: usize, out: &mut Vec<u8>) -> bool {
        let Some(place) = self.place(at, size, 1) else {
            return false;
        };
        if out.capacity() - out.len() < size {
            return false;
        }
        let length = out.len();
        #[expect(unsafe_code, reason = "bulk copy out of the mapping")]
        // SAFETY: `place` is readable for `size` bytes, `out` has room for as many behind its length, and the two cannot overlap; any byte value is a valid u8.
        unsafe {
            std::ptr::copy_nonoverlapping(place, out.as_mut_ptr().add(length), size);
            out.set_len(length + size);
        }
        true
    }
}
