//! States: Extrae's numbers where they mean the same, own ones from 20 on for the rest.

use plumb_trace::State;

/// Paraver's number of a state.
pub(super) fn number(state: State) -> u32 {
    match state {
        State::Idle => 0,
        State::Running => 1,
        State::Monitor => 5,
        State::Blocked => 9,
        State::Disk => 12,
        State::Unknown => 14,
        State::Ready => 20,
        State::Throttled => 21,
        State::Wait => 22,
        State::Park => 23,
        State::Sleep => 24,
        State::Net => 25,
        State::Poll => 26,
        State::Futex => 27,
        State::Syscall => 28,
        State::Fault => 29,
        State::Pause => 30,
        State::Stopped => 31,
        State::Stolen => 32,
    }
}

/// Colour of a state.
pub(super) fn colour(state: State) -> (u8, u8, u8) {
    match state {
        State::Running => (0, 158, 115),
        State::Stolen => (120, 60, 120),
        State::Ready => (230, 159, 0),
        State::Throttled => (170, 90, 0),
        State::Monitor => (213, 94, 0),
        State::Wait => (204, 121, 167),
        State::Park => (180, 150, 200),
        State::Sleep => (200, 200, 220),
        State::Idle => (225, 225, 225),
        State::Net => (86, 180, 233),
        State::Disk => (0, 114, 178),
        State::Poll => (150, 205, 240),
        State::Futex => (240, 228, 66),
        State::Syscall => (110, 140, 170),
        State::Fault => (0, 60, 110),
        State::Blocked => (150, 150, 150),
        State::Pause => (140, 20, 60),
        State::Stopped => (90, 90, 90),
        State::Unknown => (245, 245, 245),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_number() {
        let mut numbers: Vec<u32> = State::ALL.into_iter().map(number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), State::ALL.len());
    }
}
