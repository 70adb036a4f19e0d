//! How fast classes get probes: reads classes as `Classes dump` (tests/java/rewrite) hands them out, puts probes into every method of all of them, so many times over,
//! and prints the rate of the fastest time.

#![allow(missing_docs, reason = "a benchmark")]

use std::io::{self, BufReader, Read};
use std::time::Instant;

use plumb_agent::rewrite::{MethodInfo, Probes, rewrite};

const ROUNDS: usize = 3;
/// Most that is read, bytes.
const BYTES_MAX: u64 = 1 << 30;

fn main() -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock().take(BYTES_MAX));
    let mut classes = Vec::new();
    while let Some(class) = read_class(&mut input)? {
        classes.push(class);
    }
    let (mut best, mut methods) = (f64::INFINITY, 0);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        methods = classes.iter().map(|class| probed(class)).sum();
        best = best.min(begin.elapsed().as_secs_f64());
    }
    println!(
        "{{\"classes_per_s\": {:.0}, \"classes\": {}, \"methods\": {methods}}}",
        classes.len() as f64 / best,
        classes.len()
    );
    Ok(())
}

/// How many methods of it got probes.
fn probed(class: &[u8]) -> usize {
    let mut next_id = 0;
    let mut every = |_: &str, _: &MethodInfo<'_>| {
        next_id += 1;
        Some(next_id)
    };
    match rewrite(class, &Probes::PLUMB, &mut every) {
        Ok(Some(rewritten)) => rewritten.probed.len(),
        Ok(None) | Err(_) => 0,
    }
}

/// Module, path and bytes, each with its length before it; none at the end.
fn read_class(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    skip(input, u16::from_be_bytes(length))?;
    input.read_exact(&mut length)?;
    skip(input, u16::from_be_bytes(length))?;
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut bytes = Vec::new();
    input.take(u32::from_be_bytes(length).into()).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn skip(input: &mut impl Read, bytes: u16) -> io::Result<()> {
    io::copy(&mut input.take(bytes.into()), &mut io::sink()).map(drop)
}
