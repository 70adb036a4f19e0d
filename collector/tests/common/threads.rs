//! Threads of the tests, and what the kernel says of them.

use std::sync::mpsc;
use std::thread;

/// The calling thread's id.
pub fn gettid() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc/thread-self");
    let name = link.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).expect("a thread id")
}

/// Voluntary switches out of a thread of this process, by the kernel's own count.
pub fn voluntary(tid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/self/task/{tid}/status")).expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("a count")
}

/// Two threads that wake each other `rounds` times.
pub fn ping_pong(rounds: usize) {
    let (ping, pinged) = mpsc::sync_channel::<()>(0);
    let (pong, ponged) = mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || (0..rounds).for_each(|_| assert!(pinged.recv().is_ok() && pong.send(()).is_ok())));
        (0..rounds).for_each(|_| assert!(ping.send(()).is_ok() && ponged.recv().is_ok()));
    });
}

/// One bit for each CPU.
pub type CpuMask = [u64; 16];

/// Where the calling thread may run.
pub fn allowed_cpus() -> CpuMask {
    let mut mask = CpuMask::default();
    #[expect(unsafe_code, reason = "sched_getaffinity of the calling thread")]
    // SAFETY: the mask has as many bytes as is said.
    let got = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    assert_eq!(got, 0, "{}", std::io::Error::last_os_error());
    mask
}

/// Has the calling thread run there only.
pub fn may_run_on(mask: &CpuMask) {
    #[expect(unsafe_code, reason = "sched_setaffinity of the calling thread")]
    // SAFETY: the mask has as many bytes as is said.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(mask), mask.as_ptr().cast()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Has the calling thread do it on one CPU after the other: of some the kernel may tell nothing while they idle. Returns on how many.
pub fn on_each_cpu(mut body: impl FnMut()) -> usize {
    let allowed = allowed_cpus();
    let mut visited = 0;
    for cpu in (0..1024).filter(|cpu| allowed[cpu / 64] >> (cpu % 64) & 1 == 1) {
        let mut one = CpuMask::default();
        one[cpu / 64] = 1 << (cpu % 64);
        may_run_on(&one);
        body();
        visited += 1;
    }
    may_run_on(&allowed);
    visited
}
