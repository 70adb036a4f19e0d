//! Compiled rules: the agent reads them from a socket.

use plumb_filters::matcher::Matcher;

/// Names to ask about: internal names of classes, names and descriptors of methods.
const METHODS: [(&str, &str, &str); 5] = [
    (
        "org/apache/catalina/core/StandardHostValve",
        "invoke",
        "(Lorg/apache/catalina/connector/Request;)V",
    ),
    ("com/shop/Cart$Entry", "<init>", "()V"),
    ("java/lang/Thread", "run", "()V"),
    ("", "", ""),
    ("a/b/c/d/e/f/g/h", "getÄ", "([[I)J"),
];

/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 8;

/// Asks about some methods, whatever the checksum said.
pub fn run(bytes: &[u8]) {
    let _ = Matcher::parse(bytes);
    if let Ok(matcher) = Matcher::parse(&mended(bytes)) {
        ask(&matcher);
    }
}

/// The bytes with a checksum that fits (FNV-1a, see `filters/src/matcher/format.rs`).
fn mended(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[..bytes.len().saturating_sub(CHECKSUM_BYTES)];
    let sum = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    [body, &sum.to_le_bytes()].concat()
}

/// What the agent asks a matcher.
pub fn ask(matcher: &Matcher) {
    let _ = (
        matcher.stack_after_ns("http-nio-8080-exec-1"),
        matcher.stack_after_ns_min(),
        matcher.wants_stacks(),
    );
    for (class, name, descriptor) in METHODS {
        let may = matcher.class_may_match(class);
        let action = matcher.method(class, name, descriptor, 100);
        assert!(may || action.is_none(), "{class}.{name} matches, its class cannot");
    }
}

/// The presets, compiled.
pub fn seeds() -> Vec<Vec<u8>> {
    let names = plumb_filters::preset_names();
    let rules = names.filter_map(|name| plumb_filters::load(&[name.to_owned()]).ok());
    rules.map(|rules| rules.compile()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mending_leaves_good_rules_as_they_are() {
        for seed in seeds() {
            assert!(mended(&seed) == seed);
        }
    }
}
