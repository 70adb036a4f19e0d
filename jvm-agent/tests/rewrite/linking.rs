//! Every method of every class of the JDK images and of servers that people run gets probes, and a JVM that boots with these classes verifies all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plumb_agent::rewrite::{MethodInfo, Probes, Reason, rewrite, round_trip};

use crate::begins::Telling;
use crate::java::{self, Class};
use crate::jdks::{COMPILED_FOR, Jdk};
use crate::left_alone::{Origin, Origins};

/// Where the jars lie that `cargo xtask test` brings.
const JARS: &str = "PLUMB_JARS";
/// What must be among them: the begins of the names of their classes, and how many are linked at least.
const PRODUCTS: [(&str, usize); 5] = [
    ("org.apache.catalina.", 500),
    ("org.eclipse.jetty.", 800),
    ("org.apache.zookeeper.", 500),
    ("org.apache.activemq.", 1200),
    ("clojure.", 2500),
];
/// Least classes that are linked: with the jars, and without.
const CLASSES_MIN: (usize, usize) = (20_000, 5_000);

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
    let driver = java::compile(&["Classes.java"], &["--release", COMPILED_FOR], "driver");
    let from = format!("--patch-module=java.base={}", java::source("").display());
    let probe = java::compile(
        &["PlumbProbe.java", "PlumbBreak.java"],
        &[&from, "-source", COMPILED_FOR, "-target", COMPILED_FOR],
        "probe",
    );
    let (jars, mut origins) = (jars(), Origins::default());
    for Jdk { home, .. } in java::runtimes() {
        let dir = java::scratch("patched");
        let tally = rewrite_all(&home, &driver, &jars, &dir, &mut origins);
        place_probe(&probe, &dir);
        report(&home, &tally);
        check(&tally);
        link(&home, &driver, &dir, &tally, !jars.is_empty());
        // Some 250 MB that only a failure needs.
        fs::remove_dir_all(dir).expect("removed");
    }
    origins.check();
}

/// The jars of servers and a language, where they are.
fn jars() -> Vec<PathBuf> {
    let Some(directory) = env::var_os(JARS) else {
        println!(
            "not tested: the classes of Tomcat, Jetty, ZooKeeper, ActiveMQ and Clojure; set {JARS} to a directory with their jars, or run `cargo xtask test`"
        );
        return Vec::new();
    };
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{JARS}: {}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    // The names without a version are links to the ones with.
    let is_jar = |path: &PathBuf| path.extension().is_some_and(|end| end == "jar") && !path.is_symlink();
    let mut jars: Vec<PathBuf> = paths.filter(is_jar).collect();
    jars.sort();
    jars
}

/// `jdk 17.0.15+6-Debian-1deb12u1, 70 modules`, as the runtime says itself: some have fewer modules than others of their release.
fn image_of(home: &Path, driver: &Path) -> String {
    // Not by the file `release` beside it: in an image that jlink made, that has no version of a build.
    let arguments = ["-cp", &driver.to_string_lossy(), "Classes", "image"].map(str::to_owned);
    java::run(home, &arguments).trim_end().to_owned()
}

/// `jars, 40 of 30000000 bytes together`: as they lie there, whatever is found in them.
fn origin_of(jars: &[PathBuf]) -> String {
    let bytes: u64 = jars.iter().map(|jar| fs::metadata(jar).expect("a jar").len()).sum();
    format!("jars, {} of {bytes} bytes together", jars.len())
}

fn rewrite_all(home: &Path, driver: &Path, jars: &[PathBuf], dir: &Path, origins: &mut Origins) -> Tally {
    let (mut tally, image, of_jars) = (Tally::default(), image_of(home, driver), origin_of(jars));
    // The jars are the same for every runtime, and on the list once.
    let jars_are_new = !origins.has(&of_jars);
    let mut seen = BTreeSet::new();
    java::every_class(home, driver, jars, |class| {
        if !seen.insert((class.module.clone(), class.path.clone())) {
            // Some classes are in several jars.
            return;
        }
        let name = class.path.trim_end_matches(".class").replace('/', ".");
        match round_trip(&class.bytes) {
            Ok(same) if same == class.bytes => {}
            // From before Java 6: left alone.
            Err(Reason::Subroutines) => {}
            Ok(_) => tally.changed.push(name.clone()),
            Err(reason) => tally.changed.push(format!("{name}: {reason}")),
        }
        let is_new = jars_are_new || !class.module.is_empty();
        let origin = if class.module.is_empty() { &of_jars } else { &image };
        let bytes = tally.rewrite(&class, &name, is_new.then(|| origins.of(origin)));
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
    fn rewrite(&mut self, class: &Class, dotted: &str, mut origin: Option<&mut Origin>) -> Vec<u8> {
        let Class { path, bytes, .. } = class;
        // Ids of all sizes, so that every form of pushing one is verified.
        let mut next_id = 0_u32;
        let mut every = Telling(|_: &str, _: &MethodInfo<'_>| {
            next_id = (next_id * 7 + 1) % 100_000;
            Some(next_id)
        });
        let begin = Instant::now();
        let rewritten = rewrite(bytes, &Probes::PLUMB, &mut every);
        self.spent += begin.elapsed();
        self.classes += 1;
        let Some(rewritten) = rewritten.unwrap_or_else(|error| panic!("{path}: {error}")) else {
            return bytes.clone();
        };
        self.probed += rewritten.probed.len();
        if let Some(origin) = &mut origin {
            origin.add_class(bytes.len(), rewritten.probed.len());
        }
        for method in rewritten.left_alone {
            if let Some(origin) = &mut origin {
                origin.add_method(dotted, &method.name, &method.descriptor, &method.reason);
            }
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
fn link(home: &Path, driver: &Path, dir: &Path, tally: &Tally, has_jars: bool) {
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
    check_linked(&printed, tally, has_jars);
}

/// What was left out for want of a class that it names is told; what counts is how many were linked, and so verified.
fn check_linked(printed: &str, tally: &Tally, has_jars: bool) {
    let unresolved = printed.lines().filter_map(|line| line.strip_prefix("unresolved "));
    let unresolved: BTreeSet<&str> = unresolved.filter_map(|line| line.split(' ').next()).collect();
    let linked: Vec<&String> = tally
        .names
        .iter()
        .filter(|name| !unresolved.contains(name.as_str()))
        .collect();
    let (with_jars, without) = CLASSES_MIN;
    let least = if has_jars { with_jars } else { without };
    assert!(
        linked.len() >= least,
        "{} classes are linked of {}",
        linked.len(),
        tally.classes
    );
    let of_image = unresolved
        .iter()
        .filter(|name| !PRODUCTS.iter().any(|(begin, _)| name.starts_with(begin)));
    assert!(
        of_image.clone().count() < tally.classes / 100,
        "{:#?}",
        of_image.collect::<Vec<_>>()
    );
    for (begin, least) in PRODUCTS.iter().filter(|_| has_jars) {
        let linked = linked.iter().filter(|name| name.starts_with(begin)).count();
        println!("  {linked} of {begin}**");
        assert!(linked >= *least, "{linked} classes of {begin}**");
    }
}
