//! The compiled rules, as the agent reads them: which classes and methods get a probe.
//!
//! Depends on nothing but std. [`Matcher::parse`] checks every byte (see `format`); after it, no lookup
//! allocates, and a lookup costs at most the number of rules times the length of the name.

mod argument;
mod features;
mod format;
mod glob;
mod kin;
pub mod never;

use std::fmt;

pub use self::argument::{Argument, ArgumentKind, argument};
pub use self::features::{FEATURE_NAMES, FEATURES, Features, JvmFeatures};
#[cfg(feature = "compile")]
pub(crate) use self::format::StackImage;
#[cfg(feature = "compile")]
pub(crate) use self::format::{BYTES_MAX, encode};
pub(crate) use self::format::{Image, Pattern, RuleImage};
pub(crate) use self::kin::Relation;
pub use self::kin::{Hierarchy, Kin};

/// How javac's names of the methods begin that hold the bodies of lambdas.
const LAMBDA: &str = "lambda$";

/// Most different lengths below which calls leave no record.
pub const MINIMUMS_MAX: usize = 31;

/// What to do with a method that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodAction<'m> {
    /// Index of the rule in the compiled rules' methods.
    pub rule: u32,
    /// The unit of work that each call is one of.
    pub unit: Option<&'m str>,
    /// Which argument is the unit's key, from 1.
    pub key: Option<u8>,
    /// The unit goes on in tasks that are handed over to other threads.
    pub handover: bool,
    /// A thread in it has nothing to do.
    pub idle: bool,
    /// Shorter calls leave no record, ns.
    pub min_ns: u64,
}

/// Compiled rules, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    image: Image,
}

impl Matcher {
    /// Reads compiled rules.
    ///
    /// # Errors
    /// If `bytes` are not exactly what this version of plumb compiles, naming the offset where they stop to be.
    pub fn parse(bytes: &[u8]) -> Result<Self, MatcherError> {
        format::decode(bytes).map(|image| Self { image })
    }

    /// Rules that need no check.
    #[cfg(feature = "compile")]
    pub(crate) fn from_image(image: Image) -> Self {
        Self { image }
    }

    /// Whether a method of the class could match: a cheap test before the class file is parsed.
    /// `class` is an internal name, `org/apache/catalina/core/StandardHostValve`.
    /// Rules about supertypes know nothing then, and rules about annotations take every class.
    pub fn class_may_match(&self, class: &str) -> bool {
        self.class_may_match_with(class, &[])
    }

    /// Whether some rule or exclusion is about the class, which extends or implements `supertypes`; those about annotations are not looked at.
    pub fn names_class(&self, class: &str, supertypes: &[String]) -> bool {
        let kin = Kin {
            supertypes,
            ..Kin::default()
        };
        let rules = self.image.rules.iter().map(|rule| &rule.pattern);
        rules
            .chain(&self.image.excludes)
            .any(|pattern| pattern.matches_class(class, &kin))
    }

    /// As [`Matcher::class_may_match`], of a class that extends or implements `supertypes`.
    pub fn class_may_match_with(&self, class: &str, supertypes: &[String]) -> bool {
        let kin = Kin {
            supertypes,
            ..Kin::default()
        };
        let probed = |pattern: &Pattern| {
            (pattern.relation == Relation::Annotated || pattern.matches_class(class, &kin))
                && !never::whole_class(class, &pattern.method)
        };
        self.image.rules.iter().any(|rule| probed(&rule.pattern))
            && !self
                .image
                .excludes
                .iter()
                .any(|pattern| pattern.is_whole_class() && pattern.matches_class(class, &kin))
    }

