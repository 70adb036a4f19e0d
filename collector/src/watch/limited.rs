//! Cgroups whose CPU time is limited: what their cpu.stat and their pressures say.

use super::sources::{RESOURCES, Text, quota};
use super::{About, Counters, Pressure, SMALL_BYTES_MAX};
use crate::cgroup::Hierarchy;
use std::collections::HashMap;
use std::path::Path;

/// Cgroups that are sampled, at most.
const SAMPLED_MAX: usize = 256;

/// All that have a quota.
pub(super) struct Limited {
    hierarchy: Option<Hierarchy>,
    /// By path, also those that are gone: one that comes again under the same name goes on with the same counters.
    cgroups: HashMap<String, Cgroup>,
}

struct Cgroup {
    stat: Option<Text>,
    /// Periods, throttled periods, throttled time.
    counters: [u32; 3],
    pressures: Vec<Pressure>,
}

impl Limited {
    pub fn new() -> Limited {
        Limited {
            hierarchy: Hierarchy::find("cpu"),
            cgroups: HashMap::new(),
        }
    }

    /// Looks which there are now.
    pub fn look(&mut self, counters: &mut Counters) {
        let Some(hierarchy) = &self.hierarchy else { return };
        for (directory, path) in hierarchy.limited() {
            let has_room = self.cgroups.len() < SAMPLED_MAX;
            match self.cgroups.get_mut(&path) {
                // It may be another of the same name.
                Some(cgroup) => cgroup.stat = Text::open(directory.join("cpu.stat"), SMALL_BYTES_MAX),
                None if has_room => {
                    let cgroup = Cgroup::new(&directory, &path, counters);
                    self.cgroups.insert(path, cgroup);
                }
                None => {}
            }
        }
    }

    pub fn sample(&mut self, counters: &mut Counters) {
        for cgroup in self.cgroups.values_mut() {
            cgroup.sample(counters);
        }
    }
}

impl Cgroup {
    fn new(directory: &Path, path: &str, counters: &mut Counters) -> Cgroup {
        let about = About {
            cpu: None,
            cgroup: path,
        };
        let pressure =
            |resource| Pressure::open(directory.join(format!("{resource}.pressure")), resource, path, counters);
        let pressures = RESOURCES.map(pressure);
        Cgroup {
            stat: Text::open(directory.join("cpu.stat"), SMALL_BYTES_MAX),
            counters: [
                counters.define("cgroup.periods", "count", about),
                counters.define("cgroup.throttled", "count", about),
                counters.define("cgroup.throttled_time", "ns", about),
            ],
            pressures: pressures.into_iter().flatten().collect(),
        }
    }

    fn sample(&mut self, counters: &mut Counters) {
        let read = self.stat.as_mut().and_then(Text::read);
        let values = read.map_or([None; 3], quota);
        if values == [None; 3] {
            // Removed: its files stay open and say nothing more.
            self.stat = None;
            return;
        }
        for (counter, value) in self.counters.into_iter().zip(values) {
            counters.sample(counter, value);
        }
        for pressure in &mut self.pressures {
            pressure.sample(counters);
        }
    }
}
