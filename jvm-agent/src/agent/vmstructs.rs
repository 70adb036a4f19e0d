//! Linux thread ids of Java threads that were there before us.
//!
//! No API gives them. HotSpot publishes the layout of its own structures for debuggers (`gHotSpotVMStructs`); with it:
//! `java.lang.Thread.eetop` → `JavaThread` → `_osthread` → `_thread_id`. The thread may end meanwhile and its memory may be gone: everything is read
//! through /proc/self/mem, which fails where a pointer would crash. Any doubt gives no id.

#![allow(
    unsafe_code,
    reason = "looks up symbols of libjvm and reads the table that they point to"
)]

use std::ffi::{CStr, OsStr, c_void};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use libloading::os::unix;

/// Largest offset in a structure that is believed, bytes.
const OFFSET_MAX: u64 = 8192;
/// Most rows of the table that are looked at.
const ROWS_MAX: u64 = 20_000;

/// Where the thread id stands.
pub struct VmStructs {
    memory: File,
    /// Offset of `_osthread` in JavaThread.
    osthread: u64,
    /// Offset of `_thread_id` in OSThread.
    thread_id: u64,
}

impl VmStructs {
    /// Reads libjvm's table. `in_libjvm` is any address in that library.
    pub fn find(in_libjvm: *const c_void) -> Option<VmStructs> {
        let table = Table::find(in_libjvm)?;
        let osthread = table
            .offset("Thread", "_osthread")
            .or_else(|| table.offset("JavaThread", "_osthread"))?;
        let thread_id = table.offset("OSThread", "_thread_id")?;
        Some(VmStructs {
            memory: table.memory,
            osthread,
            thread_id,
        })
    }

    /// The Linux thread id of the thread whose field `eetop` has this value.
    pub fn tid(&self, eetop: i64) -> Option<u32> {
        let java_thread = u64::try_from(eetop).ok().filter(|&address| address != 0)?;
        let os_thread = read_u64(&self.memory, java_thread.checked_add(self.osthread)?)?;
        let tid = read_u64(&self.memory, os_thread.checked_add(self.thread_id)?)? as u32;
        let exists = tid != 0 && Path::new(&format!("/proc/self/task/{tid}")).exists();
        exists.then_some(tid)
    }
}

/// `gHotSpotVMStructs`: an array of rows, each with the names of a type and a field and the field's offset.
struct Table {
    memory: File,
    rows: u64,
    stride: u64,
    type_name: u64,
    field_name: u64,
    offset: u64,
}

impl Table {
    fn find(in_libjvm: *const c_void) -> Option<Table> {
        let library = Library::of(in_libjvm)?;
        let memory = File::open("/proc/self/mem").ok()?;
        let number = |name: &CStr| read_u64(&memory, library.symbol(name)?);
        let within_row = |name: &CStr| number(name).filter(|&offset| offset < OFFSET_MAX);
        Some(Table {
            rows: number(c"gHotSpotVMStructs")?,
            stride: within_row(c"gHotSpotVMStructEntryArrayStride").filter(|&stride| stride > 0)?,
            type_name: within_row(c"gHotSpotVMStructEntryTypeNameOffset")?,
            field_name: within_row(c"gHotSpotVMStructEntryFieldNameOffset")?,
            offset: within_row(c"gHotSpotVMStructEntryOffsetOffset")?,
            memory,
        })
    }

    fn offset(&self, type_name: &str, field_name: &str) -> Option<u64> {
        for row in 0..ROWS_MAX {
            let at = self.rows.checked_add(row * self.stride)?;
            let name = read_u64(&self.memory, at + self.type_name)?;
            if name == 0 {
                return None;
            }
            if self.is_text(name, type_name) && self.is_text(read_u64(&self.memory, at + self.field_name)?, field_name)
            {
                return read_u64(&self.memory, at + self.offset).filter(|&offset| offset < OFFSET_MAX);
            }
        }
        None
    }

    fn is_text(&self, address: u64, text: &str) -> bool {
        let mut bytes = vec![0; text.len() + 1];
        let read = self.memory.read_exact_at(&mut bytes, address);
        read.is_ok() && bytes.split_last() == Some((&0, text.as_bytes()))
    }
}

fn read_u64(memory: &File, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// A library that is mapped already. The JVM holds it itself.
pub struct Library(unix::Library);

impl Library {
    /// The library that this address lies in.
    pub fn of(address: *const c_void) -> Option<Library> {
        let mut info = libc::Dl_info {
            dli_fname: std::ptr::null(),
            dli_fbase: std::ptr::null_mut(),
            dli_sname: std::ptr::null(),
            dli_saddr: std::ptr::null_mut(),
        };
        // SAFETY: `info` is ours; any address may be asked for.
        if unsafe { libc::dladdr(address, &raw mut info) } == 0 || info.dli_fname.is_null() {
            return None;
        }
        // SAFETY: the C string that the dynamic loader keeps as long as the library is mapped.
        let name = unsafe { CStr::from_ptr(info.dli_fname) };
        let name = OsStr::from_bytes(name.to_bytes());
        // SAFETY: nothing is loaded that is not there, so that no initialiser runs.
        let library = unsafe { unix::Library::open(Some(name), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
        library.ok().map(Library)
    }

    /// Where what it exports under this name stands.
    pub fn symbol(&self, name: &CStr) -> Option<u64> {
        // SAFETY: the symbol is taken for an address, whatever it is, and not for what stands there.
        let symbol = unsafe { self.0.get::<*mut c_void>(name.to_bytes_with_nul()) };
        let address = symbol.ok()?.as_raw_ptr();
        (!address.is_null()).then_some(address as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_exports_is_found_where_it_stands() {
        let libc = Library::of(libc::getpid as *const c_void).expect("the C library");
        assert_eq!(libc.symbol(c"getpid"), Some(libc::getpid as *const () as u64));
        assert_eq!(libc.symbol(c"gHotSpotVMStructs"), None);
        assert!(Library::of(std::ptr::null()).is_none());
    }
}
