//! The licences of what is linked into plumb: their texts have to go with it.

use crate::{process, workspace};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A package that is linked.
#[derive(Debug)]
struct Linked {
    name: String,
    version: String,
    licence: String,
    dir: PathBuf,
}

/// A page with every package, its licence, and each licence's text once.
///
/// # Errors
/// Where cargo does not tell what is linked.
pub fn text() -> Result<String> {
    let arguments = [
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ];
    let metadata = process::output(&mut workspace::cargo(&arguments))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata wrote no JSON")?;
    let linked = linked(&metadata);
    let mut page = "# What plumb is made of\n\nThese packages are linked into `plumb` and `libplumb_agent.so`, under these licences.\n\n".to_owned();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &linked {
        let title = format!("{} {}", package.name, package.version);
        page.push_str(&format!("- {title}: {}\n", package.licence));
        for text in licence_texts(&package.dir) {
            texts.entry(text).or_default().push(title.clone());
        }
    }
    for (text, titles) in texts {
        page.push_str(&format!(
            "\n## {}\n\n```text\n{}\n```\n",
            titles.join(", "),
            text.trim_end()
        ));
    }
    Ok(page)
}

/// What the two binaries are linked of, sorted: all that they depend on, without what only builds or tests them.
fn linked(metadata: &Value) -> Vec<Linked> {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut below: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in array(&metadata["resolve"]["nodes"]) {
        let deps = array(&node["deps"])
            .into_iter()
            .filter(is_linked)
            .map(|dep| text(&dep["pkg"]));
        below.insert(text(&node["id"]), deps.collect());
    }
    let packages = array(&metadata["packages"]);
    let roots = packages
        .iter()
        .filter(|package| package["name"] == "plumb" || package["name"] == "plumb-agent");
    let mut open: Vec<String> = roots.map(|package| text(&package["id"])).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if reached.insert(id.clone()) {
            open.extend(below.get(&id).cloned().unwrap_or_default());
        }
    }
    let mut linked: Vec<Linked> = packages
        .iter()
        // Packages without a source are plumb's own.
        .filter(|package| reached.contains(&text(&package["id"])) && package["source"].is_string())
        .map(|package| Linked {
            name: text(&package["name"]),
            version: text(&package["version"]),
            licence: package["license"].as_str().unwrap_or("see below").to_owned(),
            dir: Path::new(&text(&package["manifest_path"]))
                .parent()
                .unwrap_or(Path::new(""))
                .to_owned(),
        })
        .collect();
    linked.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    linked
}

fn is_linked(dep: &Value) -> bool {
    let kinds = dep["dep_kinds"].as_array();
    kinds.into_iter().flatten().any(|kind| kind["kind"].is_null())
}

/// The texts that a package brings, in the order of their files' names.
fn licence_texts(dir: &Path) -> Vec<String> {
    let is_licence = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "OFL", "UFL"]
            .iter()
            .any(|mark| name.starts_with(mark))
    };
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(is_licence).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_only_builds_is_not_linked() {
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let package = |name: &str, source: Value| json!({"name": name, "id": name, "version": "1.0.0", "license": "MIT", "source": source, "manifest_path": "/x/Cargo.toml"});
        let metadata = json!({
            "packages": [package("plumb", Value::Null), package("a", json!("r")), package("b", json!("r")), package("cc", json!("r"))],
            "resolve": {"nodes": [
                {"id": "plumb", "deps": [dep("a", Value::Null), dep("cc", json!("build"))]},
                {"id": "a", "deps": [dep("b", Value::Null)]},
                {"id": "b", "deps": []},
                {"id": "cc", "deps": []},
            ]},
        });
        let names: Vec<String> = linked(&metadata).into_iter().map(|linked| linked.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
