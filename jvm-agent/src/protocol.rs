//! What the agent and the recorder say to each other, over one unix stream socket per JVM.
//!
//! ```text
//! agent                                      recorder
//!   hello    protocol, version, pid    →
//!                                      ←     config   matcher, arena's bytes, clock
//!   arena    bytes (+ the memfd)       →                 the recorder begins to drain
//!   armed    classes, methods, …       →                 probes are in
//!                                      ←     rules    matcher: go by these from now on
//!   armed, or unchanged (a reason)     →
//!                                      ←     stop
//!   stopped  classes, failed           →
//! ```
//! In place of any of its messages the agent may say `refused` with a reason, and close. The socket's end is a `stop` without an answer.
//!
//! A message is a frame: length of the rest (u32, little endian), kind (u8), fields (varints; strings and bytes as varint length and content).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use plumb_trace::{arena::Clock, varint};

/// Version of this conversation. Both sides must have the same.
pub const PROTOCOL: u32 = 2;
/// Largest frame, bytes: compiled rules are the largest content.
pub const FRAME_MAX: usize = 16 << 20;
/// How long the rest of a frame may take at least, of which the length is there.
const REST_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest string, bytes.
const STRING_MAX: usize = 4096;

/// What the recorder tells the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAgent {
    /// How to record.
    Config(Config),
    /// Go by these compiled rules from now on.
    Rules(Vec<u8>),
    /// Give the JVM its own bytecode back.
    Stop,
}

/// How to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Compiled rules, for `plumb_filters::matcher::Matcher`.
    pub matcher: Vec<u8>,
    /// Size of the arena to make, bytes.
    pub arena_bytes: u64,
    /// Clock of the records.
    pub clock: Clock,
}

/// What the agent tells the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToRecorder {
    /// Who speaks.
    Hello {
        /// [`PROTOCOL`] of the agent.
        protocol: u32,
        /// Version of plumb that the agent is of.
        version: String,
        /// The JVM's process id as it sees it itself.
        pid: u32,
    },
    /// The arena, whose descriptor comes with this message.
    Arena {
        /// Its size.
        bytes: u64,
    },
    /// Probes are in and events are on.
    Armed(Armed),
    /// The JVM has its own bytecode again, no event is on, the arena is not written any more.
    Stopped(Stopped),
    /// The session goes on by the rules that it had, and why.
    Unchanged {
        /// One line.
        reason: String,
    },
    /// The agent does not record, and why.
    Refused {
        /// One line.
        reason: String,
    },
}

/// What was armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Armed {
    /// Loaded classes with a probe.
    pub classes: u32,
    /// Their methods with a probe.
    pub methods: u32,
    /// Classes and methods that rules chose but that were left alone.
    pub left_alone: u32,
}

/// What was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Classes with their original bytecode again.
    pub restored: u32,
    /// Classes that the JVM would not change back; their probes do nothing.
    pub failed: u32,
}

impl ToAgent {
    /// The message's frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        match self {
            ToAgent::Config(Config {
                matcher,
                arena_bytes,
                clock,
            }) => frame(1, |out| {
                put_bytes(out, matcher);
                varint::put(out, *arena_bytes);
                varint::put(out, u64::from(*clock as u32));
            }),
            ToAgent::Stop => frame(2, |_| ()),
            ToAgent::Rules(matcher) => frame(3, |out| put_bytes(out, matcher)),
        }
    }

    /// Reads a message from a frame's content.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is none.
    pub fn parse(content: &[u8]) -> io::Result<ToAgent> {
        let mut fields = Fields::of(content)?;
        let message = match fields.kind {
            1 => ToAgent::Config(Config {
                matcher: fields.bytes(FRAME_MAX)?.to_vec(),
                arena_bytes: fields.number()?,
                clock: match fields.number()? {
                    0 => Clock::Monotonic,
                    1 => Clock::Tsc,
                    _ => return Err(malformed()),
                },
            }),
            2 => ToAgent::Stop,
            3 => ToAgent::Rules(fields.bytes(FRAME_MAX)?.to_vec()),
            _ => return Err(malformed()),
        };
        fields.end().map(|()| message)
    }
}

impl ToRecorder {
    /// The message's frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let numbers =
            |out: &mut Vec<u8>, numbers: &[u32]| numbers.iter().for_each(|&number| varint::put(out, number.into()));
        match self {
            ToRecorder::Hello { protocol, version, pid } => frame(10, |out| {
                numbers(out, &[*protocol, *pid]);
                put_bytes(out, cut(version).as_bytes());
            }),
            ToRecorder::Arena { bytes } => frame(11, |out| varint::put(out, *bytes)),
            ToRecorder::Armed(Armed {
                classes,
                methods,
                left_alone,
            }) => frame(12, |out| numbers(out, &[*classes, *methods, *left_alone])),
            ToRecorder::Stopped(Stopped { restored, failed }) => frame(13, |out| numbers(out, &[*restored, *failed])),
            ToRecorder::Refused { reason } => frame(14, |out| put_bytes(out, cut(reason).as_bytes())),
            ToRecorder::Unchanged { reason } => frame(15, |out| put_bytes(out, cut(reason).as_bytes())),
        }
    }

    /// Reads a message from a frame's content.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is none.
    pub fn parse(content: &[u8]) -> io::Result<ToRecorder> {
        let mut fields = Fields::of(content)?;
        let message = match fields.kind {
            10 => {
                let (protocol, pid) = (fields.number_u32()?, fields.number_u32()?);
                ToRecorder::Hello {
                    protocol,
                    pid,
                    version: fields.string()?,
                }
            }
            11 => ToRecorder::Arena {
                bytes: fields.number()?,
            },
            12 => ToRecorder::Armed(Armed {
                classes: fields.number_u32()?,
                methods: fields.number_u32()?,
                left_alone: fields.number_u32()?,
            }),
            13 => ToRecorder::Stopped(Stopped {
                restored: fields.number_u32()?,
                failed: fields.number_u32()?,
            }),
            14 => ToRecorder::Refused {
                reason: fields.string()?,
            },
            15 => ToRecorder::Unchanged {
                reason: fields.string()?,
            },
            _ => return Err(malformed()),
        };
        fields.end().map(|()| message)
    }
}

