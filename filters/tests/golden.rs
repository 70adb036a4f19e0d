//! Rule files and what becomes of them; see golden/README.md.

use std::{env, fmt::Write, fs, path::Path};

use plumb_filters::{Diagnostics, Rules, classpath::list, load, matcher::Matcher, preset_names};

/// Compares what `args` load to with the golden file, or writes it when `PLUMB_BLESS` is set.
fn check(name: &str, args: &[&str]) {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let got = match load(&args) {
        Ok(rules) => describe(&rules),
        Err(Diagnostics(mistakes)) => mistakes.iter().map(|mistake| format!("{mistake}\n")).collect(),
    };
    let path = Path::new("tests/golden").join(name).with_extension("txt");
    if env::var_os("PLUMB_BLESS").is_some() {
        fs::write(&path, &got).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, wanted, "{} differs; PLUMB_BLESS=1 writes it anew", path.display());
}

fn describe(rules: &Rules) -> String {
    let mut out = String::new();
    for source in &rules.sources {
        writeln!(out, "source  {}", source.name).unwrap();
    }
    for group in &rules.groups {
        writeln!(out, "group   {} = {}", group.name, group.threads.join(" | ")).unwrap();
    }
    for rule in &rules.methods {
        let unit = rule.unit.as_deref().unwrap_or("-");
        let key = rule.key.map_or(String::new(), |key| format!(" key={key}"));
        let of_unit = key + if rule.handover { " handover" } else { "" };
        writeln!(
            out,
            "method  {} unit={unit}{of_unit} idle={} min_ns={} code_bytes_min={} {}",
            rule.text, rule.idle, rule.min_ns, rule.code_bytes_min, rule.place
        )
        .unwrap();
    }
    for rule in &rules.excludes {
        writeln!(out, "exclude {} {}", rule.text, rule.place).unwrap();
    }
    writeln!(out, "jvm     {:?}", rules.jvm).unwrap();
    writeln!(out, "kernel  {:?}", rules.kernel).unwrap();
    for stack in &rules.stacks {
        let threads = stack.threads.join(" | ");
        writeln!(out, "stack   {threads} longer_ns={} {}", stack.longer_ns, stack.place).unwrap();
    }
    for trigger in &rules.triggers {
        let (keep, after) = (trigger.keep_ns, trigger.after_ns);
        writeln!(out, "trigger {:?} keep_ns={keep} after_ns={after}", trigger.when).unwrap();
    }
    out
}

#[test]
fn mistakes_of_every_kind_are_told_at_once() {
    check("mistakes", &["tests/golden/mistakes.toml"]);
}

#[test]
fn wrong_patterns_are_told_to_the_character() {
    check("patterns", &["tests/golden/patterns.toml"]);
}

#[test]
fn broken_toml_is_told_once_a_line() {
    check("syntax", &["tests/golden/syntax.toml"]);
}

#[test]
fn values_of_a_wrong_type_are_told() {
    check("types", &["tests/golden/types.toml"]);
}

#[test]
fn scopes_of_the_kernel_s_events() {
    check("scope", &["tests/golden/scope.toml"]);
    check("scope_mistakes", &["tests/golden/scope_mistakes.toml"]);
}

#[test]
fn triggers() {
    check("trigger", &["tests/golden/trigger.toml"]);
    check("trigger_unknown", &["tests/golden/trigger_unknown.toml"]);
}

#[test]
fn circles_are_told() {
    check("circle", &["tests/golden/circle.toml"]);
}

#[test]
fn names_on_the_command_line_are_checked() {
    check(
        "arguments",
        &["nosuch", "./nosuch.toml", "/etc", "tests/golden/circle.toml"],
    );
}

#[test]
fn files_combine_the_nearest_first() {
    check("good", &["tests/golden/good.toml"]);
}

#[test]
fn a_later_argument_wins() {
    check("order", &["jvm", "tests/golden/used/own.toml", "kernel"]);
}

#[test]
fn nothing_asked_for_is_nothing_wanted() {
    let rules = load(&[]).unwrap();
    assert_eq!(rules, Rules::default());
    assert!(!rules.want_jvm());
}

#[test]
fn every_preset_loads_and_compiles() {
    for name in preset_names() {
        let rules = load(&[name.to_owned()]).unwrap();
        let matcher = Matcher::parse(&rules.compile()).unwrap();
        assert_eq!(matcher.is_empty_of_methods(), rules.methods.is_empty(), "{name}");
        assert_eq!(matcher.features(), rules.jvm, "{name}");
    }
}

/// Of the jars that `cargo xtask test` brings: Netty 4.1 and Tomcat 10.
#[test]
fn what_presets_name_is_there() {
    let Some(jars) = env::var_os("PLUMB_JARS") else {
        println!("not tested: the methods that presets name; set PLUMB_JARS, or run `cargo xtask test`");
        return;
    };
    let listing = list(&jars.to_string_lossy()).unwrap();
    for (name, later) in [
        ("netty", ["nio.NioIoHandler", "epoll.EpollIoHandler"].as_slice()),
        ("tomcat", &[]),
    ] {
        let report = plumb_filters::check(&load(&[name.to_owned()]).unwrap(), listing.classes.clone());
        let missing: Vec<&str> = report
            .rules
            .iter()
            .filter(|hits| hits.methods == 0)
            .map(|hits| hits.text.as_str())
            .collect();
        let of_later: Vec<&str> = report.rules.iter().map(|hits| hits.text.as_str()).collect();
        let is_later = |text: &&str| later.iter().any(|class| text.contains(class));
        let of_later: Vec<&str> = of_later.into_iter().filter(is_later).collect();
        assert_eq!(
            missing, of_later,
            "{name}: what later versions have is missing, and nothing else"
        );
        assert!(report.rules.iter().all(|hits| hits.left_alone == 0), "{name}: {report}");
    }
}

#[test]
fn nettys_threads_find_their_groups() {
    let rules = load(&["netty".to_owned()]).unwrap();
    let group = |thread: &str| rules.group_of(thread).map(|group| group.name.as_str());
    for thread in [
        "nioEventLoopGroup-3-1",
        "epollEventLoopGroup-2-16",
        "reactor-http-epoll-4",
    ] {
        assert_eq!(group(thread), Some("event-loop"), "{thread}");
    }
    assert_eq!(group("globalEventExecutor-1-1"), Some("executor"));
    assert_eq!(group("main"), None);
}

#[test]
fn tomcats_threads_find_their_groups() {
    let rules = load(&["tomcat".to_owned()]).unwrap();
    let group = |thread: &str| rules.group_of(thread).map(|group| group.name.as_str());
    assert_eq!(group("http-nio-8080-exec-10"), Some("request"));
    assert_eq!(group("https-jsse-nio-8443-exec-1"), Some("request"));
    assert_eq!(group("http-nio-127.0.0.1-8080-exec-1"), Some("request"));
    assert_eq!(group("http-nio-8080-Acceptor"), Some("acceptor"));
    assert_eq!(group("http-nio-8080-Poller"), Some("poller"));
    assert_eq!(group("Catalina-utility-2"), Some("container"));
    assert_eq!(group("GC Thread#1"), Some("gc"));
    assert_eq!(group("C2 CompilerThre"), Some("jit"));
    assert_eq!(group("C2 CompilerThread0"), Some("jit"));
    assert_eq!(group("VM Periodic Tas"), Some("vm"));
    assert_eq!(group("postgres"), None);
}
