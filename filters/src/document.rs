//! One rule file or preset, read.

use std::collections::HashSet;

use toml::de::DeTable;

use crate::{
    Diagnostic, ExcludeRule, Group, KernelRules, MethodRule, Place, StackRule, Trigger,
    matcher::{FEATURE_NAMES, Features, Pattern},
    pattern,
    reader::{Reader, Value},
};

/// What one file says, before it is combined with others.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub uses: Vec<(String, Place)>,
    pub groups: Vec<Group>,
    pub methods: Vec<MethodRule>,
    pub excludes: Vec<ExcludeRule>,
    pub jvm: JvmSettings,
    pub kernel: Option<KernelRules>,
    pub stacks: Vec<StackRule>,
    pub triggers: Vec<Trigger>,
}

/// The table `[jvm]`; what it does not say is left to the files that this one uses.
pub(crate) type JvmSettings = Features<Option<bool>>;

/// Reads a file's text; with every mistake in it, ordered by place.
pub(crate) fn read(file: &str, text: &str) -> (Document, Vec<Diagnostic>) {
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(file, text);
    let document = reader.document(table.get_ref());
    let mut mistakes = std::mem::take(&mut reader.mistakes);
    for error in &syntax_errors {
        let offset = error.span().map_or(0, |span| span.start);
        reader.mistake(
            offset,
            one_line(error.message()),
            "see https://toml.io for how TOML is written",
        );
    }
    // What the parser made of a broken line would be told twice.
    let broken: HashSet<_> = reader.mistakes.iter().filter_map(line).collect();
    mistakes.retain(|mistake| line(mistake).is_none_or(|line| !broken.contains(&line)));
    mistakes.append(&mut reader.mistakes);
    mistakes.sort_by(|a, b| a.place.cmp(&b.place));
    (document, mistakes)
}

