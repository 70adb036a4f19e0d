//! The text of a pattern, `class.method[(descriptor)]`, and what is wrong with it.

use crate::matcher::{Pattern, Relation};

/// The longest pattern, in bytes.
const BYTES_MAX: usize = 1024;

/// What is wrong with a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PatternMistake {
    /// In bytes from the pattern's start.
    pub offset: usize,
    pub message: String,
    pub help: &'static str,
}

type Parsed<T> = Result<T, PatternMistake>;

fn mistake<T>(offset: usize, message: impl Into<String>, help: &'static str) -> Parsed<T> {
    Err(PatternMistake {
        offset,
        message: message.into(),
        help,
    })
}

/// Reads a pattern as it stands in a rule file.
pub(crate) fn parse(text: &str) -> Parsed<Pattern> {
    let (relation, rest) = match text.as_bytes().first() {
        Some(b'+') => (Relation::Extends, &text[1..]),
        Some(b'@') => (Relation::Annotated, &text[1..]),
        _ => (Relation::Is, text),
    };
    let sign = text.len() - rest.len();
    parse_path(relation, rest).map_err(|mistake| PatternMistake {
        offset: mistake.offset + sign,
        ..mistake
    })
}

fn parse_path(relation: Relation, text: &str) -> Parsed<Pattern> {
    check_whole(text)?;
    let (path, descriptor) = match text.find('(') {
        Some(at) => (&text[..at], Some((at, &text[at..]))),
        None => (text, None),
    };
    check_characters(path)?;
    let levels = levels(path)?;
    if let Some((at, descriptor)) = descriptor {
        check_descriptor(at, descriptor)?;
    }
    let (class, method) = split(&levels, descriptor.is_some())?;
    if relation != Relation::Is && matches!(&*class, "**/*" | "*") {
        let help = "name the class or annotation after the sign; without a sign ** is every method";
        return mistake(0, "`+` and `@` want a name", help);
    }
    Ok(Pattern {
        relation,
        class: class.into(),
        method: method.into(),
        descriptor: descriptor.map(|(_, text)| text.into()),
    })
}

fn check_whole(text: &str) -> Parsed<()> {
    match text.chars().next() {
        None => mistake(0, "an empty pattern", "write class.method, or ** for every method"),
        _ if text.len() > BYTES_MAX => mistake(BYTES_MAX, "the pattern is longer than 1024 bytes", "use * and **"),
        _ => Ok(()),
    }
}

fn check_characters(path: &str) -> Parsed<()> {
    for (offset, character) in path.char_indices() {
        let help = match character {
            '+' | '@' => "+ and @ stand once, before the class",
            '/' => "class names are written with dots: com.shop.Order.pay",
            ':' => "a dot stands between class and method: com.shop.Order.pay",
            '?' => "* stands for any characters; there is no sign for one",
            '[' | ']' | ',' | ';' | ')' | '#' | '^' | '|' | '\\' => {
                "a pattern is class.method[(descriptor)], with * and **"
            }
            _ if character.is_whitespace() || character.is_control() => "names have no blanks",
            _ => continue,
        };
        return mistake(
            offset,
            format!("`{}` cannot stand in a pattern", character.escape_debug()),
            help,
        );
    }
    Ok(())
}

/// The levels of the path, each well formed, with the offset of each.
fn levels(path: &str) -> Parsed<Vec<(usize, &str)>> {
    let mut levels: Vec<(usize, &str)> = Vec::new();
    let mut offset = 0;
    for level in path.split('.') {
        check_level(offset, level)?;
        if level == "**" && levels.last().is_some_and(|(_, before)| *before == "**") {
            return mistake(offset, "`**` follows `**`", "one ** crosses any number of packages");
        }
        levels.push((offset, level));
        offset += level.len() + 1;
    }
    Ok(levels)
}

