//! Walking a TOML document with every value's place at hand, collecting mistakes instead of stopping at the first.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Diagnostic, Place};

/// A value and where it stands.
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// The longest name of a group or unit, and the longest thread glob, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// A type that a value must have.
pub(crate) struct Wanted {
    what: &'static str,
    example: &'static str,
}

const STRING: Wanted = Wanted {
    what: "a string",
    example: "\"…\"",
};
const STRINGS: Wanted = Wanted {
    what: "a string or a list of strings",
    example: "[\"…\", \"…\"]",
};
const BOOLEAN: Wanted = Wanted {
    what: "true or false",
    example: "true",
};
const NUMBER: Wanted = Wanted {
    what: "a whole number from 0 to 4294967295",
    example: "40",
};
const TABLE: Wanted = Wanted {
    what: "a table",
    example: "{ … }",
};

/// One document being read.
pub(crate) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    pub mistakes: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    pub fn new(file: &'t str, text: &'t str) -> Self {
        Self {
            file,
            text,
            mistakes: Vec::new(),
        }
    }

    /// The place of a byte offset.
    pub fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Place {
            file: self.file.to_owned(),
            line: count(before.bytes().filter(|byte| *byte == b'\n').count() + 1),
            column: count(before[line_start..].chars().count() + 1),
        }
    }

    /// Notes a mistake.
    pub fn mistake(&mut self, offset: usize, message: impl Into<String>, help: impl Into<String>) {
        let place = Some(self.place(offset));
        self.mistakes.push(Diagnostic {
            place,
            message: message.into(),
            help: help.into(),
        });
    }

    /// Notes that a value has the wrong type.
    pub fn wrong_type(&mut self, key: &str, value: &Value<'_>, wanted: &Wanted) {
        let (got, Wanted { what, example }) = (value.get_ref().type_str(), wanted);
        let message = format!("`{key}` must be {what}; this is of type {got}");
        self.mistake(value.span().start, message, format!("write {key} = {example}"));
    }

    /// Refuses every key that is not in `known`. `later` holds keys that a later version knows, with what to do until then.
    pub fn check_keys(&mut self, what: &str, table: &DeTable<'_>, known: &[&str], later: &[(&str, &str)]) {
        for key in table.keys() {
            let (name, offset) = (key.get_ref().as_ref(), key.span().start);
            if known.contains(&name) {
                continue;
            }
            match later.iter().find(|(candidate, _)| *candidate == name) {
                Some((_, help)) => {
                    self.mistake(offset, format!("`{name}` is not known to this version of plumb"), *help);
                }
                None => {
                    let name = name.escape_debug();
                    self.mistake(
                        offset,
                        format!("unknown key `{name}` in {what}"),
                        format!("known are: {}", known.join(", ")),
                    );
                }
            }
        }
    }

    /// The text of a value that must be a string.
    pub fn string<'v>(&mut self, key: &str, value: &'v Value<'t>) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, value, &STRING);
        }
        text
    }

    /// The texts, with their offsets, of a value that must be a string or a list of strings.
    pub fn strings<'v>(&mut self, key: &str, value: &'v Value<'t>) -> Vec<(usize, &'v str)> {
        let one = std::slice::from_ref(value);
        let list: &[Value<'t>] = match value.get_ref() {
            DeValue::Array(array) => array.as_ref(),
            DeValue::String(_) => one,
            _ => {
                self.wrong_type(key, value, &STRINGS);
                &[]
            }
        };
        if list.is_empty() && value.get_ref().is_array() {
            self.mistake(
                value.span().start,
                format!("`{key}` is an empty list"),
                "name at least one, or remove the key",
            );
        }
        list.iter()
            .filter_map(|item| Some((item.span().start, self.string(key, item)?)))
            .collect()
    }

    /// A value that must be true or false.
    pub fn boolean(&mut self, key: &str, value: &Value<'_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, &BOOLEAN);
        }
        flag
    }

    /// A value that must be a whole number of 32 bits.
    pub fn number(&mut self, key: &str, value: &Value<'_>) -> Option<u32> {
        let digits = value.get_ref().as_integer();
        let number = digits.and_then(|digits| u32::from_str_radix(digits.as_str(), digits.radix()).ok());
        if number.is_none() {
            self.wrong_type(key, value, &NUMBER);
        }
        number
    }

    /// A name of a group or unit.
    pub fn name(&mut self, key: &str, value: &Value<'t>) -> Option<String> {
        let name = self.string(key, value)?;
        let offset = value.span().start;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_name) {
            let message = format!("`{}` is no {key}", name.escape_debug());
            self.mistake(offset, message, "use up to 128 letters, digits, - _ and .");
            return None;
        }
        Some(name.to_owned())
    }

    /// A glob over thread names.
    pub fn thread_glob(&mut self, offset: usize, glob: &str) -> Option<String> {
        let help = match glob {
            "" => "write * for every thread",
            _ if glob.len() > NAME_BYTES_MAX => "shorten it to 128 bytes with *",
            _ if glob.contains("**") => "one * stands for any characters of a thread's name",
            _ if glob.chars().any(char::is_control) => "thread names have no control characters",
            _ => return Some(glob.to_owned()),
        };
        self.mistake(
            offset,
            format!("`{}` is no glob over thread names", glob.escape_debug()),
            help,
        );
        None
    }

    /// The tables of `[[key]]`.
    pub fn tables<'v>(&mut self, key: &str, value: &'v Value<'t>) -> Vec<(usize, &'v DeTable<'t>)> {
        let wanted = format!("[[{key}]]");
        let Some(array) = value.get_ref().as_array() else {
            self.mistake(
                value.span().start,
                format!("`{key}` is not a list of tables"),
                format!("write {wanted}"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => tables.push((item.span().start, table)),
                None => self.wrong_type(key, item, &TABLE),
            }
        }
        tables
    }

    /// The table of `[key]`.
    pub fn table<'v>(&mut self, key: &str, value: &'v Value<'t>) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.mistake(
                value.span().start,
                format!("`{key}` is not a table"),
                format!("write [{key}]"),
            );
        }
        table
    }

    /// Where in the file the byte `inner` of a string value stands; its start if escapes lie between.
    pub fn offset_in_string(&self, span: Range<usize>, value: &str, inner: usize) -> usize {
        let raw = self.text.get(span.clone()).unwrap_or("");
        let is_plain = raw.get(1..raw.len().saturating_sub(1)) == Some(value);
        if is_plain { span.start + 1 + inner } else { span.start }
    }
}
