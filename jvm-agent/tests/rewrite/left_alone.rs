//! The list of what is left alone, method by method, each with its reason: `tests/golden/left_alone.txt`.
//!
//! ```text
//! # jdk-17: 26000 classes, 70000000 bytes, 200000 methods
//! REASON<tab>CLASS.METHOD DESCRIPTOR
//! ```
//! A list is that of the very classes that its first line counts: of another release it is not compared, which is said. What holds of all is that no more than one in a thousand is on it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use plumb_agent::rewrite::Reason;

/// Of so many methods with a body one may be left alone.
const ONE_IN: usize = 1000;

/// The classes of one origin.
#[derive(Default)]
pub struct Origin {
    classes: usize,
    bytes: usize,
    /// Methods with a body.
    methods: usize,
    rows: BTreeSet<String>,
}

impl Origin {
    /// A class was looked at, so many of whose methods got probes.
    pub fn add_class(&mut self, bytes: usize, probed: usize) {
        self.classes += 1;
        self.bytes += bytes;
        self.methods += probed;
    }

    /// A method got none. What has no body cannot have any, and is not on the list.
    pub fn add_method(&mut self, class: &str, name: &str, descriptor: &str, reason: &Reason) {
        if !matches!(reason, Reason::Abstract | Reason::Native) {
            self.methods += 1;
            let key = reason.key();
            self.rows.insert(format!("{key}\t{class}.{name} {descriptor}"));
        }
    }

    fn head(&self, name: &str) -> String {
        let Origin {
            classes,
            bytes,
            methods,
            ..
        } = self;
        format!("# {name}: {classes} classes, {bytes} bytes, {methods} methods")
    }
}

/// All origins, by name.
#[derive(Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Whether something of this origin was looked at.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The origin of this name.
    pub fn of(&mut self, name: &str) -> &mut Origin {
        self.0.entry(name.to_owned()).or_default()
    }

    /// Holds them to the list, or writes it anew where `PLUMB_BLESS` is set.
    pub fn check(&self) {
        for (name, origin) in &self.0 {
            let (left, all) = (origin.rows.len(), origin.methods);
            println!("{name}: {left} of {all} methods with a body are left alone");
            assert!(
                left * ONE_IN <= all,
                "{name}: {left} of {all} are left alone: {:#?}",
                origin.rows
            );
        }
        if env::var_os("PLUMB_BLESS").is_some() {
            fs::write(golden(), self.text()).expect("the list is written");
        }
        let listed = fs::read_to_string(golden()).expect("the list");
        let listed = parse(&listed);
        for (name, origin) in &self.0 {
            let head = origin.head(name);
            match listed.get(head.as_str()) {
                Some(rows) => {
                    let found: BTreeSet<&str> = origin.rows.iter().map(String::as_str).collect();
                    assert_eq!(&found, rows, "{name}; PLUMB_BLESS=1 makes this the expectation");
                }
                None => println!("the list has no section \"{head}\": that of another release is not compared"),
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, origin) in &self.0 {
            writeln!(text, "{}", origin.head(name)).expect("text grows");
            for row in &origin.rows {
                writeln!(text, "{row}").expect("text grows");
            }
        }
        text
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/left_alone.txt")
}

/// Rows by the first line of their section.
fn parse(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut sections: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut head = "";
    for line in text.lines() {
        if line.starts_with('#') {
            head = line;
            sections.entry(head).or_default();
        } else {
            sections.entry(head).or_default().insert(line);
        }
    }
    sections
}
