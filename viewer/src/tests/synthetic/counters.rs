//! Counters of every kind.

use super::{FROM_NS, MS, Synthetic, TOTAL_NS};
use plumb_trace::timeline::*;

impl Synthetic {
    /// Ten samples a second: sums that grow at a share of the time that changes, and a CPU that goes and comes.
    pub fn add_counters(&mut self) {
        let idle = ProcessId(0);
        let sums = [
            ("psi.cpu.some", None, 34),
            ("psi.io.some", None, 7),
            ("psi.memory.some", None, 0),
            ("psi.memory.full", None, 0),
            ("cpu.steal", Some(0), 3),
            ("cpu.steal", Some(1), 12),
            ("cgroup.throttled_time /shop", None, 60),
        ];
        for (name, cpu, percent) in sums {
            let mut sum = 0;
            self.counter(idle, name, "ns", cpu, |timeline, step| {
                let share = if step % 7 == 3 { percent * 2 } else { percent };
                let before = sum;
                sum += (timeline.about(MS) * share) as i64;
                before
            });
        }
        let mut throttled = 0;
        self.counter(idle, "cgroup.throttled /shop", "count", None, |_, step| {
            throttled += i64::from(step % 3 == 0);
            throttled
        });
        self.counter(idle, "cpu.online", "state", Some(0), |_, _| 1);
        self.counter(idle, "cpu.online", "state", Some(1), |_, step| {
            i64::from(!(8..11).contains(&step))
        });
    }

    /// One more counter, with a value for each step.
    pub fn counter(
        &mut self,
        process: ProcessId,
        name: &str,
        unit: &str,
        cpu: Option<u32>,
        mut value: impl FnMut(&mut Synthetic, u64) -> i64,
    ) {
        const STEP_NS: u64 = 100 * MS;
        let unit = self.text(unit);
        let track = self.track(process, TrackKind::Counter { unit }, cpu, name, None);
        for step in 0..TOTAL_NS / STEP_NS {
            let value = value(self, step);
            self.counters.push((track, FROM_NS + step * STEP_NS, value));
        }
    }
}
