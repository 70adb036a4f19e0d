//! What the documents name is there: the files and folders of the checkout, and the subcommands of the command.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

const DOCUMENTS: [&str; 3] = ["ARCHITECTURE.md", "README.md", "CHANGELOG.md"];

fn read(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between back quotes, also where a line ends within it, and between brackets of a link.
fn quoted(text: &str) -> Vec<String> {
    let outside_blocks: String = text.split("```").step_by(2).collect();
    let quoted = outside_blocks.split('`').skip(1).step_by(2).map(str::to_owned);
    let links = outside_blocks
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    quoted.chain(links.map(str::to_owned)).collect()
}

/// `a/{b,c}.rs` is two paths.
fn alternatives(path: &str) -> Vec<String> {
    match path
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        Some((before, (names, after))) => names.split(',').map(|name| format!("{before}{name}{after}")).collect(),
        None => vec![path.to_owned()],
    }
}

#[test]
fn paths_that_the_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_ours = |path: &str| {
        let top = path.split('/').next().unwrap_or_default();
        path.contains('/') && !path.contains(' ') && !top.is_empty() && root.join(top).exists()
    };
    let mut looked_at = 0;
    for document in DOCUMENTS {
        let paths = quoted(&read(document)).into_iter().filter(|path| is_ours(path));
        for path in paths.flat_map(|path| alternatives(&path)) {
            looked_at += 1;
            assert!(root.join(&path).exists(), "{document} names {path}, which is not there");
        }
    }
    assert!(looked_at > 30, "{looked_at} paths were found");
}

#[test]
fn every_crate_and_folder_stands_in_the_code_map() {
    let map = read("ARCHITECTURE.md");
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("\nmembers = [").expect("a list of members");
    let (members, _) = members.split_once(']').expect("its end");
    for member in members.split(',').map(|member| member.trim().trim_matches('"')) {
        assert!(
            map.contains(&format!("| `{member}/` |")),
            "the code map has no {member}/"
        );
    }
}

#[test]
fn subcommands_that_the_documents_name_exist() {
    let of = |text: String| {
        let named = quoted(&text)
            .into_iter()
            .chain(text.lines().map(|line| line.trim().to_owned()));
        let words = named.filter_map(|quoted| {
            let rest = quoted
                .strip_prefix("target/release/")
                .unwrap_or(&quoted)
                .strip_prefix("plumb ")?;
            rest.split(' ').next().map(str::to_owned)
        });
        words
            .filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()))
            .collect::<Vec<_>>()
    };
    let named: BTreeSet<String> = DOCUMENTS.iter().flat_map(|document| of(read(document))).collect();
    assert!(
        named.contains("record") && named.contains("doctor") && named.len() > 5,
        "{named:?}"
    );
    // `plumb shows …` begins sentences; a subcommand is never in the third person.
    for name in named.iter().filter(|name| *name != "shows") {
        let output = Command::new(env!("CARGO_BIN_EXE_plumb"))
            .args([name, "--help"])
            .output()
            .expect("plumb runs");
        assert!(output.status.success(), "the documents name `plumb {name}`");
    }
}
