//! What pauses of a JVM are called: on its track each is a slice, whose name tells the cause as far as it is known.
//!
//! | name | what is known |
//! | --- | --- |
//! | `GC pause` | the JVM told of a collection |
//! | `GC pause: G1CollectForAllocation` | and the probes of libjvm by which operation of its VM thread |
//! | `pause: ThreadDump` | an operation that collects nothing |
//! | `pause: Halt`, `pause: Exit` | the JVM ends: this safepoint has no end |
//! | `pause` | a safepoint of which no operation was seen |
//!
//! Within a pause of the probes, the operation itself is a slice of depth 1, called by its name alone: what lies before it is the time that threads needed to come to the safepoint.

use std::borrow::Cow;

const GC: &str = "GC pause";
const OTHER: &str = "pause";

/// HotSpot's operation at its regular end, for which no probe is made.
pub const HALT: &str = "Halt";
/// That of `System.exit`.
const EXIT: &str = "Exit";

/// What a pause's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseName<'a> {
    /// It collects garbage.
    pub is_gc: bool,
    /// What the VM thread did meanwhile, as HotSpot calls it.
    pub operation: Option<&'a str>,
}

impl<'a> PauseName<'a> {
    /// Reads a slice's name; what is no pause's is taken for one of an operation of this name.
    #[must_use]
    pub fn parse(name: &'a str) -> PauseName<'a> {
        let (kind, operation) = match name.split_once(": ") {
            Some((kind, operation)) => (kind, Some(operation)),
            None => (name, None),
        };
        match kind {
            GC | OTHER => PauseName {
                is_gc: kind == GC,
                operation,
            },
            _ => PauseName::of_operation(name),
        }
    }

    /// A pause for an operation, by whose name it is known whether it collects.
    #[must_use]
    pub fn of_operation(operation: &'a str) -> PauseName<'a> {
        PauseName {
            is_gc: is_collection(operation),
            operation: Some(operation),
        }
    }

    /// The JVM ends with it: nobody waits for it to be over.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self.operation, Some(HALT | EXIT))
    }

    /// The slice's name.
    #[must_use]
    pub fn shown(&self) -> Cow<'static, str> {
        let kind = if self.is_gc { GC } else { OTHER };
        match self.operation {
            Some(operation) => format!("{kind}: {operation}").into(),
            None => kind.into(),
        }
    }

    /// The cause in a word or two: the operation, or what else is known.
    #[must_use]
    pub fn cause(&self) -> &'a str {
        match (self.operation, self.is_gc) {
            (Some(operation), _) => operation,
            (None, true) => GC,
            (None, false) => OTHER,
        }
    }
}

/// Whether an operation of the VM thread is one of a collector, by HotSpot's habits in naming them. One that collects by the way (a heap dump) is told by the JVM's own events.
fn is_collection(operation: &str) -> bool {
    // ZMarkStart and XMarkStart, but not ZombieAll.
    let of_z = operation
        .strip_prefix(['Z', 'X'])
        .is_some_and(|rest| rest.starts_with(char::is_uppercase));
    let of_g1 = operation.starts_with("G1");
    let of_shenandoah = operation.starts_with("Shenandoah");
    let of_others = operation.contains("Collect") || operation.starts_with("ParallelGC");
    of_z || of_g1 || of_shenandoah || of_others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_back() {
        for is_gc in [true, false] {
            for operation in [None, Some("ThreadDump"), Some("G1CollectForAllocation")] {
                let name = PauseName { is_gc, operation };
                assert_eq!(PauseName::parse(&name.shown()), name);
            }
        }
        assert_eq!(PauseName::parse("GC pause").cause(), "GC pause");
        assert_eq!(PauseName::parse("pause: ThreadDump").cause(), "ThreadDump");
        assert!(!PauseName::parse("something else").is_gc);
        assert!(PauseName::parse("pause: Halt").is_end() && PauseName::parse("pause: Exit").is_end());
        assert!(!PauseName::parse("pause").is_end() && !PauseName::parse("GC pause").is_end());
    }

    #[test]
    fn collectors_are_known_by_their_operations() {
        let collect = [
            "G1CollectForAllocation",
            "G1PauseRemark",
            "GenCollectFull",
            "CollectForMetadataAllocation",
            "ParallelGCFailedAllocation",
            "ZMarkEndYoung",
            "XRelocateStart",
            "ShenandoahFinalMarkStartEvac",
        ];
        let do_not = [
            "ZombieAll",
            "ThreadDump",
            "HeapDumper",
            "ICBufferFull",
            "Cleanup",
            "GC_HeapInspection",
            "",
        ];
        for operation in collect {
            assert!(PauseName::of_operation(operation).is_gc, "{operation}");
        }
        for operation in do_not {
            assert!(!PauseName::of_operation(operation).is_gc, "{operation}");
        }
    }
}
