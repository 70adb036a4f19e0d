//! How fast a recording is merged: `cargo run --release -p plumb-merger --example merge_speed -- DIR… OUT.plumb`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let out = paths.pop().ok_or("name recordings and a timeline")?;
    let start = Instant::now();
    let summary = plumb_merger::merge(&paths, &out, &mut |_| {})?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = summary.records as f64 / seconds / 1e6;
    println!(
        "{} records in {seconds:.2} s: {rate:.2} M records/s; {summary:#?}",
        summary.records
    );
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("");
    println!("{peak}; timeline {} bytes", std::fs::metadata(&out)?.len());
    Ok(())
}
