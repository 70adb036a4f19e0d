//! What is recorded beside the scheduler, where the rules ask for it (`bpf/options.h`). Off, it costs nothing: its programs are not attached, nor its object loaded.

use super::counters::Counter;
use super::object::bpf_error;
use crate::CollectorError;

/// System calls have numbers below this.
const CALLS_MAX: usize = 512;

/// What to record beside the scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Time in interrupt handlers and soft interrupts, of each slice of each CPU.
    pub interrupts: bool,
    /// Page faults of each slice.
    pub faults: bool,
    /// Requests to block devices.
    pub disk: bool,
    /// Every call of these system calls, by number, of whoever is in scope.
    pub calls: Vec<u16>,
    /// Safepoints of JVMs in scope, with their causes.
    pub safepoints: bool,
    /// Parks of threads of JVMs in scope.
    pub parks: bool,
    /// What perf counts, of each slice of whoever is in scope: [`super::COUNTERS_MAX`] at the most.
    pub counters: Vec<Counter>,
    /// Kernel and user stacks.
    pub stacks: Stacks,
}

/// Of whom stacks are recorded, in scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stacks {
    /// Of who blocks.
    pub block: bool,
    /// Of who wakes somebody.
    pub wakeup: bool,
}

impl Stacks {
    /// Whether any is.
    #[must_use]
    pub fn any(self) -> bool {
        self.block || self.wakeup
    }
}

/// Programs of an option, each with its tracepoint.
type Programs = &'static [(&'static str, &'static str)];

/// Ends before beginnings, so that nothing begins whose end is not seen.
const INTERRUPTS: Programs = &[
    ("on_irq_handler_exit", "irq_handler_exit"),
    ("on_irq_handler_entry", "irq_handler_entry"),
    ("on_local_timer_exit", "local_timer_exit"),
    ("on_local_timer_entry", "local_timer_entry"),
    ("on_reschedule_exit", "reschedule_exit"),
    ("on_reschedule_entry", "reschedule_entry"),
    ("on_call_function_exit", "call_function_exit"),
    ("on_call_function_entry", "call_function_entry"),
    ("on_call_function_single_exit", "call_function_single_exit"),
    ("on_call_function_single_entry", "call_function_single_entry"),
    ("on_irq_work_exit", "irq_work_exit"),
    ("on_irq_work_entry", "irq_work_entry"),
    ("on_softirq_exit", "softirq_exit"),
    ("on_softirq_entry", "softirq_entry"),
];
const TOLL: Programs = &[("on_toll", "sched_switch")];
const BIRTHS: Programs = &[("on_birth", "sched_process_fork")];
const COUNTERS: Programs = &[("on_count", "sched_switch")];
const DISK: Programs = &[
    ("on_request_done", "block_rq_complete"),
    ("on_request_issued", "block_rq_issue"),
];
const BLOCK: Programs = &[("on_block", "sched_switch")];
const WAKER: Programs = &[("on_waker", "sched_waking")];
const CALLS: Programs = &[("on_call_enter", "sys_enter"), ("on_call_exit", "sys_exit")];

impl Extras {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Extras::default()
    }

    /// Whether probes of libjvm are asked for.
    #[must_use]
    pub fn want_probes(&self) -> bool {
        self.safepoints || self.parks
    }

    /// The programs that record it; before those of the scheduler, so that what a slice tells stands before its end.
    pub(super) fn programs(&self) -> Vec<(&'static str, &'static str)> {
        let wanted = [
            (self.faults, BIRTHS),
            (self.interrupts || self.faults, TOLL),
            (!self.counters.is_empty(), COUNTERS),
            (self.interrupts, INTERRUPTS),
            (self.disk, DISK),
            (!self.calls.is_empty(), CALLS),
            (self.stacks.block, BLOCK),
            (self.stacks.wakeup, WAKER),
        ];
        let wanted = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted);
        wanted.flat_map(|(_, programs)| programs).copied().collect()
    }

    /// One bit for each call that is wanted.
    pub(super) fn call_bits(&self) -> Result<[u64; CALLS_MAX / 64], CollectorError> {
        let mut bits = [0; CALLS_MAX / 64];
        for &call in &self.calls {
            let word = bits.get_mut(usize::from(call) / 64);
            *word.ok_or_else(|| bpf_error(&format!("system call {call}"), &"the kernel has no such call"))? |=
                1 << (call % 64);
        }
        Ok(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_bits() {
        let calls = |calls: &[u16]| Extras {
            calls: calls.to_vec(),
            ..Extras::default()
        };
        let bits = calls(&[0, 63, 64, 511]).call_bits().expect("all are known");
        assert_eq!((bits[0], bits[1], bits[7]), (1 | 1 << 63, 1, 1 << 63));
        assert!(calls(&[512]).call_bits().is_err());
    }

    #[test]
    fn what_is_not_asked_for_has_no_program() {
        assert!(Extras::default().programs().is_empty());
        let faults = Extras {
            faults: true,
            ..Extras::default()
        };
        assert_eq!(faults.programs(), [BIRTHS, TOLL].concat());
    }
}
