//! Names for places in mapped code: functions of files, and of what a runtime compiled.

use super::elf::Code;
use super::frame::{Frame, JAVA};
use super::maps::Mapping;
use super::perf_map::PerfMap;
use super::process::{Place, Places};
use object::read::ReadCache;
use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes of all symbols, about, that are kept in memory.
const WEIGHT_MAX: usize = 128 << 20;
/// Bytes of the symbols of one file, about: those of one that has more are not kept, or everything would be read again and again.
const WEIGHT_OF_ONE_MAX: usize = WEIGHT_MAX / 4;
/// Files that are kept in memory.
const KEPT_MAX: usize = 1024;
/// Between two looks at what a runtime compiled.
const LOOK: Duration = Duration::from_millis(500);

/// Which file it is: device as the mapping has it, inode, path. Two containers may have the same path.
type Key = (String, u64, String);

/// What a runtime compiled, and when that was looked at.
struct Compiled {
    map: PerfMap,
    looked: Instant,
}

/// What is known of files.
#[derive(Default)]
pub(super) struct Files {
    files: HashMap<Key, Rc<Code>>,
    /// By process and its start.
    compiled: HashMap<(u32, u64), Compiled>,
    weight: usize,
}

impl Files {
    /// The frames of a stack, innermost first.
    pub fn frames(&mut self, stack: &Places) -> Vec<Frame> {
        let mut frames: Vec<Frame> = Vec::with_capacity(stack.places.len() + 1);
        for place in &stack.places {
            let frame = match place.mapping.inode {
                0 => self.anonymous(stack, place),
                _ => self.of_file(stack.pid, place),
            };
            // Of compiled code without a map nothing is known but that it is there.
            if frame.function.is_empty() && frame.module == JAVA && frames.last() == Some(&frame) {
                continue;
            }
            frames.push(frame);
        }
        frames.extend(stack.end.map(Frame::bare));
        frames
    }

    fn of_file(&mut self, pid: u32, Place { address, mapping }: &Place) -> Frame {
        let code = self.code(pid, mapping);
        let place = mapping.offset.saturating_add(address - mapping.start);
        let place = code.address_of(place).unwrap_or(place);
        let (offset, function) = code.function(place).unwrap_or((place, String::new()));
        Frame {
            kernel: false,
            function,
            module: mapping.file_name().to_owned(),
            build_id: code.build_id.clone(),
            offset,
        }
    }

    /// Code that no file has: a runtime's, or the kernel's own in each process.
    fn anonymous(&mut self, stack: &Places, place: &Place) -> Frame {
        let module = match (place.mapping.path.as_str(), stack.is_jvm) {
            ("", true) => JAVA,
            ("", false) => "[anonymous]",
            (path, _) => path,
        };
        let function = match place.mapping.path.as_str() {
            "" => self.compiled(stack, place.address),
            _ => None,
        };
        Frame {
            function: function.unwrap_or_default(),
            module: module.to_owned(),
            ..Frame::default()
        }
    }

    fn compiled(&mut self, stack: &Places, address: u64) -> Option<String> {
        self.make_room();
        let key = (stack.pid, stack.start_ticks);
        let mut is_new = false;
        let compiled = self.compiled.entry(key).or_insert_with(|| {
            is_new = true;
            Compiled {
                map: PerfMap::default(),
                looked: Instant::now(),
            }
        });
        let found = compiled.map.function(address);
        if found.is_none() && (is_new || compiled.looked.elapsed() >= LOOK) {
            compiled.looked = Instant::now();
            let before = compiled.map.weight();
            compiled.map.refresh(stack.pid);
            if compiled.map.weight() > WEIGHT_OF_ONE_MAX {
                compiled.map.forget_functions();
            }
            self.weight += compiled.map.weight().saturating_sub(before);
            return compiled.map.function(address);
        }
        found
    }

    fn code(&mut self, pid: u32, mapping: &Mapping) -> Rc<Code> {
        let key = (mapping.device.clone(), mapping.inode, mapping.path.clone());
        if let Some(code) = self.files.get(&key) {
            return Rc::clone(code);
        }
        let mut code = read(pid, mapping).unwrap_or_default();
        if code.weight() > WEIGHT_OF_ONE_MAX {
            code.forget_functions();
        }
        let code = Rc::new(code);
        self.make_room();
        self.weight += code.weight();
        self.files.insert(key, Rc::clone(&code));
        code
    }

    /// Forgets everything where it is too much: what is still needed is read again.
    fn make_room(&mut self) {
        if self.weight > WEIGHT_MAX || self.compiled.len() > KEPT_MAX || self.files.len() > KEPT_MAX {
            *self = Files::default();
        }
    }
}

/// The file of a mapping, as its process sees it, if that is still there.
fn read(pid: u32, mapping: &Mapping) -> Option<Code> {
    // From the root of the process's own file system: it may be in a container. Some file systems tell maps another device than who opens the file.
    let path = format!("/proc/{pid}/root/{}", mapping.path.trim_start_matches('/'));
    let own = open(Path::new(&path)).filter(|(_, about)| about.ino() == mapping.inode);
    // Of a process that has ended, there is the file, if it was not in a container.
    let ours = || {
        open(Path::new(&mapping.path))
            .filter(|(_, about)| about.ino() == mapping.inode && device(about.dev()) == mapping.device)
    };
    let (file, _) = own.or_else(ours)?;
    Code::read(&ReadCache::new(file))
}

/// As it stands in maps.
fn device(number: u64) -> String {
    format!("{:02x}:{:02x}", libc::major(number), libc::minor(number))
}

fn open(path: &Path) -> Option<(File, Metadata)> {
    // Not to be kept waiting by what looks like a file and is a pipe.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let about = file.metadata().ok()?;
    about.is_file().then_some((file, about))
}

#[cfg(test)]
mod tests {
    use super::super::process::Processes;
    use super::*;

    #[test]
    fn a_function_of_this_program_has_its_name() {
        let here = a_function_of_this_program_has_its_name as fn() as usize as u64;
        // As if it had been called from itself, by who was called from nowhere.
        let places = Processes::default().places(std::process::id(), &[here, here + 1, 0x10]);
        let frames = Files::default().frames(&places);
        let [first, second, mark] = &frames[..] else {
            panic!("{frames:?}")
        };
        assert!(first.function.contains("a_function_of_this_program"), "{first:?}");
        assert!(first.module.contains("plumb_collector"), "{first:?}");
        assert_eq!((second, mark), (first, &Frame::bare("[unknown]")));
    }

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pipe");
        let name = std::ffi::CString::new(path.to_string_lossy().as_bytes()).expect("no NUL");
        #[expect(unsafe_code, reason = "mkfifo")]
        // SAFETY: a string with its NUL.
        let made = unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
        assert_eq!(made, 0);
        assert!(open(&path).is_none());
    }
}