    /// What to do with a method, if anything. `class` is an internal name, `code_len` the length of its code in bytes.
    ///
    /// Of several rules that match, the first that names a unit of work acts, else the first.
    pub fn method(&self, class: &str, name: &str, descriptor: &str, code_len: usize) -> Option<MethodAction<'_>> {
        self.method_with(class, name, descriptor, code_len, &Kin::default())
    }

    /// As [`Matcher::method`], with what is known of the class and the method beside their names.
    pub fn method_with(
        &self,
        class: &str,
        name: &str,
        descriptor: &str,
        code_len: usize,
        kin: &Kin<'_>,
    ) -> Option<MethodAction<'_>> {
        let mut found = None;
        for rule in self.matching_rules(class, name, descriptor, kin) {
            let image = self.image.rules.get(rule as usize);
            let Some(image) = image.filter(|_| !self.is_left_alone(rule, name, code_len)) else {
                continue;
            };
            let action = MethodAction {
                rule,
                unit: self.unit_of(rule),
                key: image.key,
                handover: image.handover,
                min_ns: image.min_ns,
                idle: image.idle,
            };
            if action.unit.is_some() {
                found = Some(action);
                break;
            }
            found = found.or(Some(action));
        }
        found.filter(|_| !never::method(class, name) && !self.is_excluded(class, name, descriptor, kin))
    }

    /// The lengths below which calls leave no record, each once, ns.
    pub fn minimums(&self) -> Vec<u64> {
        let mut minimums: Vec<u64> = self
            .image
            .rules
            .iter()
            .map(|rule| rule.min_ns)
            .filter(|min| *min > 0)
            .collect();
        minimums.sort_unstable();
        minimums.dedup();
        minimums
    }

    /// Whether the rule of this index wants a key that the method has not to give.
    #[cfg(feature = "compile")]
    pub(crate) fn lacks_key(&self, rule: u32, name: &str, descriptor: &str) -> bool {
        let key = self.image.rules.get(rule as usize).and_then(|rule| rule.key);
        key.is_some_and(|key| name == "<init>" || argument(descriptor, key).is_none())
    }

    /// Whether any rule gives its units keys.
    pub fn has_keys(&self) -> bool {
        self.image.rules.iter().any(|rule| rule.key.is_some())
    }

    /// Whether any rule's units go on in tasks that are handed over.
    pub fn hands_over(&self) -> bool {
        self.image.rules.iter().any(|rule| rule.handover)
    }

    /// Whether any rule is about supertypes or annotations, so that it is worth to learn them.
    pub fn needs_kin(&self) -> bool {
        let rules = self.image.rules.iter().map(|rule| &rule.pattern);
        rules
            .chain(&self.image.excludes)
            .any(|pattern| pattern.relation != Relation::Is)
    }

    /// Whether the stack of any thread's long waits is wanted.
    pub fn wants_stacks(&self) -> bool {
        !self.image.stacks.is_empty()
    }

    /// Beyond which length a wait of a thread of that name is to be told with its stack, ns; none: never.
    pub fn stack_after_ns(&self, thread_name: &str) -> Option<u64> {
        let names_it = |stack: &&format::StackImage| glob::thread_matches(&stack.threads, thread_name);
        self.image.stacks.iter().find(names_it).map(|stack| stack.longer_ns)
    }

    /// The shortest of these lengths, ns; none where no stack is wanted.
    pub fn stack_after_ns_min(&self) -> Option<u64> {
        self.image.stacks.iter().map(|stack| stack.longer_ns).min()
    }

    /// Which of the JVM's own events are wanted.
    pub fn features(&self) -> JvmFeatures {
        self.image.features
    }

    /// Whether no method can ever match, so that no class need be looked at.
    pub fn is_empty_of_methods(&self) -> bool {
        self.image.rules.is_empty()
    }

    /// Indexes of the rules that match, exclusions left apart.
    pub(crate) fn matching_rules(
        &self,
        class: &str,
        name: &str,
        descriptor: &str,
        kin: &Kin<'_>,
    ) -> impl Iterator<Item = u32> {
        let matches = move |rule: &RuleImage| rule.pattern.matches(class, name, descriptor, kin);
        self.image
            .rules
            .iter()
            .zip(0..)
            .filter(move |(rule, _)| matches(rule))
            .map(|(_, index)| index)
    }

    /// Whether a rule leaves a method alone that its pattern matches: it has too little code, or is the body of a lambda, which a rule has to ask for.
    pub(crate) fn is_left_alone(&self, rule: u32, name: &str, code_len: usize) -> bool {
        self.image.rules.get(rule as usize).is_some_and(|rule| {
            let is_lambda = name.starts_with(LAMBDA) && !rule.pattern.asks_for_lambdas();
            is_lambda || code_len < rule.code_bytes_min as usize
        })
    }

    /// Indexes of the exclusions that match.
    #[cfg(feature = "compile")]
    pub(crate) fn matching_excludes(
        &self,
        class: &str,
        name: &str,
        descriptor: &str,
        kin: &Kin<'_>,
    ) -> impl Iterator<Item = u32> {
        let matches = move |pattern: &Pattern| pattern.matches(class, name, descriptor, kin);
        self.image
            .excludes
            .iter()
            .zip(0..)
            .filter(move |(pattern, _)| matches(pattern))
            .map(|(_, index)| index)
    }

    fn is_excluded(&self, class: &str, name: &str, descriptor: &str, kin: &Kin<'_>) -> bool {
        self.image
            .excludes
            .iter()
            .any(|pattern| pattern.matches(class, name, descriptor, kin))
    }

    fn unit_of(&self, rule: u32) -> Option<&str> {
        let unit = self.image.rules.get(rule as usize)?.unit?;
        self.image.units.get(usize::from(unit)).map(|name| &**name)
    }
}

impl Pattern {
    fn matches_class(&self, class: &str, kin: &Kin<'_>) -> bool {
        let is_it = |name: &str| glob::class_matches(&self.class, name);
        let any = |names: &[String]| names.iter().any(|name| is_it(name));
        match self.relation {
            Relation::Is => is_it(class),
            Relation::Extends => is_it(class) || any(kin.supertypes),
            Relation::Annotated => any(kin.annotations) || any(kin.method_annotations),
        }
    }

    fn matches(&self, class: &str, name: &str, descriptor: &str, kin: &Kin<'_>) -> bool {
        // The method's name is the cheaper test and fails more often.
        glob::name_matches(&self.method, name)
            && self.descriptor.as_deref().is_none_or(|wanted| wanted == descriptor)
            && self.matches_class(class, kin)
    }

    fn asks_for_lambdas(&self) -> bool {
        self.method.starts_with("lambda")
    }

    fn is_whole_class(&self) -> bool {
        self.relation != Relation::Annotated && &*self.method == "*" && self.descriptor.is_none()
    }
}

/// Why bytes are not compiled rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherError {
    /// Where, in bytes from the start.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compiled rules, byte {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for MatcherError {}
