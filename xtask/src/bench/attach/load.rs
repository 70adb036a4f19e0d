//! Load that keeps a book of every request: when its answer came, and how long it took.

use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// An answer that takes longer is a failed request.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of one line of an answer's head.
const LINE_MAX: u64 = 8192;

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Since the load began.
    pub at: Duration,
    pub took: Duration,
}

/// Connections, each with one request under way, until it is finished.
pub struct Load {
    began: Instant,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Answer>>>>,
}

impl Load {
    /// Begins: `address` is host and port, `path` what is asked for.
    pub fn start(address: &str, path: &str, connections: usize) -> Load {
        let (began, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let connection = |_| {
            let (address, path, is_over) = (address.to_owned(), path.to_owned(), Arc::clone(&is_over));
            thread::spawn(move || ask_on(&address, &path, began, &is_over))
        };
        Load {
            threads: (0..connections).map(connection).collect(),
            began,
            is_over,
        }
    }

    /// Since it began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Ends it; all answers in the order of their coming.
    ///
    /// # Errors
    /// A request that failed.
    pub fn finish(self) -> Result<Vec<Answer>> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads {
            let Ok(answers) = thread.join() else {
                bail!("a thread of the load panicked")
            };
            all.extend(answers?);
        }
        all.sort_by_key(|answer| answer.at);
        Ok(all)
    }
}

fn ask_on(address: &str, path: &str, began: Instant, is_over: &AtomicBool) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    let mut connection = None;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let reader: &mut BufReader<TcpStream> = match &mut connection {
            Some(reader) => reader,
            none => none.insert(connect(address)?),
        };
        reader.get_mut().write_all(request.as_bytes())?;
        let stays =
            read_answer(reader).with_context(|| format!("a request failed {:.1?} after the begin", began.elapsed()))?;
        answers.push(Answer {
            at: began.elapsed(),
            took: asked.elapsed(),
        });
        if !stays {
            connection = None;
        }
    }
    Ok(answers)
}

fn connect(address: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Reads an answer to its end; whether the connection stays. Understands what Tomcat says: a length, or chunks.
fn read_answer(reader: &mut impl BufRead) -> Result<bool> {
    let status = line(reader)?;
    if !status.starts_with("HTTP/1.1 200") {
        bail!("the server answered: {status}");
    }
    let (mut length, mut is_chunked, mut stays) = (0, false, true);
    loop {
        let header = line(reader)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            None => break,
            Some(("content-length", value)) => length = value.parse()?,
            Some(("transfer-encoding", value)) => is_chunked = value == "chunked",
            Some(("connection", value)) => stays = value != "close",
            Some(_) => {}
        }
    }
    if !is_chunked {
        skip(reader, length)?;
        return Ok(stays);
    }
    loop {
        let length = u64::from_str_radix(line(reader)?.trim(), 16)?;
        // Each chunk has an empty line behind it.
        skip(reader, length)?;
        line(reader)?;
        if length == 0 {
            return Ok(stays);
        }
    }
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.by_ref().take(LINE_MAX).read_line(&mut line)?;
    if !line.ends_with('\n') {
        bail!("the connection ended within an answer");
    }
    Ok(line.trim_end().to_owned())
}

fn skip(reader: &mut impl BufRead, bytes: u64) -> Result<()> {
    let skipped = std::io::copy(&mut reader.by_ref().take(bytes), &mut std::io::sink())?;
    if skipped == bytes {
        Ok(())
    } else {
        bail!("the connection ended within an answer")
    }
}

#[cfg(test)]
mod tests {
    use super::read_answer;

    #[test]
    fn answers_are_read_to_their_ends() {
        let two = "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        let mut bytes = two.as_bytes();
        assert!(read_answer(&mut bytes).expect("the first"));
        assert!(!read_answer(&mut bytes).expect("the second"));
        assert!(bytes.is_empty());
        for bad in [
            "HTTP/1.1 500 \r\n\r\n",
            "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nab",
            "",
        ] {
            assert!(read_answer(&mut bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
