//! From the names on a command line to [`Rules`]: files and presets, what they use, and how they combine.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    Diagnostic, Diagnostics, Group, Place, Rules, Source,
    document::{self, Document, JvmSettings},
    matcher, presets, trigger,
};

/// The longest rule file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How many files and presets may take part.
const FILES_MAX: usize = 64;

/// Reads rule files and presets, as the options `-f` name them, with all that they use.
///
/// A name of letters and digits is a preset's (see [`crate::preset_names`]); with a `/` or `.toml` it is a file's. No name at all gives
/// rules that want nothing.
///
/// # Errors
/// Every mistake in any of the files, each with its line and column.
pub fn load(args: &[String]) -> Result<Rules, Diagnostics> {
    let mut loader = Loader::default();
    for arg in args {
        loader.load(arg, None, None);
    }
    let Loader { read, mistakes, .. } = loader;
    if !mistakes.is_empty() {
        return Err(Diagnostics::sorted(mistakes));
    }
    let mut rules = Rules::default();
    let mut jvm = JvmSettings::default();
    // Whatever a file uses was read before it, and an earlier argument before a later one.
    for (source, document) in read.into_iter().rev() {
        // What no nearer file said is taken from a farther one.
        jvm = jvm.with(document.jvm, Option::or);
        combine(&mut rules, source, document);
    }
    rules.jvm = jvm.map(|setting| setting.unwrap_or(false));
    check_minimums(&rules)?;
    check_size(&rules)?;
    let mistakes = trigger::mistakes(&rules);
    if mistakes.is_empty() {
        Ok(rules)
    } else {
        Err(Diagnostics::sorted(mistakes))
    }
}

/// What a file or preset is known by.
#[derive(Clone, PartialEq, Eq)]
enum Id {
    Preset(String),
    File(PathBuf),
}

#[derive(Default)]
struct Loader {
    /// In the order in which they were finished: a file after all that it uses.
    read: Vec<(Source, Document)>,
    finished: Vec<Id>,
    /// The files that are being read, each used by the one before.
    open: Vec<Id>,
    mistakes: Vec<Diagnostic>,
}

impl Loader {
    /// Reads `name`, which stands at `place` of a file in the directory `base`, or on the command line.
    fn load(&mut self, name: &str, place: Option<&Place>, base: Option<&Path>) {
        match self.find(name, place, base) {
            Ok(Some((id, source))) => self.read(id, source),
            Ok(None) => {}
            Err((message, help)) => self.mistakes.push(Diagnostic {
                place: place.cloned(),
                message,
                help,
            }),
        }
    }

    /// The text behind a name; `None` if it was read already.
    fn find(&self, name: &str, place: Option<&Place>, base: Option<&Path>) -> Result<Option<(Id, Source)>, Failure> {
        let is_file = name.contains('/') || name.ends_with(".toml");
        let id = if is_file {
            file_id(name, place, base)?
        } else {
            Id::Preset(name.to_owned())
        };
        if self.open.contains(&id) {
            return Err((
                format!("`{name}` uses itself, by way of others or directly"),
                "remove one `use` of the circle".into(),
            ));
        }
        if self.finished.contains(&id) {
            return Ok(None);
        }
        if self.finished.len() + self.open.len() >= FILES_MAX {
            return Err((
                format!("more than {FILES_MAX} files and presets"),
                "put rules together in fewer files".into(),
            ));
        }
        let source = match &id {
            Id::Preset(name) => preset_source(name)?,
            Id::File(path) => Source {
                name: shown_name(name, base),
                text: read_file(&shown_name(name, base), path)?,
            },
        };
        Ok(Some((id, source)))
    }

    fn read(&mut self, id: Id, source: Source) {
        let (document, mut mistakes) = document::read(&source.name, &source.text);
        self.mistakes.append(&mut mistakes);
        let base = match &id {
            Id::Preset(_) => None,
            Id::File(_) => Some(Path::new(&source.name).parent().unwrap_or(Path::new("")).to_owned()),
        };
        self.open.push(id.clone());
        for (name, place) in &document.uses {
            self.load(name, Some(place), base.as_deref());
        }
        self.open.pop();
        self.finished.push(id);
        self.read.push((source, document));
    }
}

