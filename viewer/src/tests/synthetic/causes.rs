//! What is known of sleeps and pauses where it is asked for.

use super::{Synthetic, US};
use plumb_trace::State;
use plumb_trace::timeline::*;

impl Synthetic {
    /// Stacks of sleeps, causes of pauses, and what one thread counted.
    pub fn add_causes(&mut self) {
        self.stacks_of_sleeps();
        self.causes_of_pauses();
        let thread = self.tracks.iter().find(|track| track.name == "http-nio-8080-exec-3");
        let (process, tid) = thread.map_or((ProcessId(0), None), |thread| (thread.process, thread.tid));
        for (name, step) in [("cycles", 40_000_000), ("instructions", 30_000_000), ("page-faults", 2)] {
            let name = format!("{name} http-nio-8080-exec-3");
            self.counter(process, &name, "count", tid, |_, number| number as i64 * step);
        }
    }

    /// All of those in `net`, the Java ones of those in `monitor`.
    fn stacks_of_sleeps(&mut self) {
        let (thread, servlet) = ("java.lang.Thread.run", "com.shop.CartServlet.doGet");
        let read = ["com.shop.PriceClient.fetch", "sun.nio.ch.NioSocketImpl.read"];
        let in_net = [
            self.stack_of(&["__recv libc.so.6", "tcp_recvmsg_[k]", "schedule_timeout_[k]"]),
            self.stack_of(&["net_rx_action_[k]", "sock_def_readable_[k]"]),
            self.stack_of(&[thread, servlet, read[0], read[1]]),
        ];
        let lock = self.stack_of(&[thread, servlet, "com.shop.Stock.reserve"]);
        let in_monitor = [StackId::default(), StackId::default(), lock];
        let Memory { states, sleeps, .. } = &mut self.timeline;
        for (track, states) in (0..).map(TrackId).zip(states) {
            sleeps.extend(states.iter().filter_map(|state| {
                let [stack, waker_stack, java_stack] = match state.state {
                    State::Net => in_net,
                    State::Monitor => in_monitor,
                    _ => return None,
                };
                let sleep = Sleep {
                    start_ns: state.start_ns,
                    end_ns: state.end_ns,
                    stack,
                    waker_stack,
                    waker: state.peer,
                    java_stack,
                };
                Some((track, sleep))
            }));
        }
    }

    /// Every second pause is for a thread dump; of the last one no operation was seen.
    fn causes_of_pauses(&mut self) {
        let operations = ["G1CollectForAllocation", "ThreadDump"];
        let names = ["GC pause: G1CollectForAllocation", "pause: ThreadDump", "pause"].map(|name| self.text(name));
        let inner = operations.map(|operation| self.text(operation));
        let jvm = self
            .tracks
            .iter()
            .position(|track| track.kind == TrackKind::Jvm)
            .unwrap_or_default();
        let pauses = std::mem::take(&mut self.slices[jvm]);
        let last = pauses.len() - 1;
        for (number, pause) in pauses.into_iter().enumerate() {
            let kind = if number == last { 2 } else { number % 2 };
            self.slices[jvm].push(Slice {
                name: names[kind],
                ..pause
            });
            if let Some(&name) = inner.get(kind) {
                let start_ns = pause.start_ns + 250 * US;
                self.slices[jvm].push(Slice {
                    name,
                    start_ns,
                    depth: 1,
                    ..pause
                });
            }
        }
    }
}
