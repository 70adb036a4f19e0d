//! Which release of Java the JVM is, where something is known of some alone.

use super::jvmti::Jvmti;

/// Whether it is this release or a later one; not, where it does not say.
pub fn is_at_least(jvmti: Jvmti, wanted: u32) -> bool {
    let version = jvmti.system_property(c"java.vm.specification.version");
    version.is_ok_and(|version| version.parse::<u32>().is_ok_and(|version| version >= wanted))
}
