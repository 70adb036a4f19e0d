//! `[[stack]]`: of whose long waits the Java stack is taken.
//!
//! ```toml
//! [[stack]]
//! threads = "http-nio-*-exec-*"   # glob over thread names, or a list of globs
//! longer = "100ms"                # taken once in each wait that is longer
//! ```
//!
//! The agent's own thread looks at the threads that are named, and asks the JVM for the stack of one that has not run for so long. Of several rules that name a thread
//! the first counts. A pool's worker that has nothing to do does not wait in this sense.
//!
//! Virtual threads are among them where they are recorded (`[jvm] virtual_threads = true`), by their names, or as `virtual thread NUMBER` where they have none. One that waits already
//! when a recording begins, or rules that name it for the first time, is known from its next mount on; one without a carrier, from JDK 24 on.

use toml::de::DeTable;

use crate::{
    Place,
    reader::{Reader, Value},
};

/// Shortest wait of which a stack is taken, ns: threads are looked at several times within it.
const LONGER_NS_MIN: u64 = 10_000_000;

/// Threads of whose long waits the stack is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackRule {
    /// Globs over thread names.
    pub threads: Vec<String>,
    /// Waits that are longer, ns.
    pub longer_ns: u64,
    /// Where the rule stands.
    pub place: Place,
}

impl<'t> Reader<'t> {
    pub(crate) fn stacks(&mut self, value: &Value<'t>) -> Vec<StackRule> {
        let tables = self.tables("stack", value);
        tables
            .into_iter()
            .filter_map(|(offset, table)| self.stack(offset, table))
            .collect()
    }

    fn stack(&mut self, offset: usize, table: &DeTable<'t>) -> Option<StackRule> {
        self.check_keys("[[stack]]", table, &["threads", "longer"], &[]);
        let threads = self
            .required("[[stack]]", "threads", offset, table)
            .map(|value| self.threads(value));
        let value = self.required("[[stack]]", "longer", offset, table)?;
        let longer_ns = self.length("longer", table, 0)?;
        if longer_ns < LONGER_NS_MIN {
            let help = "threads would have to be looked at too often: write 10ms or more";
            self.mistake(value.span().start, "`longer` is shorter than 10ms", help);
            return None;
        }
        Some(StackRule {
            threads: threads?,
            longer_ns,
            place: self.place(offset),
        })
    }
}
