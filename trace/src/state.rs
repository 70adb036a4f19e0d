//! The thread states: every thread is in exactly one at every instant of its life.

/// What a thread is doing. The kernel decides whether it runs; the JVM says why it does not.
///
/// [`State::Stolen`] never stands for an interval of its own: it is an amount on a running interval, because where inside the
/// interval the hypervisor took the CPU is not known. Ledgers split it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// On a CPU.
    Running,
    /// On a CPU by the kernel's account of wall time, but the hypervisor ran somebody else.
    Stolen,
    /// Could run, has no CPU.
    Ready,
    /// Could run, but the quota of its cgroup is spent.
    Throttled,
    /// Wants a Java monitor that another thread has.
    Monitor,
    /// In `Object.wait`.
    Wait,
    /// In `LockSupport.park`.
    Park,
    /// In `Thread.sleep`.
    Sleep,
    /// A pool worker with nothing to do.
    Idle,
    /// Blocked in a system call on a socket.
    Net,
    /// Blocked in a system call on a regular file or block device.
    Disk,
    /// Blocked in poll, select or epoll on more than one descriptor.
    Poll,
    /// Blocked in futex, and the JVM did not say why.
    Futex,
    /// Blocked in another system call.
    Syscall,
    /// Waiting for a page.
    Fault,
    /// Off its CPU, cause not recorded.
    Blocked,
    /// Held by a safepoint or GC pause of its JVM.
    Pause,
    /// Stopped by a signal, the freezer or a debugger.
    Stopped,
    /// Not seen: before the recording, or a loss.
    Unknown,
}

/// How many states there are.
pub const STATE_COUNT: usize = 19;

impl State {
    /// All states, in the order of their numbers and of ledgers.
    pub const ALL: [State; STATE_COUNT] = [
        State::Running,
        State::Stolen,
        State::Ready,
        State::Throttled,
        State::Monitor,
        State::Wait,
        State::Park,
        State::Sleep,
        State::Idle,
        State::Net,
        State::Disk,
        State::Poll,
        State::Futex,
        State::Syscall,
        State::Fault,
        State::Blocked,
        State::Pause,
        State::Stopped,
        State::Unknown,
    ];

    /// The name used in files, JSON, messages and on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Stolen => "stolen",
            State::Ready => "ready",
            State::Throttled => "throttled",
            State::Monitor => "monitor",
            State::Wait => "wait",
            State::Park => "park",
            State::Sleep => "sleep",
            State::Idle => "idle",
            State::Net => "net",
            State::Disk => "disk",
            State::Poll => "poll",
            State::Futex => "futex",
            State::Syscall => "syscall",
            State::Fault => "fault",
            State::Blocked => "blocked",
            State::Pause => "pause",
            State::Stopped => "stopped",
            State::Unknown => "unknown",
        }
    }

    /// The state with this number, or `None` where a file holds a number that no state has.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<State> {
        State::ALL.get(usize::from(number)).copied()
    }
}

/// Nanoseconds by state: one row of a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateTotals {
    /// Nanoseconds, indexed by the state's number.
    pub ns: [u64; STATE_COUNT],
}

impl StateTotals {
    /// Nanoseconds in `state`.
    #[must_use]
    pub fn get(&self, state: State) -> u64 {
        self.ns[state as usize]
    }

    /// Adds `ns` nanoseconds to `state`. Sums stop at the largest number: only a hostile file gets there.
    pub fn add(&mut self, state: State, ns: u64) {
        let sum = &mut self.ns[state as usize];
        *sum = sum.saturating_add(ns);
    }

    /// Adds another row, state by state.
    pub fn merge(&mut self, other: &StateTotals) {
        for (mine, theirs) in self.ns.iter_mut().zip(other.ns) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// The sum over all states: a thread's life within the window.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.ns.iter().fold(0, |sum: u64, ns| sum.saturating_add(*ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_order_agree() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
            assert_eq!(State::from_u8(number as u8), Some(state));
        }
        assert_eq!(State::from_u8(STATE_COUNT as u8), None);
    }
}
