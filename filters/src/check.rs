//! What rules would match in given classes: before anything is attached to.

use std::fmt;

use crate::{
    Diagnostic, Place, Rules,
    classpath::{ClassMethod, ClassMethods},
    matcher::{Hierarchy, Kin, Matcher, never},
    presets::is_preset,
};

/// What a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHits {
    /// The pattern as written.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    /// Classes in which it matches a method with code.
    pub classes: u64,
    /// Methods with code that it matches. Of a method rule, without those that are left alone.
    pub methods: u64,
    /// Methods that it matches and that are left alone: excluded, too small, the body of a lambda, or never transformed. 0 for an exclusion.
    pub left_alone: u64,
    /// Methods whose units have no key although the rule wants one: they have no such argument, or it is neither a String nor an integer.
    pub keyless: u64,
}

/// What rules would match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Classes looked at.
    pub classes: u64,
    /// Methods with code looked at.
    pub methods: u64,
    /// Classes that would be rewritten.
    pub classes_probed: u64,
    /// Methods that would get a probe.
    pub methods_probed: u64,
    /// By method rule, in the order of the rules.
    pub rules: Vec<RuleHits>,
    /// By exclusion.
    pub excludes: Vec<RuleHits>,
    /// Rules of files that match nothing. A preset's are not among them: it is made for more classes than a class path need hold.
    pub unmatched: Vec<Diagnostic>,
}

/// Says what `rules` would match in `classes`.
pub fn check(rules: &Rules, classes: impl IntoIterator<Item = ClassMethods>) -> CheckReport {
    let matcher = Matcher::from_image(rules.image());
    let mut report = CheckReport {
        rules: rules
            .methods
            .iter()
            .map(|rule| no_hits(&rule.text, &rule.place))
            .collect(),
        excludes: rules
            .excludes
            .iter()
            .map(|rule| no_hits(&rule.text, &rule.place))
            .collect(),
        ..CheckReport::default()
    };
    let classes: Vec<ClassMethods> = classes.into_iter().collect();
    let mut hierarchy = Hierarchy::default();
    for class in &classes {
        hierarchy.learn(&class.name, class.supertypes.iter().map(String::as_str));
    }
    for class in &classes {
        report.count_class(&matcher, &hierarchy, class);
    }
    let keyless = keyless(rules, &report.rules);
    let of_files = report
        .rules
        .iter()
        .chain(&report.excludes)
        .filter(|hits| !is_preset(&hits.place.file));
    report.unmatched = of_files.filter_map(why_nothing).chain(keyless).collect();
    report
}

fn no_hits(text: &str, place: &Place) -> RuleHits {
    RuleHits {
        text: text.to_owned(),
        place: place.clone(),
        classes: 0,
        methods: 0,
        left_alone: 0,
        keyless: 0,
    }
}

impl CheckReport {
    fn count_class(&mut self, matcher: &Matcher, hierarchy: &Hierarchy, class: &ClassMethods) {
        let supertypes = hierarchy.supertypes(&class.name);
        self.classes += 1;
        let before = self.clone_methods();
        let probed_before = self.methods_probed;
        for method in &class.methods {
            if let Some(code_bytes) = method.code_bytes {
                let kin = Kin {
                    supertypes: &supertypes,
                    annotations: &class.annotations,
                    method_annotations: &method.annotations,
                };
                self.count_method(matcher, &class.name, method, code_bytes as usize, &kin);
            }
        }
        self.classes_probed += u64::from(self.methods_probed > probed_before);
        for (hits, before) in self.rules.iter_mut().chain(&mut self.excludes).zip(before) {
            hits.classes += u64::from(hits.methods > before);
        }
    }

    fn clone_methods(&self) -> Vec<u64> {
        self.rules
            .iter()
            .chain(&self.excludes)
            .map(|hits| hits.methods)
            .collect()
    }

    fn count_method(&mut self, matcher: &Matcher, class: &str, method: &ClassMethod, code_bytes: usize, kin: &Kin<'_>) {
        let (name, descriptor) = (&*method.name, &*method.descriptor);
        self.methods += 1;
        let mut is_excluded = false;
        for index in matcher.matching_excludes(class, name, descriptor, kin) {
            self.excludes[index as usize].methods += 1;
            is_excluded = true;
        }
        let is_left_alone = is_excluded || never::method(class, name);
        let mut is_probed = false;
        for index in matcher.matching_rules(class, name, descriptor, kin) {
            let is_left_alone = is_left_alone || matcher.is_left_alone(index, name, code_bytes);
            let hits = &mut self.rules[index as usize];
            *(if is_left_alone {
                &mut hits.left_alone
            } else {
                &mut hits.methods
            }) += 1;
            is_probed |= !is_left_alone;
            hits.keyless += u64::from(!is_left_alone && matcher.lacks_key(index, name, descriptor));
        }
        self.methods_probed += u64::from(is_probed);
    }
}

/// Rules that ask for a key where no method has one to give.
fn keyless(rules: &Rules, hits: &[RuleHits]) -> Vec<Diagnostic> {
    let asked = rules.methods.iter().zip(hits);
    let asked = asked.filter_map(|(rule, hits)| Some((rule.key?, hits)));
    let never = asked.filter(|(_, hits)| hits.methods > 0 && hits.keyless == hits.methods);
    never
        .map(|(key, hits)| Diagnostic {
            place: Some(hits.place.clone()),
            message: format!(
                "`{}`: argument {key} can be no key in any of the {} methods",
                hits.text, hits.methods
            ),
            help: "a key is a String, long, int, short or byte; the first argument is 1; constructors give none"
                .to_owned(),
        })
        .collect()
}

fn why_nothing(hits: &RuleHits) -> Option<Diagnostic> {
    let RuleHits {
        text,
        place,
        methods,
        left_alone,
        ..
    } = hits;
    let (message, help) = match (methods, left_alone) {
        (0, 0) => (
            format!("`{text}` matches nothing in the classes looked at"),
            "check its spelling; * stays within a name or level, ** crosses packages".to_owned(),
        ),
        (0, count) => (
            format!("`{text}` matches {count} methods, all of which are left alone"),
            "an [[exclude]] covers them, they are too small (code_bytes_min = 0 takes them all) or bodies of lambdas (`com.shop.Cart.lambda$*` asks for them), or they belong to what is never transformed".to_owned(),
        ),
        _ => return None,
    };
    Some(Diagnostic {
        place: Some(place.clone()),
        message,
        help,
    })
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} {:>9} {:>11}  rule", "classes", "methods", "left alone")?;
        for hits in &self.rules {
            writeln!(
                f,
                "{:>9} {:>9} {:>11}  {}  ({})",
                hits.classes, hits.methods, hits.left_alone, hits.text, hits.place
            )?;
        }
        for hits in &self.excludes {
            writeln!(
                f,
                "{:>9} {:>9} {:>11}  not {}  ({})",
                hits.classes, hits.methods, "-", hits.text, hits.place
            )?;
        }
        write!(
            f,
            "{} of {} methods in {} of {} classes would get a probe",
            self.methods_probed, self.methods, self.classes_probed, self.classes
        )
    }
}
