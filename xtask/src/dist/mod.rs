//! `cargo xtask dist`: what one gives to somebody who has no Rust: an archive, the same bytes wherever it is made of the same commit with the same tools.

mod check;
mod notices;

use crate::{packages, process, workspace};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The page of `cargo xtask dist --help`.
pub const HELP: &str = "\
Make the archive that is given away, and try it.

Usage: cargo xtask dist

Makes target/dist/plumb-VERSION-x86_64-linux.tar.zst and beside it its SHA-256. In it:
  plumb, libplumb_agent.so    stripped; they find each other wherever they are unpacked, as long as they lie side by side
  README.md, ARCHITECTURE.md, CHANGELOG.md, docs/
  rules/                      examples of rule files, and the presets to read
  LICENSE-MIT, LICENSE-APACHE, THIRD-PARTY.md (licences of what is linked)
  VERSION                     version and commit

The same commit and tools give the same bytes: names are sorted, times are the commit's, no path of the machine is in the binaries (checked). It is then
unpacked in an empty directory, where the command has to say its version, judge a rule, and record and merge a Java program by itself.

Builds from scratch in target/dist/build, some ten minutes the first time. For the archive of a clean commit, commit first: VERSION tells.";

/// Flags that keep paths of this machine out of what is built, and where it is built.
struct Remapped {
    root: PathBuf,
    cargo_home: PathBuf,
}

/// Makes the archive.
///
/// # Errors
/// Where a step fails, a binary holds a path of this machine, or what was unpacked does not work.
pub fn run() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(&["zstd"])?;
    let home = workspace::target().join("dist");
    let built = build(&home)?;
    let name = format!("plumb-{}-x86_64-linux", env!("CARGO_PKG_VERSION"));
    let tree = workspace::fresh_dir("dist/tree")?.join(&name);
    fill(&tree, &built)?;
    let archive = home.join(format!("{name}.tar.zst"));
    pack(&tree, &archive)?;
    let sum = sum(&archive)?;
    check::unpacked(&archive, &name)?;
    println!(
        "{}\n{} bytes, sha256 {sum}",
        archive.display(),
        fs::metadata(&archive)?.len()
    );
    Ok(())
}

/// The optimised binaries, without names of functions and without paths; the directory where they lie.
fn build(home: &Path) -> Result<PathBuf> {
    fs::create_dir_all(home)?;
    let paths = Remapped {
        root: fs::canonicalize(workspace::root())?,
        cargo_home: cargo_home()?,
    };
    let target = home.join("build");
    let prefixes = [
        (&target, "/target"),
        (&paths.root, "/plumb"),
        (&paths.cargo_home, "/cargo"),
    ];
    let flags = |option: &str| {
        let each = prefixes.map(|(from, to)| format!("{option}={}={to}", from.display()));
        each.join(" ")
    };
    let mut cargo = workspace::cargo(&[
        "build",
        "--release",
        "--package",
        "plumb",
        "--package",
        "plumb-agent",
        "--target-dir",
    ]);
    cargo.arg(&target);
    cargo.env("RUSTFLAGS", flags("--remap-path-prefix"));
    cargo.env("CFLAGS", flags("-ffile-prefix-map"));
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo.env("PLUMB_CLANG", clang(home, &flags("-ffile-prefix-map"))?);
    process::run(&mut cargo)?;
    let built = target.join("release");
    for name in ["plumb", "libplumb_agent.so"] {
        no_path_in(&built.join(name), &prefixes.map(|(from, _)| from.as_path()))?;
    }
    Ok(built)
}