fn line(mistake: &Diagnostic) -> Option<u32> {
    mistake.place.as_ref().map(|place| place.line)
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

impl<'t> Reader<'t> {
    fn document(&mut self, table: &DeTable<'t>) -> Document {
        let known = ["use", "group", "method", "exclude", "jvm", "kernel", "stack", "trigger"];
        self.check_keys("a rule file", table, &known, &[]);
        let mut document = Document::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "use" => document.uses = self.uses(value),
                "group" => document.groups = self.groups(value),
                "method" => document.methods = self.methods(value),
                "exclude" => document.excludes = self.excludes(value),
                "jvm" => document.jvm = self.jvm(value),
                "kernel" => document.kernel = self.kernel(value),
                "stack" => document.stacks = self.stacks(value),
                "trigger" => document.triggers = self.triggers(value),
                _ => {}
            }
        }
        document
    }

    fn uses(&mut self, value: &Value<'t>) -> Vec<(String, Place)> {
        let names = self.strings("use", value);
        names
            .into_iter()
            .map(|(offset, name)| (name.to_owned(), self.place(offset)))
            .collect()
    }

    fn groups(&mut self, value: &Value<'t>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (offset, table) in self.tables("group", value) {
            self.check_keys("[[group]]", table, &["name", "threads"], &[]);
            let name_value = self.required("[[group]]", "name", offset, table);
            let name = name_value.and_then(|value| self.name("name", value));
            let threads = self
                .required("[[group]]", "threads", offset, table)
                .map(|value| self.threads(value));
            let (Some(name), Some(threads)) = (name, threads) else {
                continue;
            };
            if let Some(first) = groups.iter().find(|group| group.name == name) {
                let help = format!(
                    "its first stands in line {}: give that one a list of globs",
                    first.place.line
                );
                let at = name_value.map_or(offset, |value| value.span().start);
                self.mistake(at, format!("a second group `{name}`"), help);
                continue;
            }
            groups.push(Group {
                name,
                threads,
                place: self.place(offset),
            });
        }
        groups
    }

    pub(crate) fn threads(&mut self, value: &Value<'t>) -> Vec<String> {
        let globs = self.strings("threads", value);
        globs
            .into_iter()
            .filter_map(|(offset, glob)| self.thread_glob(offset, glob))
            .collect()
    }

    fn methods(&mut self, value: &Value<'t>) -> Vec<MethodRule> {
        let mut methods = Vec::new();
        for (offset, table) in self.tables("method", value) {
            self.check_keys(
                "[[method]]",
                table,
                &["match", "unit", "key", "handover", "idle", "min", "code_bytes_min"],
                &[],
            );
            let unit = table.get("unit").and_then(|value| self.name("unit", value));
            let (key, handover) = self.of_units(table, unit.is_some());
            let idle = table.get("idle").and_then(|value| self.boolean("idle", value));
            if let (Some(value), Some(true), Some(_)) = (table.get("idle"), idle, &unit) {
                let help = "a unit of work is not idle: remove one of the two";
                self.mistake(value.span().start, "`idle` together with `unit`", help);
            }
            let min_ns = self.length("min", table, 0).unwrap_or(0);
            if let (Some(value), true) = (table.get("min"), unit.is_some() || idle == Some(true)) {
                let help = "every unit and every idle stretch counts, however short: remove `min`";
                self.mistake(value.span().start, "`min` together with `unit` or `idle`", help);
            }
            let code_bytes_min = table
                .get("code_bytes_min")
                .and_then(|value| self.number("code_bytes_min", value));
            if let Some((text, place, pattern)) = self.pattern("[[method]]", offset, table) {
                let is_named = text.starts_with('@') || !text.contains('*');
                let leaves_small = !is_named && unit.is_none() && idle != Some(true) && min_ns == 0;
                let small = if leaves_small { MethodRule::SMALL_CODE_BYTES } else { 0 };
                methods.push(MethodRule {
                    text,
                    unit,
                    key,
                    handover,
                    idle: idle.unwrap_or(false),
                    min_ns,
                    code_bytes_min: code_bytes_min.unwrap_or(small),
                    place,
                    pattern,
                });
            }
        }
        methods
    }

    /// What a rule says of its units: `key` and `handover`.
    fn of_units(&mut self, table: &DeTable<'t>, has_unit: bool) -> (Option<u8>, bool) {
        for name in ["key", "handover"] {
            if let (Some(value), false) = (table.get(name), has_unit) {
                let help = "units have it: add unit = \"…\"";
                self.mistake(value.span().start, format!("`{name}` without `unit`"), help);
            }
        }
        let key = table
            .get("key")
            .and_then(|value| Some((value, self.number("key", value)?)));
        let key = key.and_then(|(value, number)| {
            let key = u8::try_from(number).ok().filter(|key| *key > 0);
            if key.is_none() {
                let help = "the first argument is 1, the last one that there can be is 255";
                self.mistake(value.span().start, format!("`key` {number} is no argument's"), help);
            }
            key
        });
        let handover = table.get("handover").and_then(|value| self.boolean("handover", value));
        (key, handover.unwrap_or(false))
    }

    fn excludes(&mut self, value: &Value<'t>) -> Vec<ExcludeRule> {
        let mut excludes = Vec::new();
        for (offset, table) in self.tables("exclude", value) {
            self.check_keys("[[exclude]]", table, &["match"], &[]);
            if let Some((text, place, pattern)) = self.pattern("[[exclude]]", offset, table) {
                excludes.push(ExcludeRule { text, place, pattern });
            }
        }
        excludes
    }

    fn pattern(&mut self, what: &str, offset: usize, table: &DeTable<'t>) -> Option<(String, Place, Pattern)> {
        let value = self.required(what, "match", offset, table)?;
        let text = self.string("match", value)?;
        match pattern::parse(text) {
            Ok(pattern) => Some((text.to_owned(), self.place(value.span().start), pattern)),
            Err(mistake) => {
                let at = self.offset_in_string(value.span(), text, mistake.offset);
                self.mistake(at, mistake.message, mistake.help);
                None
            }
        }
    }

    fn jvm(&mut self, value: &Value<'t>) -> JvmSettings {
        let Some(table) = self.table("jvm", value) else {
            return JvmSettings::default();
        };
        self.check_keys("[jvm]", table, &FEATURE_NAMES, &[]);
        Features::from_array(FEATURE_NAMES).map(|key| table.get(key).and_then(|value| self.boolean(key, value)))
    }

    pub(crate) fn required<'v>(
        &mut self,
        what: &str,
        key: &str,
        offset: usize,
        table: &'v DeTable<'t>,
    ) -> Option<&'v Value<'t>> {
        let value = table.get(key);
        if value.is_none() {
            self.mistake(offset, format!("{what} without `{key}`"), format!("add {key} = \"…\""));
        }
        value
    }
}