fn check_level(offset: usize, level: &str) -> Parsed<()> {
    if level.is_empty() {
        return mistake(
            offset,
            "an empty name between dots",
            "write * for any one name, ** for any number of packages",
        );
    }
    if let Some(at) = level.find("***") {
        return mistake(
            offset + at,
            "`***` means nothing",
            "write * within a name or level, ** across packages",
        );
    }
    match level.find("**") {
        Some(at) if level != "**" => mistake(
            offset + at,
            "`**` inside a name",
            "** stands alone between dots; within a name write *",
        ),
        _ => Ok(()),
    }
}

/// Class pattern (as the matcher wants it) and method glob.
fn split(levels: &[(usize, &str)], has_descriptor: bool) -> Parsed<(String, String)> {
    let Some(((offset, method), class)) = levels.split_last() else {
        return mistake(0, "an empty pattern", "write class.method, or ** for every method");
    };
    if let Some((at, level)) = class.iter().find(|(_, level)| level.contains(['<', '>'])) {
        return mistake(
            *at,
            format!("`{level}` is not the name of a class or package"),
            "leave type parameters out",
        );
    }
    if *method == "**" {
        return Ok((internal(levels), "*".to_owned()));
    }
    if method.contains(['<', '>']) && !matches!(*method, "<init>" | "<clinit>") {
        return mistake(
            *offset,
            format!("`{method}` is no method"),
            "constructors are <init>, static initialisers <clinit>",
        );
    }
    let Some((_, owner)) = class.last() else {
        return mistake(
            0,
            format!("`{method}` names no class"),
            "write class.method; **.method for every class",
        );
    };
    if !has_descriptor && looks_like_class(method) && looks_like_package(owner) {
        return mistake(
            *offset,
            format!("`{method}` looks like a class: no method is named"),
            "write .* after it for all its methods; if it is a method, add its descriptor",
        );
    }
    Ok((internal(class), (*method).to_owned()))
}

fn looks_like_class(name: &str) -> bool {
    name.chars()
        .find(|character| character.is_alphabetic())
        .is_some_and(char::is_uppercase)
}

fn looks_like_package(level: &str) -> bool {
    !level.contains('*') && !level.contains('$') && level.chars().all(|character| !character.is_uppercase())
}

/// Joins levels as the JVM does. A last `**` gets the level that a class's own name needs.
fn internal(levels: &[(usize, &str)]) -> String {
    let names: Vec<&str> = levels.iter().map(|(_, level)| *level).collect();
    let joined = names.join("/");
    if names.last() == Some(&"**") {
        joined + "/*"
    } else {
        joined
    }
}

/// Checks a method descriptor as the JVM writes it: `(JLjava/lang/String;[I)V`.
fn check_descriptor(start: usize, text: &str) -> Parsed<()> {
    let help = "write it as the JVM does, as in (JLjava/lang/String;[I)V";
    let wrong = |at: usize, message: &str| mistake(start + at, message, help);
    let bytes = text.as_bytes();
    let mut at = 1;
    while bytes.get(at).is_some_and(|byte| *byte != b')') {
        match type_end(bytes, at) {
            Some(end) => at = end,
            None => return wrong(at, "not a type of a descriptor"),
        }
    }
    if at >= bytes.len() {
        return wrong(bytes.len(), "the descriptor's `)` is missing");
    }
    let result = at + 1;
    let end = if bytes.get(result) == Some(&b'V') {
        Some(result + 1)
    } else {
        type_end(bytes, result)
    };
    match end {
        Some(end) if end == bytes.len() => Ok(()),
        Some(end) => wrong(end, "something follows the descriptor"),
        None => wrong(result, "the descriptor's result type is missing or wrong"),
    }
}

/// Where the field type that starts at `at` ends.
fn type_end(bytes: &[u8], at: usize) -> Option<usize> {
    let dimensions = bytes.get(at..)?.iter().take_while(|byte| **byte == b'[').count();
    let base = at + dimensions;
    match bytes.get(base)? {
        b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'Z' => Some(base + 1),
        b'L' => {
            let name = bytes.get(base + 1..)?;
            let length = name.iter().position(|byte| *byte == b';')?;
            let is_name = length > 0 && !name[..length].iter().any(|byte| b".[()*\t\n ".contains(byte));
            is_name.then_some(base + 1 + length + 1)
        }
        _ => None,
    }
}
