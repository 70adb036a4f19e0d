//! The table `[kernel]`: whose kernel events are recorded, and which beside the scheduler's.
//!
//! ```toml
//! [kernel]
//! scope = "tree"                     # "system": everybody; "tree": the traced processes and their children
//! cgroup = "/system.slice/tomcat*"   # and whoever is in such a cgroup (or within it),
//! user = ["tomcat", "1001"]          # of such a user,
//! threads = "http-nio-*"             # or has such a name; without `scope`, only these
//!
//! interrupts = true                  # time in interrupt handlers and soft interrupts, of each CPU and taken from each thread
//! faults = true                      # page faults of each thread
//! disk = true                        # requests to block devices
//! safepoints = true                  # what JVMs stop all their threads for, and how long: probes of libjvm (USDT)
//! parks = true                       # parks of JVMs' threads where no agent tells them; some 3 µs each
//! calls = ["openat", "write"]        # every such system call of whoever is in scope, as a slice; "*": all
//! stacks = "block"                   # kernel and user stacks: of who blocks; "wakeup": of who wakes somebody; "both"
//! counters = ["task-clock", "cycles", "instructions"] # what perf counts, of each slice of whoever is in scope
//! ```

use toml::de::DeTable;

use crate::{
    KernelRules, KernelScope, KernelStacks,
    reader::{Reader, Value},
};

const SELECTORS: [&str; 3] = ["cgroup", "user", "threads"];

impl<'t> Reader<'t> {
    pub(crate) fn kernel(&mut self, value: &Value<'t>) -> Option<KernelRules> {
        let table = self.table("kernel", value)?;
        let known = [
            "scope",
            "cgroup",
            "user",
            "threads",
            "interrupts",
            "faults",
            "disk",
            "safepoints",
            "parks",
            "calls",
            "stacks",
            "counters",
        ];
        self.check_keys("[kernel]", table, &known, &[]);
        let mut flag = |key: &str| {
            table
                .get(key)
                .and_then(|value| self.boolean(key, value))
                .unwrap_or(false)
        };
        let (interrupts, faults, disk) = (flag("interrupts"), flag("faults"), flag("disk"));
        let (safepoints, parks) = (flag("safepoints"), flag("parks"));
        let calls = table.get("calls").map_or_else(Vec::new, |value| self.calls(value));
        let counters = table
            .get("counters")
            .map_or_else(Vec::new, |value| self.counters(value));
        let cgroups = table.get("cgroup").map_or_else(Vec::new, |value| self.cgroups(value));
        let users = table.get("user").map_or_else(Vec::new, |value| self.users(value));
        let threads = table.get("threads").map_or_else(Vec::new, |value| self.threads(value));
        let stacks = table.get("stacks").map(|value| self.kernel_stacks(value));
        Some(KernelRules {
            stacks: stacks.unwrap_or_default(),
            scope: self.scope(table)?,
            cgroups,
            users,
            threads,
            interrupts,
            faults,
            disk,
            safepoints,
            parks,
            calls,
            counters,
        })
    }

    fn calls(&mut self, value: &Value<'t>) -> Vec<(String, crate::Place)> {
        let mut calls = Vec::new();
        for (offset, call) in self.strings("calls", value) {
            let is_name = !call.is_empty() && call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if is_name || call == "*" {
                calls.push((call.to_owned(), self.place(offset)));
            } else {
                let message = format!("`{}` is no system call", call.escape_debug());
                self.mistake(
                    offset,
                    message,
                    "write its name, as in calls = [\"read\", \"futex\"], or \"*\" for all",
                );
            }
        }
        calls
    }

    fn kernel_stacks(&mut self, value: &Value<'t>) -> KernelStacks {
        match self.string("stacks", value) {
            Some("block") => KernelStacks::Block,
            Some("wakeup") => KernelStacks::Wakeup,
            Some("both") => KernelStacks::Both,
            Some(other) => {
                let message = format!("unknown value `{}` of stacks", other.escape_debug());
                self.mistake(value.span().start, message, "write \"block\", \"wakeup\" or \"both\"");
                KernelStacks::None
            }
            None => KernelStacks::None,
        }
    }

    fn counters(&mut self, value: &Value<'t>) -> Vec<(String, crate::Place)> {
        let mut counters: Vec<(String, crate::Place)> = Vec::new();
        for (offset, counter) in self.strings("counters", value) {
            let is_name =
                !counter.is_empty() && counter.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let remedy =
                "write names as `perf list` has them, each once, as in counters = [\"task-clock\", \"cycles\"]";
            if !is_name {
                let message = format!("`{}` is no counter", counter.escape_debug());
                self.mistake(offset, message, remedy);
            } else if counters.iter().any(|(other, _)| other == counter) {
                self.mistake(offset, format!("the counter `{counter}` stands there twice"), remedy);
            } else {
                counters.push((counter.to_owned(), self.place(offset)));
            }
        }
        counters
    }

    fn scope(&mut self, table: &DeTable<'t>) -> Option<KernelScope> {
        let selector = SELECTORS.into_iter().find_map(|key| table.get_key_value(key));
        let Some(value) = table.get("scope") else {
            return Some(match selector {
                Some(_) => KernelScope::Selected,
                None => KernelScope::System,
            });
        };
        match (self.string("scope", value)?, selector) {
            ("system", None) => Some(KernelScope::System),
            ("system", Some((key, _))) => {
                let message = format!("`{}` adds nothing to the scope \"system\"", key.get_ref());
                self.mistake(
                    key.span().start,
                    message,
                    "remove one of the two, or write scope = \"tree\"",
                );
                None
            }
            ("tree", _) => Some(KernelScope::Tree),
            (other, _) => {
                let message = format!("unknown scope `{}`", other.escape_debug());
                self.mistake(value.span().start, message, "write \"system\" or \"tree\"");
                None
            }
        }
    }

    fn cgroups(&mut self, value: &Value<'t>) -> Vec<String> {
        let mut globs = Vec::new();
        for (offset, glob) in self.strings("cgroup", value) {
            if glob.starts_with(['/', '*']) && glob.len() <= 4096 {
                globs.push(glob.to_owned());
            } else {
                let message = format!("`{}` is no path of a cgroup", glob.escape_debug());
                self.mistake(
                    offset,
                    message,
                    "write it as /proc/PID/cgroup does, from the /; * stands for any characters",
                );
            }
        }
        globs
    }

    fn users(&mut self, value: &Value<'t>) -> Vec<(String, crate::Place)> {
        let mut users = Vec::new();
        for (offset, user) in self.strings("user", value) {
            if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
                let message = format!("`{}` is no user", user.escape_debug());
                self.mistake(offset, message, "write the name or the number of a user");
            } else {
                users.push((user.to_owned(), self.place(offset)));
            }
        }
        users
    }
}
