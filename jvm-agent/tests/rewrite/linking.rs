//! Every method of every class of the JDK images and of Tomcat gets probes, and a JVM that boots with these classes
//! verifies all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plumb_agent::rewrite::{MethodInfo, Probes, Reason, rewrite, round_trip};

use crate::begins::Telling;
use crate::java;

#[derive(Default)]
struct Tally {
    classes: usize,
    probed: usize,
    /// Methods by the reason for which they were left alone.
    left_alone: BTreeMap<&'static str, usize>,
    examples: BTreeMap<&'static str, String>,
    /// Classes that did not come out of a round trip as they went in.
    changed: Vec<String>,
    modules: BTreeSet<String>,
    names: Vec<String>,
    spent: Duration,
}

#[test]
fn all_classes_link_with_probes_in_every_method() {
    let driver = java::compile(&["Classes.java"], &["--release", "17"], "driver");
    let from = format!("--patch-module=java.base={}", java::source("").display());
    let probe = java::compile(&["PlumbProbe.java", "PlumbBreak.java"], &[&from], "probe");
    for home in java::runtimes() {
        let dir = java::scratch("patched");
        let tally = rewrite_all(&home, &driver, &dir);
        place_probe(&probe, &dir);
        report(&home, &tally);
        check(&tally);
        link(&home, &driver, &dir, &tally);
        // Some 250 MB that only a failure needs.
        fs::remove_dir_all(dir).expect("removed");
    }
}

/// Tomcat, where Debian installs it.
fn tomcat() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/share/java") else {
        return Vec::new();
    };
    let is_tomcat = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The names without a version are links to the ones with.
        name.starts_with("tomcat10-") && name.ends_with(".jar") && path.is_symlink()
    };
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(is_tomcat)
        .collect()
}

fn rewrite_all(home: &Path, driver: &Path, dir: &Path) -> Tally {
    let mut tally = Tally::default();
    java::every_class(home, driver, &tomcat(), |class| {
        let name = class.path.trim_end_matches(".class").replace('/', ".");
        match round_trip(&class.bytes) {
            Ok(same) if same == class.bytes => {}
            // From before Java 6: left alone.
            Err(Reason::Subroutines) => {}
            Ok(_) => tally.changed.push(name.clone()),
            Err(reason) => tally.changed.push(format!("{name}: {reason}")),
        }
        let bytes = tally.rewrite(&class.bytes, &class.path);
        // Classes of jars have no module; they come by the class path.
        let folder = if class.module.is_empty() {
            "classpath"
        } else {
            &class.module
        };
        let path = dir.join(folder).join(&class.path);
        fs::create_dir_all(path.parent().expect("has a folder")).expect("folder");
        fs::write(path, bytes).expect("class written");
        tally.names.push(name);
        tally.modules.insert(class.module);
    });
    tally
}

impl Tally {
    fn rewrite(&mut self, class: &[u8], path: &str) -> Vec<u8> {
        // Ids of all sizes, so that every form of pushing one is verified.
        let mut next_id = 0_u32;
        let mut every = Telling(|_: &str, _: &MethodInfo<'_>| {
            next_id = (next_id * 7 + 1) % 100_000;
            Some(next_id)
        });
        let begin = Instant::now();
        let rewritten = rewrite(class, &Probes::PLUMB, &mut every);
        self.spent += begin.elapsed();
        self.classes += 1;
        let Some(rewritten) = rewritten.unwrap_or_else(|error| panic!("{path}: {error}")) else {
            return class.to_vec();
        };
        self.probed += rewritten.probed.len();
        for method in rewritten.left_alone {
            let key = method.reason.key();
            *self.left_alone.entry(key).or_default() += 1;
            self.examples.insert(
                key,
                format!("{path} {}{}: {}", method.name, method.descriptor, method.reason),
            );
        }
        rewritten.bytes
    }
}

fn report(home: &Path, tally: &Tally) {
    let rate = tally.classes as f64 / tally.spent.as_secs_f64();
    println!(
        "{}: {} classes at {rate:.0}/s, {} methods with probes",
        home.display(),
        tally.classes,
        tally.probed
    );
    for (key, count) in &tally.left_alone {
        println!("  left alone, {key}: {count}, one of them {}", tally.examples[key]);
    }
}

/// Nothing was lost or misread on the way, and what was left alone is what must be.
fn check(tally: &Tally) {
    assert!(
        tally.changed.is_empty(),
        "{} of {}: {:?}",
        tally.changed.len(),
        tally.classes,
        tally.changed
    );
    assert!(tally.classes > 5_000, "{} classes", tally.classes);
    for wrong in ["malformed", "pool-full", "table-full"] {
        assert!(!tally.left_alone.contains_key(wrong), "{}", tally.examples[wrong]);
    }
    // Object has no superclass to call.
    let unclear = tally.left_alone.get("constructor-unclear").copied().unwrap_or(0);
    assert!(
        unclear <= 1,
        "{unclear}, one of them {}",
        tally.examples["constructor-unclear"]
    );
}

/// Puts the probe's class among the boot classes, and beside it one that no verifier may take.
fn place_probe(probe: &Path, dir: &Path) {
    let base = dir.join("java.base/java/lang");
    let from = probe.join("java/lang");
    fs::copy(from.join("PlumbProbe.class"), base.join("PlumbProbe.class")).expect("copied");
    let mut broken = fs::read(from.join("PlumbBreak.class")).expect("compiled");
    // A length of two, iconst_0 and ireturn: the int becomes a null.
    let body = [0, 0, 0, 2, 3, 172];
    let at = broken
        .windows(body.len())
        .position(|window| window == body)
        .expect("its body");
    broken[at + 4] = 1;
    fs::write(base.join("PlumbBreak.class"), broken).expect("written");
}

/// Boots a JVM whose every class has probes, and links all of them under full verification.
fn link(home: &Path, driver: &Path, dir: &Path, tally: &Tally) {
    let list = dir.join("names");
    let broken = "java.lang.PlumbBreak".to_owned();
    fs::write(&list, [&tally.names[..], &[broken]].concat().join("\n")).expect("list written");
    let mut arguments: Vec<String> = vec!["-Xverify:all".into(), "--add-modules=ALL-SYSTEM".into()];
    for module in tally.modules.iter().filter(|module| !module.is_empty()) {
        arguments.push(format!("--patch-module={module}={}", dir.join(module).display()));
    }
    arguments.push("-cp".into());
    arguments.push(format!("{}:{}", driver.display(), dir.join("classpath").display()));
    arguments.extend(["Classes".into(), "link".into(), list.display().to_string()]);
    let begin = Instant::now();
    let printed = java::run(home, &arguments);
    println!(
        "  {} in {:.1} s",
        printed.lines().last().unwrap_or_default(),
        begin.elapsed().as_secs_f64()
    );
    let refused: Vec<&str> = printed.lines().filter(|line| line.starts_with("refused ")).collect();
    assert!(
        matches!(refused[..], [only] if only.starts_with("refused java.lang.PlumbBreak java.lang.VerifyError")),
        "of all classes, only the broken one is to be refused: {refused:#?}"
    );
    let unresolved: Vec<&str> = printed.lines().filter(|line| line.starts_with("unresolved ")).collect();
    assert!(unresolved.len() < tally.classes / 100, "{unresolved:#?}");
}
