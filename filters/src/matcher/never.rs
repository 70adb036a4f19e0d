//! What is never transformed, whatever the rules say.
//!
//! Probes run between any two instructions of a method, in any thread. A method that the JVM needs to run a probe,
//! to load a class or to throw an error must not have one; neither do hidden classes (they have no name to be found by
//! again) nor the classes of other agents, which rewrite classes themselves.

/// Everything whose internal name starts so.
pub const PREFIXES: &[&str] = &[
    // Parts of the JDK that the JVM itself calls, or that run while it cannot take a probe.
    "java/lang/ref/",
    "java/lang/invoke/",
    "java/lang/classfile/",
    "java/lang/instrument/",
    "java/lang/VirtualThread",
    "java/lang/ThreadBuilders",
    "jdk/internal/",
    "jdk/jfr/",
    "sun/instrument/",
    "sun/reflect/",
    // plumb's own helper.
    "java/lang/Plumb",
    // Other agents.
    "co/elastic/apm/agent/",
    "com/appdynamics/",
    "com/dynatrace/",
    "com/newrelic/agent/",
    "com/ruxit/",
    "com/taobao/arthas/",
    "com/alibaba/arthas/",
    "datadog/",
    "io/btrace/",
    "org/openjdk/btrace/",
    "io/opentelemetry/javaagent/",
    "java/arthas/",
    "kieker/",
    "net/bytebuddy/",
    "one/profiler/",
    "org/jacoco/agent/",
];

/// These classes and the classes nested in them; of `java/lang/Thread`, [`THREAD_SET_NAME`] excepted.
pub const CLASSES: &[&str] = &[
    "java/lang/Object",
    "java/lang/String",
    "java/lang/Thread",
    "java/lang/ThreadLocal",
    "java/lang/ClassLoader",
];

/// Parts of the names of hidden and lambda classes (`Foo$$Lambda/0x…`, `Foo+0x…`).
pub const MARKS: &[&str] = &["$$Lambda", "/0x", "+0x", ".0x"];

/// The method of `java/lang/Thread` that may be transformed: no event tells that a thread was renamed.
pub const THREAD_SET_NAME: (&str, &str) = ("java/lang/Thread", "setName");

/// Whether no method of the class that matches the glob `method` may be transformed.
pub(super) fn whole_class(class: &str, method: &str) -> bool {
    self::class(class) && !(class == THREAD_SET_NAME.0 && super::glob::name_matches(method, THREAD_SET_NAME.1))
}

/// Whether a method must be left alone.
pub fn method(class: &str, name: &str) -> bool {
    self::class(class) && (class, name) != THREAD_SET_NAME
}

fn class(class: &str) -> bool {
    let is_or_nests = |outer: &str| {
        class
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('$'))
    };
    PREFIXES.iter().any(|prefix| class.starts_with(prefix))
        || CLASSES.iter().any(|outer| is_or_nests(outer))
        || MARKS.iter().any(|mark| class.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_jvm_needs_is_left_alone() {
        for class in [
            "java/lang/String",
            "java/lang/ThreadLocal$ThreadLocalMap",
            "jdk/internal/misc/Unsafe",
            "a/B$$Lambda/0x1",
        ] {
            assert!(method(class, "any"), "{class}");
        }
        for class in [
            "java/lang/StringBuilder",
            "java/lang/ThreadGroup",
            "java/util/concurrent/locks/LockSupport",
        ] {
            assert!(!method(class, "any"), "{class}");
        }
        assert!(!method("java/lang/Thread", "setName"));
        assert!(method("java/lang/Thread", "run"));
    }
}
