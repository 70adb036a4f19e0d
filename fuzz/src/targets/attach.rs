//! What agent and recorder say to each other: any process of the JVM's user may be the other side.

use plumb_agent::client::{Armed, Stopped};
use plumb_agent::protocol::{Config, PROTOCOL, ToAgent, ToRecorder, receive};
use plumb_trace::arena::Clock;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest message that a listener takes, bytes.
const MESSAGE_MAX: usize = 1 << 20;
/// More messages of one input tell nothing new.
const MESSAGES_MAX: usize = 64;

/// Reads messages until there is none; each comes back the same when it is said again. The bytes are also taken for the content of one message.
pub fn run(bytes: &[u8]) {
    check(bytes);
    let Ok((ours, mut theirs)) = UnixStream::pair() else {
        return;
    };
    // Inputs are shorter than a socket's buffer, so that this never waits.
    if theirs.write_all(bytes).is_err() || theirs.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    for _ in 0..MESSAGES_MAX {
        match receive(&ours, MESSAGE_MAX, deadline) {
            Ok(Some(content)) => check(&content),
            Ok(None) => return,
            Err(error) => {
                assert!(
                    error.kind() != std::io::ErrorKind::TimedOut,
                    "waited for bytes that cannot come"
                );
                return;
            }
        }
    }
}

fn check(content: &[u8]) {
    if let Ok(message) = ToRecorder::parse(content) {
        let frame = message.to_frame();
        assert_eq!(ToRecorder::parse(&frame[4..]).ok(), Some(message));
    }
    if let Ok(message) = ToAgent::parse(content) {
        let frame = message.to_frame();
        assert_eq!(ToAgent::parse(&frame[4..]).ok(), Some(message));
    }
}

/// Each message alone, and a whole conversation of either side.
pub fn seeds() -> Vec<Vec<u8>> {
    let config = Config {
        matcher: vec![1, 2, 3],
        arena_bytes: 64 << 20,
        clock: Clock::Tsc,
    };
    let agent = [
        ToRecorder::Hello {
            protocol: PROTOCOL,
            version: "0.1.0".into(),
            pid: 4711,
        },
        ToRecorder::Arena { bytes: 64 << 20 },
        ToRecorder::Armed(Armed {
            classes: 10,
            methods: 300,
            left_alone: 1,
        }),
        ToRecorder::Stopped(Stopped {
            restored: 10,
            failed: 0,
        }),
        ToRecorder::Refused { reason: "no".into() },
    ]
    .map(|message| message.to_frame());
    let recorder = [ToAgent::Config(config), ToAgent::Stop].map(|message| message.to_frame());
    let mut seeds = vec![agent.concat(), recorder.concat()];
    seeds.extend(agent.iter().chain(&recorder).map(|frame| frame[4..].to_vec()));
    seeds
}
