//! Compiling and running Java.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::jdks::{self, Jdk};

/// Sources of this test.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/java/rewrite")
        .join(name)
}

/// The Java runtimes to test with.
pub fn runtimes() -> Vec<Jdk> {
    let found = jdks::found(jdks::say);
    assert!(!found.is_empty(), "no Java at all: `cargo xtask test` brings it");
    found
}

/// Compiles for Java 17 into a fresh directory of this name.
pub fn compile(sources: &[&str], options: &[&str], name: &str) -> PathBuf {
    let out = scratch(name);
    let compilers = runtimes().into_iter().map(|jdk| jdk.program("javac"));
    let compiler = compilers.into_iter().find(|javac| javac.exists());
    let mut javac = Command::new(compiler.expect("no javac here; remedy: apt-get install openjdk-17-jdk-headless"));
    javac
        .args(options)
        .arg("-g")
        .arg("-d")
        .arg(&out)
        .args(sources.iter().map(|name| source(name)));
    let output = javac.output().expect("javac starts");
    assert!(
        output.status.success(),
        "javac: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    out
}

/// An empty directory of this name, below the build's own.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rewrite").join(name);
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", dir.display()),
        _ => fs::create_dir_all(&dir).expect("directory for classes"),
    }
    dir
}

/// Runs Java and returns what it printed; fails with its errors.
pub fn run(home: &Path, arguments: &[String]) -> String {
    let output = Command::new(home.join("bin/java"))
        .args(arguments)
        .output()
        .expect("java starts");
    let (out, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "java {}: {out}\n{errors}", output.status);
    out.into_owned()
}

/// A class of a runtime or jar.
pub struct Class {
    /// Its module; empty for jars.
    pub module: String,
    /// Its path, as in `java/util/Map$Entry.class`.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// Hands every class of a runtime's image and of `jars` to `each`.
pub fn every_class(home: &Path, driver: &Path, jars: &[PathBuf], mut each: impl FnMut(Class)) {
    let mut java = Command::new(home.join("bin/java"));
    java.arg("-cp")
        .arg(driver)
        .args(["Classes", "dump"])
        .args(jars)
        .stdout(Stdio::piped());
    let mut child = java.spawn().expect("java starts");
    let mut input = BufReader::with_capacity(1 << 20, child.stdout.take().expect("piped"));
    while let Some(class) = read_class(&mut input) {
        each(class);
    }
    assert!(child.wait().expect("java ends").success());
}

fn read_class(input: &mut impl Read) -> Option<Class> {
    let module = read_text(input)?;
    let path = read_text(input).expect("path");
    let mut length = [0; 4];
    input.read_exact(&mut length).expect("length");
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    input.read_exact(&mut bytes).expect("bytes");
    Some(Class { module, path, bytes })
}

fn read_text(input: &mut impl Read) -> Option<String> {
    let mut length = [0; 2];
    input.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    input.read_exact(&mut bytes).expect("text");
    Some(String::from_utf8(bytes).expect("ASCII names"))
}
