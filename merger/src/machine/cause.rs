//! Why a thread that leaves its CPU leaves it: the task's state and the system call it is in, as the kernel's record tells them.
//!
//! Numbers of system calls are those of x86-64, the one architecture that recordings come from so far.

use plumb_trace::State;
use plumb_trace::record::{KernelRecord, fd_kind, flags};
use plumb_trace::timeline::Cause;

/// Bits of `prev_state` (include/linux/sched.h), the same since Linux 4.14.
mod task {
    pub(super) const UNINTERRUPTIBLE: u32 = 0x2;
    pub(super) const STOPPED: u32 = 0x4;
    pub(super) const TRACED: u32 = 0x8;
    pub(super) const DEAD: u32 = 0x80;
    pub(super) const FROZEN: u32 = 0x8000;
}

const SCHED_YIELD: i16 = 24;

/// How a thread left its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It could go on: preempted, or (true) it gave the CPU away by itself.
    Runnable(bool),
    /// Its cgroup's quota is spent.
    Throttled,
    /// For the last time.
    Dead,
    /// It sleeps, for this reason.
    Off(State, Cause),
}

/// Reads a switch record. `voluntary`: the kernel counted a voluntary switch.
pub(crate) fn leaving(record: &KernelRecord, voluntary: bool) -> Leaving {
    let has = |flag: u8| record.flags & flag != 0;
    if record.value & task::DEAD != 0 {
        return Leaving::Dead;
    }
    if record.value == 0 || has(flags::PREEMPT) {
        if has(flags::THROTTLED) {
            return Leaving::Throttled;
        }
        let in_yield = has(flags::SYSCALL) && record.syscall == SCHED_YIELD;
        return Leaving::Runnable(!has(flags::PREEMPT) && (voluntary || in_yield));
    }
    if record.value & (task::STOPPED | task::TRACED | task::FROZEN) != 0 {
        return Leaving::Off(State::Stopped, Cause::None);
    }
    if has(flags::KTHREAD) || !has(flags::SYSCALL) {
        return Leaving::Off(State::Blocked, Cause::None);
    }
    let Ok(number) = u16::try_from(record.syscall) else {
        let waits_for_page = record.value & task::UNINTERRUPTIBLE != 0 || has(flags::IOWAIT);
        return Leaving::Off(if waits_for_page { State::Fault } else { State::Blocked }, Cause::None);
    };
    let state = blocked_in(number, record.fd_kind, has(flags::IOWAIT));
    Leaving::Off(
        state,
        Cause::Syscall {
            number,
            fd_kind: record.fd_kind,
        },
    )
}

/// The state of a thread that sleeps in system call `number` on a file of `kind`.
fn blocked_in(number: u16, kind: u8, iowait: bool) -> State {
    let by_file = match kind {
        fd_kind::SOCKET => State::Net,
        fd_kind::REGULAR | fd_kind::BLOCK => State::Disk,
        _ if iowait => State::Disk,
        _ => State::Syscall,
    };
    match number {
        // connect accept sendto recvfrom sendmsg recvmsg shutdown accept4 recvmmsg sendmmsg
        42..=48 | 288 | 299 | 307 => State::Net,
        // poll select pselect6 ppoll epoll_wait epoll_pwait epoll_pwait2: one descriptor's wait is that descriptor's
        7 | 23 | 270 | 271 | 232 | 281 | 441 => match kind {
            fd_kind::SOCKET => State::Net,
            _ => State::Poll,
        },
        // futex futex_waitv futex_wait futex_requeue
        202 | 449 | 455 | 456 => State::Futex,
        // nanosleep clock_nanosleep
        35 | 230 => State::Sleep,
        // msync fsync fdatasync sync sync_file_range syncfs
        26 | 74 | 75 | 162 | 277 | 306 => State::Disk,
        _ => by_file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: u32, flags: u8, syscall: i16, fd_kind: u8, expect: Leaving) {
        let record = KernelRecord {
            value,
            flags,
            syscall,
            fd_kind,
            ..KernelRecord::default()
        };
        assert_eq!(
            leaving(&record, false),
            expect,
            "{value:#x} {flags:#x} {syscall} {fd_kind}"
        );
    }

    fn off(state: State, number: u16, fd_kind: u8) -> Leaving {
        Leaving::Off(state, Cause::Syscall { number, fd_kind })
    }

    #[test]
    fn runnable_or_not() {
        check(0, 0, 0, 0, Leaving::Runnable(false));
        check(1, flags::PREEMPT, 0, 0, Leaving::Runnable(false));
        check(0, flags::SYSCALL, 24, 0, Leaving::Runnable(true));
        check(0, flags::THROTTLED, 0, 0, Leaving::Throttled);
        check(0x80, 0, 0, 0, Leaving::Dead);
        check(0x2102, flags::KTHREAD, 0, 0, Leaving::Off(State::Blocked, Cause::None));
        check(0x4, flags::SYSCALL, 202, 0, Leaving::Off(State::Stopped, Cause::None));
        check(0x1, 0, 0, 0, Leaving::Off(State::Blocked, Cause::None));
    }

    #[test]
    fn by_call_and_file() {
        let call = flags::SYSCALL;
        check(1, call, 202, 0, off(State::Futex, 202, 0));
        check(1, call, 0, fd_kind::SOCKET, off(State::Net, 0, fd_kind::SOCKET));
        check(1, call, 0, fd_kind::PIPE, off(State::Syscall, 0, fd_kind::PIPE));
        check(2, call, 0, fd_kind::REGULAR, off(State::Disk, 0, fd_kind::REGULAR));
        check(2, call | flags::IOWAIT, 257, 0, off(State::Disk, 257, 0));
        check(1, call, 7, fd_kind::SOCKET, off(State::Net, 7, fd_kind::SOCKET));
        check(1, call, 232, fd_kind::ANON, off(State::Poll, 232, fd_kind::ANON));
        check(1, call, 230, 0, off(State::Sleep, 230, 0));
        check(1, call, 61, 0, off(State::Syscall, 61, 0));
        check(0x102, call, -1, 0, Leaving::Off(State::Fault, Cause::None));
        check(1, call, -1, 0, Leaving::Off(State::Blocked, Cause::None));
    }
}