/// How long somebody waits.
pub trait Limit {
    /// How long to wait now, before asking again: more than nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when it is over; [`io::ErrorKind::Interrupted`] when nobody wants to wait any more.
    fn left(&self) -> io::Result<Duration>;
}

/// Until then.
impl Limit for Instant {
    fn left(&self) -> io::Result<Duration> {
        match self.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left.max(Duration::from_millis(1))),
        }
    }
}

/// For the rest of a frame that has begun. Who has begun it has written all of it, or is about to: given up in the middle, the next one would seem to begin there.
struct Rest<L> {
    limit: L,
    at_least: Instant,
}

impl<L: Limit> Limit for Rest<L> {
    fn left(&self) -> io::Result<Duration> {
        self.limit.left().or_else(|_| self.at_least.left())
    }
}

/// Writes a whole frame.
///
/// # Errors
/// What the socket says.
pub fn send(mut stream: &UnixStream, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame)
}

/// Reads one frame's content, within `limit`. `None`: the other side has closed between two frames.
///
/// # Errors
/// What the socket says; those of [`Limit::left`]; [`io::ErrorKind::InvalidData`] for a frame over `bytes_max`.
pub fn receive(stream: &UnixStream, bytes_max: usize, limit: impl Limit + Copy) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if !read_within(stream, &mut length, limit)? {
        return Ok(None);
    }
    let at_least = Instant::now() + REST_TIMEOUT;
    receive_rest(stream, length, bytes_max, Rest { limit, at_least }).map(Some)
}

/// Reads the content of a frame whose length is already read.
///
/// # Errors
/// As [`receive`].
pub fn receive_rest(stream: &UnixStream, length: [u8; 4], bytes_max: usize, limit: impl Limit) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(length) as usize;
    if length == 0 || length > bytes_max.min(FRAME_MAX) {
        return Err(malformed());
    }
    let mut content = vec![0; length];
    match read_within(stream, &mut content, limit)? {
        true => Ok(content),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Fills `buffer`; false if the other side had closed before the first byte.
fn read_within(mut stream: &UnixStream, buffer: &mut [u8], limit: impl Limit) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        stream.set_read_timeout(Some(limit.left()?))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn frame(kind: u8, fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, kind];
    fields(&mut out);
    // Contents are compiled rules at the most, which are far below 4 GiB.
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(STRING_MAX)]
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a message of plumb's")
}

struct Fields<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(content: &'a [u8]) -> io::Result<Fields<'a>> {
        let (&kind, rest) = content.split_first().ok_or_else(malformed)?;
        Ok(Fields { kind, rest })
    }

    fn number(&mut self) -> io::Result<u64> {
        varint::take(&mut self.rest).ok_or_else(malformed)
    }

    fn number_u32(&mut self) -> io::Result<u32> {
        self.number()?.try_into().map_err(|_| malformed())
    }

    fn bytes(&mut self, max: usize) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.number()?)
            .ok()
            .filter(|&length| length <= max)
            .ok_or_else(malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn string(&mut self) -> io::Result<String> {
        self.bytes(STRING_MAX)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn end(self) -> io::Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_there_and_back_and_every_cut_refused() {
        let config = Config {
            matcher: vec![1, 2, 3],
            arena_bytes: 64 << 20,
            clock: Clock::Tsc,
        };
        for message in [ToAgent::Config(config), ToAgent::Stop] {
            let frame = message.to_frame();
            assert_eq!(ToAgent::parse(&frame[4..]).ok(), Some(message));
            (4..frame.len()).for_each(|end| assert!(ToAgent::parse(&frame[4..end]).is_err()));
        }
        let hello = ToRecorder::Hello {
            protocol: PROTOCOL,
            version: "0.1.0".into(),
            pid: 42,
        };
        let armed = ToRecorder::Armed(Armed {
            classes: 1,
            methods: 300,
            left_alone: 0,
        });
        for message in [
            hello,
            armed,
            ToRecorder::Arena { bytes: 1 << 40 },
            ToRecorder::Refused { reason: "no".into() },
        ] {
            let frame = message.to_frame();
            assert_eq!(ToRecorder::parse(&frame[4..]).ok(), Some(message));
            (4..frame.len()).for_each(|end| assert!(ToRecorder::parse(&frame[4..end]).is_err()));
        }
    }

    #[test]
    fn frames_over_a_socket() -> io::Result<()> {
        let (one, other) = UnixStream::pair()?;
        send(&one, &ToAgent::Stop.to_frame())?;
        send(&one, &u32::MAX.to_le_bytes())?;
        let soon = Instant::now() + Duration::from_secs(5);
        assert_eq!(receive(&other, FRAME_MAX, soon)?, Some(vec![2]));
        assert_eq!(
            receive(&other, FRAME_MAX, soon).map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidData)
        );
        drop(one);
        assert_eq!(receive(&other, FRAME_MAX, soon)?, None);
        Ok(())
    }
}
