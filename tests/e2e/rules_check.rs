//! `plumb rules check --pid`: what rules would match in a JVM that runs, which does not notice.

use crate::support::{Running, java, jdks, machine, plumb, scratch, succeed, told};
use std::{fs, io::Write as _, process::Command};

const RULES: &str = r#"
[[method]]
match = "Calls.leaf"

[[method]]
match = "+Calls.nothing*"

[[method]]
match = "@java.lang.Deprecated.*"

[[exclude]]
match = "Calls.main"
"#;

#[test]
fn a_running_jvm_tells_what_rules_would_match_and_stays_as_it_is() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let rules = dir.path().join("rules.toml");
        fs::write(&rules, RULES).expect("writable");
        let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
        calls.line_with("ready");
        let pid = calls.pid().to_string();
        let check = |file: &std::path::Path| -> std::process::Output {
            let mut command: Command = plumb();
            command.args(["rules", "check"]).arg(file).args(["--pid", &pid]);
            command.output().expect("plumb runs")
        };
        let found = check(&rules);
        let said = told(&found);
        assert_eq!(found.status.code(), Some(1), "one rule matches nothing: {said}");
        let row = |text: &str| -> Vec<String> {
            let line = said
                .lines()
                .find(|line| line.contains(text) && line.contains("rules.toml"));
            let line = line.unwrap_or_else(|| panic!("JDK {version}: no row of {text}: {said}"));
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(row(" Calls.leaf ")[..3], ["1", "1", "0"], "{said}");
        assert_eq!(row(" not Calls.main ")[..2], ["1", "1"], "{said}");
        assert!(said.contains("1 of ") && said.contains("methods in 1 of "), "{said}");
        assert!(
            said.contains("rules.toml:6:9: `+Calls.nothing*` matches nothing"),
            "{said}"
        );
        assert!(
            said.contains("`@java.lang.Deprecated.*` is about annotations"),
            "{said}"
        );

        fs::write(&rules, "[[method]]\nmatch = \"Calls.*\"\n").expect("writable");
        assert!(check(&rules).status.success(), "every rule matches");
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .expect("its threads")
            .flatten();
        let mut names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        assert!(
            !names.any(|name| name.starts_with("plumb")),
            "no thread of ours is left"
        );
        succeed(plumb().args(["detach", "--pid", &pid]));
        writeln!(calls.stdin()).expect("the program lives on");
        calls.line_with("{\"calls\"");
        writeln!(calls.stdin()).expect("the program lives on");
        let (status, said) = calls.end();
        assert!(status.success(), "JDK {version}: {said}");
    }
}