/// One line of cause and one of remedy.
type Failure = (String, String);

fn preset_source(name: &str) -> Result<Source, Failure> {
    let unknown = || {
        let known = presets::preset_names().collect::<Vec<_>>().join(", ");
        (
            format!("no preset `{}`", name.escape_debug()),
            format!("presets are {known}; write ./{name} for a file"),
        )
    };
    let text = presets::preset(name).ok_or_else(unknown)?;
    Ok(Source {
        name: presets::source_name(name),
        text: text.to_owned(),
    })
}

fn file_id(name: &str, place: Option<&Place>, base: Option<&Path>) -> Result<Id, Failure> {
    if place.is_some() && base.is_none() {
        return Err((format!("`{name}`: a preset uses presets only"), "name a preset".into()));
    }
    let path = base.unwrap_or(Path::new("")).join(name);
    path.canonicalize()
        .map(Id::File)
        .map_err(|error| unreadable(&shown_name(name, base), &error))
}

/// The name of a file as the user can find it again.
fn shown_name(name: &str, base: Option<&Path>) -> String {
    let name = Path::new(name.strip_prefix("./").filter(|_| base.is_some()).unwrap_or(name));
    base.unwrap_or(Path::new("")).join(name).to_string_lossy().into_owned()
}

fn read_file(name: &str, path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(name, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err((
            format!("{name} is longer than 1 MiB"),
            "a rule file is short: is it the right file?".into(),
        ));
    }
    let not_text = |error: std::string::FromUtf8Error| {
        let at = error.utf8_error().valid_up_to();
        (
            format!("{name}: byte {at} is not UTF-8"),
            "a rule file is text in UTF-8: is it the right file?".into(),
        )
    };
    String::from_utf8(bytes).map_err(not_text)
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => "check the name; a path is relative to the file that uses it",
        _ => "check the file and its permissions",
    };
    (format!("cannot read {name}: {error}"), help.to_owned())
}

/// Adds what a farther file says.
fn combine(rules: &mut Rules, source: Source, document: Document) {
    let Document {
        uses: _,
        groups,
        methods,
        excludes,
        jvm: _,
        kernel,
        stacks,
        triggers,
    } = document;
    rules.sources.push(source);
    groups.into_iter().for_each(|group| add_group(&mut rules.groups, group));
    rules.methods.extend(methods);
    rules.excludes.extend(excludes);
    rules.stacks.extend(stacks);
    rules.triggers.extend(triggers);
    rules.kernel = rules.kernel.take().or(kernel);
}

/// A group of the same name in a farther file adds its threads.
fn add_group(groups: &mut Vec<Group>, group: Group) {
    match groups.iter_mut().find(|known| known.name == group.name) {
        Some(known) => known.threads.extend(group.threads),
        None => groups.push(group),
    }
}

/// Refuses more lengths than the agent tells apart.
fn check_minimums(rules: &Rules) -> Result<(), Diagnostics> {
    let mut seen: Vec<u64> = Vec::new();
    for rule in rules.methods.iter().filter(|rule| rule.min_ns > 0) {
        if !seen.contains(&rule.min_ns) {
            seen.push(rule.min_ns);
        }
        if seen.len() > matcher::MINIMUMS_MAX {
            return Err(Diagnostics(vec![Diagnostic {
                place: Some(rule.place.clone()),
                message: format!("more than {} different lengths `min`", matcher::MINIMUMS_MAX),
                help: "use one of those above".to_owned(),
            }]));
        }
    }
    Ok(())
}

/// Refuses more rules than the agent reads.
fn check_size(rules: &Rules) -> Result<(), Diagnostics> {
    if rules.compile().len() <= matcher::BYTES_MAX && rules.units().len() < usize::from(u16::MAX) {
        return Ok(());
    }
    let message = format!("{} method rules are more than the agent reads", rules.methods.len());
    let help = "put several in one pattern with * and **".to_owned();
    Err(Diagnostics(vec![Diagnostic {
        place: None,
        message,
        help,
    }]))
}
