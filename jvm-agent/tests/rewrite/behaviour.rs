//! A program with probes in all of its methods does what it did, and its probes count every call.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plumb_agent::rewrite::{MethodInfo, Probes, rewrite};

use crate::begins::Telling;
use crate::java;

const PROBES: Probes<'_> = Probes {
    class: "PairProbe",
    enter: "enter",
    exit: "exit",
    thrown: "thrown",
    object: "object",
    text: "text",
    number: "number",
    given: "given",
};

/// The last major version whose classes have no frames, so that the JVM infers types itself.
const JAVA_5: u8 = 49;

/// Times entered, returned from, left by an exception.
type Counts = [u64; 3];

/// `class.method(descriptor` → counts, for the methods whose calls follow from the source.
const EXPECTED: [(&str, Counts); 25] = [
    ("Behaviour.factorial(I)J", [11, 11, 0]),
    ("Behaviour.half(I)F", [1, 1, 0]),
    ("Behaviour.wide(JD)D", [1, 1, 0]),
    ("Behaviour.text(Ljava/lang/Object;)Ljava/lang/String;", [1, 1, 0]),
    ("Behaviour.countdown(I)I", [2, 2, 0]),
    ("Behaviour.nested(I)Ljava/lang/String;", [5, 5, 0]),
    // By nested 1 returns and 3 throw, by Refuses 1 throws, by forever 2 return and 1 throws.
    ("Behaviour.fail(I)V", [8, 3, 5]),
    ("Behaviour.table(I)I", [2, 2, 0]),
    ("Behaviour.lookup(I)C", [2, 2, 0]),
    ("Behaviour.strings(Ljava/lang/String;)I", [2, 2, 0]),
    ("Behaviour.caught(I)Ljava/lang/String;", [1, 1, 0]),
    ("Behaviour.throwAt(I)V", [7, 0, 7]),
    ("Behaviour.monitor(Ljava/lang/Object;Z)I", [2, 2, 0]),
    ("Behaviour.locked(Z)V", [3, 2, 1]),
    ("Behaviour$Initialised.<clinit>()V", [1, 1, 0]),
    ("Behaviour$Uninitialised.<clinit>()V", [1, 0, 1]),
    ("Behaviour$Base.<init>(I)V", [10, 9, 1]),
    ("Behaviour$Copy.<init>(I)V", [2, 2, 0]),
    ("Behaviour$Copy.<init>()V", [1, 1, 0]),
    ("Behaviour$Loop.<init>(I)V", [1, 1, 0]),
    ("Behaviour$Counter.add(I)J", [4_000, 3_600, 400]),
    ("Behaviour$Counter.failed()V", [400, 400, 0]),
    ("Behaviour.untilThrown()I", [1, 1, 0]),
    ("Behaviour.forever([I)V", [1, 0, 1]),
    ("Behaviour$1.run()V", [4, 4, 0]),
];

/// Constructors that jump before they call super(…): without frames they are left alone.
const JUMPING: [(&str, Counts); 2] = [
    ("Behaviour$Derived.<init>(Z)V", [2, 2, 0]),
    ("Behaviour$Refuses.<init>(Z)V", [1, 0, 1]),
];

#[test]
fn probes_count_every_call_and_change_nothing() {
    let plain = java::compile(
        &["Behaviour.java", "PairProbe.java"],
        &["--release", "8", "-Xlint:-options"],
        "plain",
    );
    for major in [None, Some(JAVA_5)] {
        let probed = java::scratch("probed");
        let names = probe_all(&plain, &probed, major);
        for jdk in java::runtimes() {
            let counted = check_run(&jdk.home, &plain, &probed, &names);
            for (method, counts) in EXPECTED {
                assert_eq!(counted.get(method), Some(&counts), "{method}, {major:?}");
            }
            for (method, counts) in JUMPING {
                let expected = if major.is_none() { Some(&counts) } else { None };
                assert_eq!(counted.get(method), expected, "{method}, {major:?}");
            }
        }
    }
}

/// Rewrites the program's classes, and says which method has which id.
fn probe_all(from: &Path, to: &Path, major: Option<u8>) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(from).expect("compiled classes") {
        let path = entry.expect("entry").path();
        let mut bytes = fs::read(&path).expect("class");
        let name = path.file_name().expect("a file").to_owned();
        if !name.to_string_lossy().starts_with("PairProbe") {
            bytes[7] = major.unwrap_or(bytes[7]);
            bytes = probe_class(&bytes, &mut names);
        }
        fs::write(to.join(name), bytes).expect("written");
    }
    names
}

fn probe_class(bytes: &[u8], names: &mut BTreeMap<u32, String>) -> Vec<u8> {
    let mut selector = Telling(|class: &str, method: &MethodInfo<'_>| {
        // Ids of all sizes, so that they are pushed in every way there is.
        let count = names.len() as u32;
        let id = if count.is_multiple_of(2) { count } else { count * 3_001 };
        // main has not ended when the counts are printed.
        let chosen = method.name != "main";
        chosen.then(|| {
            names.insert(id, format!("{class}.{}{}", method.name, method.descriptor));
            id
        })
    });
    rewrite(bytes, &PROBES, &mut selector)
        .expect("a class")
        .expect("has methods")
        .bytes
}

/// Runs the program without and with probes under full verification; returns the counts by method.
fn check_run(home: &Path, plain: &Path, probed: &Path, names: &BTreeMap<u32, String>) -> BTreeMap<String, Counts> {
    let run = |classes: &Path| {
        let arguments = ["-Xverify:all", "-cp", &classes.display().to_string(), "Behaviour"];
        java::run(home, &arguments.map(str::to_owned))
    };
    let (before, after) = (run(plain), run(probed));
    let said = |printed: &str| {
        let lines = printed.lines().filter(|line| !line.starts_with("probe "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(said(&before), said(&after));
    assert!(before.ends_with("mismatches 0\n"), "{before}");
    let mut counted = BTreeMap::new();
    for line in after.lines().filter_map(|line| line.strip_prefix("probe ")) {
        let numbers: Vec<u64> = line
            .split(' ')
            .map(|number| number.parse().expect("a number"))
            .collect();
        let counts = [numbers[1], numbers[2], numbers[3]];
        let name = &names[&(numbers[0] as u32)];
        assert_eq!(counts[0], counts[1] + counts[2], "{name}");
        counted.insert(name.clone(), counts);
    }
    counted
}
