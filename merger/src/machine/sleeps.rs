//! Sleeps with their stacks: what was learnt of a thread while it was off its CPU belongs to that whole stretch.
//!
//! A stretch may be several intervals (a pause of the JVM parts one), of which the first may be written before a stack comes and the last long after: so stacks wait here until their thread
//! is seen to go on. One that was taken while the thread was not off its CPU, but waited for one or had one, tells nothing about a wait and is left out.

use plumb_trace::timeline::{Sleep, StackId, TimelineError, TimelineWriter, TrackId};

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// What is known of the stretch in which a thread is off its CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Begin of the stretch, where some of it has been written.
    since: Option<u64>,
    /// When a Java stack was taken, and which.
    taken: Option<(u64, StackId)>,
    /// Where it is about to block.
    blocks: StackId,
    /// Where it blocks, since it left its CPU.
    stack: StackId,
    /// When it was woken last, from where and by whom.
    woken: Option<(u64, StackId, TrackId)>,
}

impl Waiting {
    /// A Java stack was taken at `at`, of what the thread does now. The first of a stretch counts.
    pub(super) fn take(&mut self, at: u64, stack: StackId) {
        self.taken = self.taken.or(Some((at, stack)));
    }

    /// The thread is about to leave its CPU, here.
    pub(super) fn blocks(&mut self, stack: StackId) {
        self.blocks = stack;
    }

    /// The thread is woken.
    pub(super) fn woken(&mut self, at: u64, stack: StackId, waker: TrackId) {
        self.woken = Some((at, stack, waker));
    }

    /// The thread leaves its CPU at `at`; `sleeps`: not to go on as soon as it may.
    pub(crate) fn leaves(&mut self, writer: &mut TimelineWriter, track: TrackId, at: u64, sleeps: bool) -> Result {
        // It may have had the CPU for no time at all.
        self.end(writer, track, at)?;
        let stack = std::mem::take(&mut self.blocks);
        self.stack = if sleeps { stack } else { StackId::default() };
        Ok(())
    }

    /// It did not do what it was thought to do.
    pub(crate) fn forget(&mut self) {
        self.stack = StackId::default();
        self.woken = None;
    }

    /// The thread's next interval is written; `is_off`: in which it was off its CPU.
    pub(crate) fn see(
        &mut self,
        writer: &mut TimelineWriter,
        track: TrackId,
        (start_ns, end_ns): (u64, u64),
        is_off: bool,
    ) -> Result {
        if is_off {
            self.since.get_or_insert(start_ns);
            return Ok(());
        }
        self.end(writer, track, start_ns)?;
        // Of this interval: it was not off its CPU then.
        self.taken = self.taken.filter(|(at, _)| *at >= end_ns);
        Ok(())
    }

    /// The stretch is over at `at`.
    pub(crate) fn end(&mut self, writer: &mut TimelineWriter, track: TrackId, at: u64) -> Result {
        match self.ended(at) {
            Some(sleep) => writer.sleep(track, &sleep),
            None => Ok(()),
        }
    }

    /// The stretch that is over at `at`, if there is one of which something is known.
    fn ended(&mut self, at: u64) -> Option<Sleep> {
        let start_ns = self.since.take().filter(|start_ns| *start_ns < at)?;
        let java_stack = match self.taken {
            Some((taken, stack)) if (start_ns..at).contains(&taken) => {
                self.taken = None;
                stack
            }
            _ => StackId::default(),
        };
        // One of an earlier stretch has nothing to do with this.
        let woken = self.woken.take().filter(|(woken_ns, ..)| *woken_ns >= start_ns);
        let sleep = Sleep {
            start_ns,
            end_ns: at,
            stack: std::mem::take(&mut self.stack),
            waker_stack: woken.map_or(StackId::default(), |(_, stack, _)| stack),
            waker: woken.map(|(.., track)| track),
            java_stack,
        };
        let stacks = [sleep.stack, sleep.waker_stack, sleep.java_stack];
        (stacks != [StackId::default(); 3]).then_some(sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: StackId = StackId(1);
    const THERE: StackId = StackId(2);
    const JAVA: StackId = StackId(3);
    const WAKER: TrackId = TrackId(7);

    fn blocked(at: u64) -> Waiting {
        Waiting {
            since: Some(at),
            stack: HERE,
            ..Waiting::default()
        }
    }

    #[test]
    fn a_sleep_has_the_stack_before_it_and_those_within_it() {
        let mut waiting = blocked(10);
        waiting.take(15, JAVA);
        waiting.take(17, THERE);
        waiting.woken(20, THERE, WAKER);
        let sleep = Sleep {
            start_ns: 10,
            end_ns: 25,
            stack: HERE,
            waker_stack: THERE,
            waker: Some(WAKER),
            java_stack: JAVA,
        };
        assert_eq!(waiting.ended(25), Some(sleep));
        assert_eq!(waiting.ended(30), None);
    }

    #[test]
    fn what_belongs_to_another_stretch_is_not_this_ones() {
        let mut waiting = blocked(10);
        waiting.woken(9, THERE, WAKER);
        waiting.take(25, JAVA);
        let sleep = waiting.ended(25).expect("it has a stack");
        assert_eq!(
            (sleep.waker_stack, sleep.waker, sleep.java_stack),
            (StackId(0), None, StackId(0))
        );
        waiting.since = Some(30);
        assert_eq!(waiting.ended(40), None);
    }
}
