//! From the text of a rule to the method that gets a probe.

use std::fs;

use plumb_filters::{
    MethodRule, Rules, check,
    classpath::{ClassMethod, ClassMethods},
    load,
    matcher::Matcher,
};

fn rules(text: &str) -> Rules {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.toml");
    fs::write(&path, text).unwrap();
    load(&[path.to_str().unwrap().to_owned()]).unwrap()
}

fn matcher(text: &str) -> Matcher {
    Matcher::parse(&rules(text).compile()).unwrap()
}

fn method_rule(pattern: &str) -> Matcher {
    matcher(&format!("[[method]]\nmatch = '{pattern}'"))
}

/// Asserts what a pattern matches: `+class.method` does, `-class.method` does not.
fn check_pattern(pattern: &str, cases: &[&str]) {
    let matcher = method_rule(pattern);
    for case in cases {
        let (class, method) = case[1..].rsplit_once('.').unwrap();
        let class = class.replace('.', "/");
        let is_matched = matcher.method(&class, method, "()V", 10).is_some();
        assert_eq!(is_matched, case.starts_with('+'), "{pattern} {case}");
        assert!(!is_matched || matcher.class_may_match(&class), "{pattern} {case}");
    }
}

#[test]
fn stars_mean_what_they_say() {
    check_pattern(
        "com.shop.Order.pay",
        &["+com.shop.Order.pay", "-com.shop.Order.payAll", "-com.shop.Orders.pay"],
    );
    check_pattern(
        "com.shop.*.pay",
        &[
            "+com.shop.Order.pay",
            "+com.shop.Order$Line.pay",
            "-com.shop.web.Order.pay",
        ],
    );
    check_pattern(
        "com.shop.**.pay",
        &[
            "+com.shop.Order.pay",
            "+com.shop.web.a.Order.pay",
            "-com.shopping.Order.pay",
        ],
    );
    check_pattern(
        "com.shop.**.*Service.*",
        &[
            "+com.shop.CartService.add",
            "+com.shop.a.b.Service.<init>",
            "-com.shop.a.Services.add",
            "-com.Service.add",
        ],
    );
    check_pattern("**.get*", &["+Main.get", "+a.b.C.getX", "-a.b.C.forget"]);
    check_pattern("**", &["+Main.main", "+a.b.C.<clinit>"]);
    check_pattern("com.**", &["+com.A.b", "+com.a.b.C.d", "-org.A.b"]);
    check_pattern("**.web.*.do*", &["+web.A.doGet", "+a.web.A.doGet", "-a.web.b.A.doGet"]);
}

#[test]
fn a_descriptor_picks_one_overload() {
    let matcher = method_rule("com.shop.Order.Pay(J)V");
    assert!(matcher.method("com/shop/Order", "Pay", "(J)V", 1).is_some());
    assert!(matcher.method("com/shop/Order", "Pay", "(I)V", 1).is_none());
}

#[test]
fn short_methods_can_be_left_out() {
    let matcher = matcher("[[method]]\nmatch = '**'\ncode_bytes_min = 40");
    assert!(matcher.method("a/B", "c", "()V", 39).is_none());
    assert!(matcher.method("a/B", "c", "()V", 40).is_some());
}

#[test]
fn accessors_are_left_alone_by_rules_that_do_not_name_them() {
    let small = MethodRule::SMALL_CODE_BYTES as usize;
    let takes = |rule: &str, bytes| {
        matcher(&format!("[[method]]\n{rule}"))
            .method("a/B", "get", "()I", bytes)
            .is_some()
    };
    for rule in ["match = 'a.B.*'", "match = '**'", "match = 'a.*.get'"] {
        assert!(!takes(rule, small - 1) && takes(rule, small), "{rule}");
    }
    for rule in [
        "match = 'a.B.get'",
        "match = 'a.B.get()I'",
        "match = '**'\ncode_bytes_min = 0",
        "match = 'a.**'\nunit = 'job'",
        "match = 'a.B.*'\nidle = true",
        "match = 'a.B.*'\nmin = '1us'",
    ] {
        assert!(takes(rule, 1), "{rule}");
    }
}

#[test]
fn bodies_of_lambdas_have_to_be_asked_for() {
    let takes = |rule: &str| {
        matcher(&format!("[[method]]\nmatch = '{rule}'"))
            .method("com/shop/Cart", "lambda$fill$0", "()V", 100)
            .is_some()
    };
    assert!(
        ["**", "com.shop.Cart.*", "com.shop.Cart.*fill*"]
            .iter()
            .all(|rule| !takes(rule))
    );
    assert!(
        ["com.shop.Cart.lambda$*", "**.lambda$fill$0", "com.shop.Cart.lambda*"]
            .iter()
            .all(|rule| takes(rule))
    );
}

