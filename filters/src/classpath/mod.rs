//! The classes of a class path: jars, wars, directories; for `plumb rules check --classpath`.

mod class_file;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The longest class file that is looked at, in bytes; HotSpot's own are below 1 MiB.
const CLASS_BYTES_MAX: u64 = 16 << 20;
/// How many directories deep a class path is searched.
const DEPTH_MAX: usize = 64;

/// A class and its methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassMethods {
    /// The internal name, `org/apache/catalina/core/StandardHostValve`.
    pub name: String,
    /// Internal names of its superclass and interfaces.
    pub supertypes: Vec<String>,
    /// Internal names of its annotations that are visible at run time.
    pub annotations: Vec<String>,
    /// In the order of the class file.
    pub methods: Vec<ClassMethod>,
}

/// A method of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassMethod {
    /// Its name, `<init>` for constructors.
    pub name: String,
    /// As the JVM writes it, `(J)V`.
    pub descriptor: String,
    /// The length of its code, in bytes; `None` for abstract and native methods, which get no probe.
    pub code_bytes: Option<u32>,
    /// Internal names of its annotations that are visible at run time.
    pub annotations: Vec<String>,
}

impl ClassMethods {
    /// Reads a class file.
    ///
    /// # Errors
    /// Names the offset and the reason if the bytes are no class file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        class_file::parse(bytes)
    }
}

/// The classes of a class path, each name once: the first wins, as in the JVM.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The classes found.
    pub classes: Vec<ClassMethods>,
    /// What could not be read, one line each; the rest was.
    pub skipped: Vec<String>,
}

/// Lists the classes of a class path: entries joined by `:`, each a jar or war, a class file, a directory (searched through, its jars
/// too) or `DIR/*` (the same).
///
/// # Errors
/// If an entry cannot be read at all; the message names it.
pub fn list(class_path: &str) -> io::Result<Listing> {
    let mut walk = Walk::default();
    for entry in class_path.split(':').filter(|entry| !entry.is_empty()) {
        let path = Path::new(entry.strip_suffix("/*").unwrap_or(entry));
        walk.entry(path, 0)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    Ok(walk.listing)
}

#[derive(Default)]
struct Walk {
    listing: Listing,
    names: HashSet<String>,
}

impl Walk {
    fn entry(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        if fs::metadata(path)?.is_dir() {
            return self.directory(path, depth);
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("class") => self.class_file(path),
            _ => self.archive(path),
        }
    }

    fn directory(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let mut paths = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        for path in paths.iter().filter(|path| depth < DEPTH_MAX && is_looked_into(path)) {
            if let Err(error) = self.entry(path, depth + 1) {
                self.skip(path, "", &error.to_string());
            }
        }
        Ok(())
    }

    fn class_file(&mut self, path: &Path) -> io::Result<()> {
        let bytes = read_bounded(File::open(path)?)?;
        self.class(path, "", &bytes);
        Ok(())
    }

    fn archive(&mut self, path: &Path) -> io::Result<()> {
        let mut archive = zip::ZipArchive::new(io::BufReader::new(File::open(path)?))?;
        for index in 0..archive.len() {
            let entry = match archive.by_index(index) {
                Ok(entry) if !is_class(entry.name()) => continue,
                Ok(entry) => entry,
                Err(error) => {
                    self.skip(path, &format!("entry {index}"), &error.to_string());
                    continue;
                }
            };
            let name = entry.name().to_owned();
            match read_bounded(entry) {
                Ok(bytes) => self.class(path, &name, &bytes),
                Err(error) => self.skip(path, &name, &error.to_string()),
            }
        }
        Ok(())
    }

    fn class(&mut self, path: &Path, entry: &str, bytes: &[u8]) {
        match class_file::parse(bytes) {
            Ok(class) if self.names.insert(class.name.clone()) => self.listing.classes.push(class),
            Ok(_) => {}
            Err(reason) => self.skip(path, entry, &reason),
        }
    }

    fn skip(&mut self, path: &Path, entry: &str, reason: &str) {
        let separator = if entry.is_empty() { "" } else { "!" };
        self.listing.skipped.push(format!(
            "{}{separator}{}: {reason}",
            path.display(),
            entry.escape_debug()
        ));
    }
}

/// Directories, but no links to them (they may form circles), and files that can hold classes.
fn is_looked_into(path: &Path) -> bool {
    let is_link = path.is_symlink();
    let extension = path.extension().and_then(|extension| extension.to_str());
    (path.is_dir() && !is_link) || (path.is_file() && matches!(extension, Some("class" | "jar" | "war")))
}

/// Classes, but not a multi-release jar's further versions of them, nor descriptions of modules and packages.
fn is_class(entry: &str) -> bool {
    let file = entry.rsplit('/').next().unwrap_or(entry);
    entry.ends_with(".class")
        && !entry.starts_with("META-INF/")
        && !matches!(file, "module-info.class" | "package-info.class")
}

fn read_bounded(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(CLASS_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > CLASS_BYTES_MAX {
        true => Err(io::Error::other("longer than 16 MiB")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{class_file::tests::sample_class, *};

    #[test]
    fn jars_and_directories_are_searched_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("com")).unwrap();
        fs::write(dir.path().join("com/Direct.class"), sample_class("com/Direct")).unwrap();
        fs::write(dir.path().join("broken.jar"), b"no zip").unwrap();
        let mut jar = zip::ZipWriter::new(File::create(dir.path().join("a.jar")).unwrap());
        let entries = [
            ("com/Jarred.class", sample_class("com/Jarred")),
            ("com/Direct.class", sample_class("com/Direct")),
            ("com/Bad.class", b"\xca\xfe\xba\xbe\0".to_vec()),
            ("META-INF/versions/9/com/Jarred.class", sample_class("com/Jarred9")),
            ("readme.txt", b"text".to_vec()),
        ];
        for (name, bytes) in entries {
            jar.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            jar.write_all(&bytes).unwrap();
        }
        jar.finish().unwrap();

        let listing = list(&format!("{}/*", dir.path().display())).unwrap();
        let names: Vec<_> = listing.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!(names, ["com/Jarred", "com/Direct"]);
        assert_eq!(listing.skipped.len(), 2, "{:?}", listing.skipped);
        assert!(
            listing.skipped[0].contains("a.jar!com/Bad.class"),
            "{:?}",
            listing.skipped
        );
    }

    #[test]
    fn an_entry_that_is_not_there_is_an_error_that_names_it() {
        let error = list("/nowhere/at-all.jar").unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/at-all.jar: "), "{error}");
    }
}