/// clang as `collector/build.rs` calls it, with more flags: the kernel's programs carry paths in their debug information, which BTF is made of.
fn clang(home: &Path, flags: &str) -> Result<PathBuf> {
    let path = home.join("clang");
    fs::write(&path, format!("#!/bin/sh\nexec clang-14 \"$@\" {flags}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn cargo_home() -> Result<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

fn no_path_in(binary: &Path, paths: &[&Path]) -> Result<()> {
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    for path in paths {
        let needle = format!("{}/", path.display());
        if let Some(at) = find(&bytes, needle.as_bytes()) {
            let end = (at + 120).min(bytes.len());
            bail!(
                "{} holds a path of this machine: {}",
                binary.display(),
                bytes[at..end].escape_ascii()
            );
        }
    }
    Ok(())
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// What the archive holds.
fn fill(tree: &Path, built: &Path) -> Result<()> {
    let root = workspace::root();
    let copy = |from: &Path, to: &str| -> Result<()> {
        let to = tree.join(to);
        fs::create_dir_all(to.parent().unwrap_or(tree))?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    };
    for name in ["plumb", "libplumb_agent.so"] {
        copy(&built.join(name), name)?;
    }
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "docs/demo.png",
    ] {
        copy(&root.join(name), name)?;
    }
    for preset in workspace::files_below(&root.join("filters/presets"), ".toml")? {
        let name = preset.file_name().unwrap_or_default().to_string_lossy().into_owned();
        copy(&preset, &format!("rules/presets/{name}"))?;
    }
    for example in ["shop", "calls", "hot", "churn"] {
        copy(
            &root.join("examples").join(example).join("rules.toml"),
            &format!("rules/{example}.toml"),
        )?;
    }
    fs::write(tree.join("THIRD-PARTY.md"), notices::text()?)?;
    fs::write(tree.join("VERSION"), version()?)?;
    Ok(())
}

fn git(arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(workspace::root()).args(arguments);
    Ok(process::output(&mut git)?.trim().to_owned())
}

fn version() -> Result<String> {
    let state = match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Ok(changes) if changes.is_empty() => String::new(),
        Ok(_) => ", with changes that are not committed".to_owned(),
        Err(_) => ", not from a checkout".to_owned(),
    };
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|_| "unknown".to_owned());
    let rustc = process::output(Command::new("rustc").arg("--version"))?;
    Ok(format!(
        "plumb {}\ncommit {commit}{state}\nbuilt by {rustc}",
        env!("CARGO_PKG_VERSION")
    ))
}

/// Packs a directory: sorted, of root, with the commit's time.
fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds,
        Err(_) => git(&["log", "-1", "--format=%ct"]).unwrap_or_else(|_| "0".to_owned()),
    };
    let plain = archive.with_extension("");
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--format=gnu",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    // Group and others get what the umask of whoever packs would leave to chance.
    tar.args(["--mode=u+rw,go=rX", &format!("--mtime=@{seconds}"), "--file"])
        .arg(&plain);
    tar.arg("--directory")
        .arg(tree.parent().unwrap_or(tree))
        .arg(tree.file_name().unwrap_or_default());
    process::run(&mut tar)?;
    let mut zstd = Command::new("zstd");
    zstd.args(["-19", "--single-thread", "--quiet", "--force", "--rm"])
        .arg(&plain)
        .arg("-o")
        .arg(archive);
    process::run(&mut zstd)
}

/// Writes the SHA-256 beside a file, in the form that `sha256sum --check` reads.
fn sum(archive: &Path) -> Result<String> {
    let mut command = Command::new("sha256sum");
    command
        .current_dir(archive.parent().unwrap_or(archive))
        .arg(archive.file_name().unwrap_or_default());
    let line = process::output(&mut command)?;
    fs::write(format!("{}.sha256", archive.display()), &line)?;
    Ok(line.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_binaries() {
        let dir = workspace::fresh_dir("tests-of-dist").expect("a directory");
        let binary = dir.join("binary");
        fs::write(&binary, b"\0\x01/home/me/plumb/src/main.rs\0").expect("it can be written");
        assert!(no_path_in(&binary, &[Path::new("/home/me")]).is_err());
        assert!(no_path_in(&binary, &[Path::new("/home/you")]).is_ok());
    }

    #[test]
    fn an_archive_is_the_same_whenever_it_is_packed() {
        if !packages::on_path("zstd") {
            // `cargo xtask dist` installs it; nothing else needs it.
            return;
        }
        let dir = workspace::fresh_dir("tests-of-dist-pack").expect("a directory");
        let archives = [1, 2].map(|turn| {
            let tree = dir.join(format!("turn-{turn}")).join("plumb");
            fs::create_dir_all(&tree).expect("a directory");
            let names = if turn == 1 { ["a", "b"] } else { ["b", "a"] };
            for name in names {
                fs::write(tree.join(name), name).expect("it can be written");
            }
            fs::set_permissions(&tree, fs::Permissions::from_mode(0o700 + turn)).expect("it is ours");
            let archive = dir.join(format!("{turn}.tar.zst"));
            pack(&tree, &archive).expect("it can be packed");
            fs::read(archive).expect("it was packed")
        });
        assert!(archives[0] == archives[1]);
    }
}