#[test]
fn exclusions_win_and_never_wins_over_all() {
    let matcher = matcher("method = [{ match = '**' }]\nexclude = [{ match = '**.get*' }, { match = 'com.lib.**' }]");
    assert!(matcher.method("com/shop/Order", "pay", "()V", 9).is_some());
    assert!(matcher.method("com/shop/Order", "getId", "()J", 9).is_none());
    assert!(matcher.class_may_match("com/shop/Order"));
    assert!(!matcher.class_may_match("com/lib/a/B"));
    assert!(!matcher.class_may_match("java/lang/String"));
    assert!(matcher.method("java/lang/String", "length", "()I", 9).is_none());
    assert!(matcher.class_may_match("java/lang/Thread"));
    assert!(
        matcher
            .method("java/lang/Thread", "setName", "(Ljava/lang/String;)V", 9)
            .is_some()
    );
    assert!(!method_rule("java.lang.Thread.run").class_may_match("java/lang/Thread"));
}

#[test]
fn a_rule_that_names_a_unit_goes_before_one_that_does_not() {
    let matcher =
        matcher("method = [{ match = '**' }, { match = 'a.B.c', unit = 'job' }, { match = 'a.**', unit = 'other' }]");
    let action = matcher.method("a/B", "c", "()V", 9).unwrap();
    assert_eq!((action.rule, action.unit), (1, Some("job")));
    let action = matcher.method("x/B", "c", "()V", 9).unwrap();
    assert_eq!((action.rule, action.unit), (0, None));
}

#[test]
fn a_preset_may_match_nothing() {
    let rules = rules("use = ['tomcat']\nmethod = [{ match = 'a.A.run' }]");
    let report = check(&rules, [class("a/A", &["run"])]);
    assert_eq!(
        report.rules.iter().map(|hits| hits.methods).collect::<Vec<_>>(),
        [1, 0, 0]
    );
    assert_eq!(report.unmatched, []);
}

fn class(name: &str, methods: &[&str]) -> ClassMethods {
    let method = |name: &&str| ClassMethod {
        name: name.trim_start_matches('!').to_owned(),
        descriptor: "()V".to_owned(),
        code_bytes: (!name.starts_with('!')).then_some(10),
        annotations: Vec::new(),
    };
    ClassMethods {
        name: name.to_owned(),
        supertypes: Vec::new(),
        annotations: Vec::new(),
        methods: methods.iter().map(method).collect(),
    }
}

#[test]
fn kin_and_annotations() {
    let rules = rules(
        "method = [
  { match = '+java.sql.Statement.execute*' },
  { match = '@com.shop.Traced.*' },
]",
    );
    let mut pooled = class("a/Pooled", &["execute", "close"]);
    pooled.supertypes = vec!["a/Base".into()];
    let mut base = class("a/Base", &["executeBatch"]);
    base.supertypes = vec!["java/lang/Object".into(), "java/sql/Statement".into()];
    let mut traced = class("b/All", &["one", "two"]);
    traced.annotations = vec!["com/shop/Traced".into()];
    let mut partly = class("b/One", &["one", "two"]);
    partly.methods[0].annotations = vec!["com/shop/Traced".into()];
    let report = check(&rules, [pooled, base, traced, partly, class("c/Other", &["execute"])]);
    assert_eq!(report.rules.iter().map(|hits| hits.methods).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(report.unmatched, []);

    let matcher = Matcher::parse(&rules.compile()).unwrap();
    assert!(matcher.needs_kin() && !method_rule("a.B.c").needs_kin());
    // Annotations are known only from the class file.
    assert!(matcher.class_may_match("any/Class") && !matcher.class_may_match("java/lang/String"));
    let only_kin = method_rule("+java.sql.Statement.*");
    assert!(!only_kin.class_may_match("a/Base"));
    assert!(only_kin.class_may_match_with("a/Base", &["java/sql/Statement".into()]));
}

#[test]
fn a_check_counts_and_names_rules_that_match_nothing() {
    let rules = rules(
        "method = [
  { match = 'a.*.*' }, # an abstract method gets no probe
  { match = 'b.**.run' },
  { match = 'java.lang.String.length' },
]
exclude = [{ match = '**.get*' }, { match = '**.set*' }]",
    );
    let classes = [
        class("a/A", &["run", "getX", "!stop"]),
        class("a/B", &["run", "walk"]),
        class("java/lang/String", &["length"]),
    ];
    let report = check(&rules, classes);
    assert_eq!(
        (
            report.classes,
            report.methods,
            report.classes_probed,
            report.methods_probed
        ),
        (3, 5, 2, 3)
    );
    let first = &report.rules[0];
    assert_eq!((first.classes, first.methods, first.left_alone), (2, 3, 1));
    let unmatched: Vec<String> = report
        .unmatched
        .iter()
        .map(|mistake| {
            let place = mistake.place.as_ref().unwrap();
            format!("{}:{} {}", place.line, place.column, mistake.message)
        })
        .collect();
    assert_eq!(
        unmatched,
        [
            "3:13 `b.**.run` matches nothing in the classes looked at",
            "4:13 `java.lang.String.length` matches 1 methods, all of which are left alone",
            "6:45 `**.set*` matches nothing in the classes looked at",
        ]
    );
    let text = report.to_string();
    assert!(
        text.ends_with("3 of 5 methods in 2 of 3 classes would get a probe"),
        "{text}"
    );
}
