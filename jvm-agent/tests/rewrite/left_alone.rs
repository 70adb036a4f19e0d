//! The list of what is left alone, method by method, each with its reason: `tests/golden/left_alone.txt`.
//!
//! ```text
//! # jdk 17.0.15+6, 70 modules: 26000 classes, 70000000 bytes, 200000 methods
//! REASON<tab>CLASS.METHOD DESCRIPTOR
//! ```
//! Up to its colon, the first line says where classes come from, in the words of those who made them. Of the same origin all the rest must be the same, counts included; another release has no
//! section and is not compared, which is said. What holds of all is that no more than one in a thousand is on the list.

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
            match listed.get(name.as_str()) {
                Some(section) => {
                    let head = origin.head(name);
                    let rows = origin.rows.iter().map(String::as_str).collect();
                    let found = Section { head: &head, rows };
                    assert_eq!(&found, section, "{name}; PLUMB_BLESS=1 makes this the expectation");
                }
                None => println!("the list has no section of {name}: another release is not compared"),
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

/// What is listed of one origin.
#[derive(Debug, Default, PartialEq, Eq)]
struct Section<'t> {
    /// Its first line.
    head: &'t str,
    rows: BTreeSet<&'t str>,
}

/// Sections by their origins.
fn parse(text: &str) -> BTreeMap<&str, Section<'_>> {
    let mut sections: BTreeMap<&str, Section<'_>> = BTreeMap::new();
    let mut origin = "";
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(named) => {
                origin = named.split_once(':').map_or(named, |(origin, _)| origin);
                sections.entry(origin).or_default().head = line;
            }
            None => drop(sections.entry(origin).or_default().rows.insert(line)),
        }
    }
    sections
}

#[test]
fn sections_are_known_by_their_origins_alone() {
    let text = "# jars: 2 classes\nreason\ta.B.c ()V\n# jdk 17.0.1+2, 3 modules: 4 classes\n";
    let sections = parse(text);
    let heads: Vec<(&str, &str)> = sections
        .iter()
        .map(|(origin, section)| (*origin, section.head))
        .collect();
    assert_eq!(
        heads,
        [
            ("jars", "# jars: 2 classes"),
            ("jdk 17.0.1+2, 3 modules", "# jdk 17.0.1+2, 3 modules: 4 classes")
        ]
    );
    assert_eq!(sections["jars"].rows, BTreeSet::from(["reason\ta.B.c ()V"]));
}
