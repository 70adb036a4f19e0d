//! Requests to block devices whose end the kernel has not told (`bpf/disk.h`).

use crate::clock::monotonic_ns;
use aya::maps::HashMap;
use aya::{Ebpf, Pod};

/// A request that takes longer than this is counted as one whose end was not told, ns: at the end of a recording nobody knows which it is.
const UNDER_WAY_NS: u64 = 100_000_000;

/// A request that was issued, as the programs keep it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct UnderWay {
    issued_ns: u64,
    made_ns: u64,
    device: u32,
    flags: u32,
    bytes: u32,
    pad: u32,
}

const _: () = assert!(size_of::<UnderWay>() == 32);

#[expect(unsafe_code, reason = "aya copies it out of a map as it is")]
// SAFETY: plain numbers, without padding.
unsafe impl Pod for UnderWay {}

/// What the user should know at the end of a recording. Nothing where no requests are recorded.
pub(super) fn note(bpf: &Ebpf) -> Option<String> {
    let issued = HashMap::<_, u64, UnderWay>::try_from(bpf.map("issued")?).ok()?;
    let now_ns = monotonic_ns();
    let is_late = |request: &UnderWay| request.issued_ns.saturating_add(UNDER_WAY_NS) < now_ns;
    let unended = issued.iter().flatten().filter(|(_, request)| is_late(request)).count();
    (unended > 0).then(|| {
        format!("{unended} requests to block devices are not counted: they were still under way, or the kernel did not tell their end")
    })
}
