//! Opening events, as far as one's rights go.

use super::tracepoints::Tracepoints;
use crate::kernel::object::bpf_error;
use crate::{CollectorError, proc};
use perf_event::events::Software;
use perf_event::{Builder, Clock, Counter, SampleFlag, Sampler};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Bytes of a CPU's ring, and what is tried where locking so much memory is refused.
const RING_BYTES: [usize; 3] = [4 << 20, 512 << 10, 64 << 10];

/// The ring of a CPU, and what writes into it beside the event that it belongs to.
pub(super) struct Opened {
    /// `None`: the CPU is not there.
    pub sampler: Option<Sampler>,
    pub tracepoints: Vec<Counter>,
}

/// Events of processes of one's own, which write into the rings of all CPUs.
pub(super) struct OwnEvents {
    /// Of each CPU that is there: its number and its ring.
    rings: Vec<(u32, OwnedFd)>,
    events: Vec<Counter>,
    tids: HashSet<u32>,
}

/// What all events have in common.
fn base(builder: &mut Builder<'_>) {
    builder
        .sample_id_all(true)
        .sample(SampleFlag::TID | SampleFlag::TIME | SampleFlag::CPU)
        .clockid(Clock::MONOTONIC)
        // Nobody waits: the rings are looked at now and then.
        .wakeup_watermark(RING_BYTES[0]);
}

/// Who comes and goes, is born, named and dies.
fn lives(builder: &mut Builder<'_>) {
    base(builder);
    builder.context_switch(true).task(true).comm(true).comm_exec(true);
}

/// Everybody on one CPU.
pub(super) fn of_everybody(cpu: u32, tracepoints: &Tracepoints) -> io::Result<Opened> {
    let mut builder = Builder::new(Software::DUMMY);
    lives(&mut builder);
    builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
    let Some(sampler) = present(ring(&builder, true))? else {
        return Ok(Opened {
            sampler: None,
            tracepoints: Vec::new(),
        });
    };
    let open = |event| {
        let mut builder = Builder::new(event);
        base(&mut builder);
        builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
        builder.sample(SampleFlag::RAW).sample_period(1);
        let mut counter = builder.build()?;
        write_into(&counter, sampler.as_counter().as_raw_fd())?;
        counter.enable()?;
        Ok(counter)
    };
    let tracepoints = tracepoints.events().map(open).collect::<io::Result<_>>()?;
    Ok(Opened {
        sampler: Some(sampler),
        tracepoints,
    })
}

/// An empty ring, for [`OwnEvents`].
pub(super) fn empty_ring(cpu: u32) -> io::Result<Option<Sampler>> {
    let mut builder = Builder::new(Software::DUMMY);
    base(&mut builder);
    builder.observe_self().one_cpu(cpu as usize);
    present(ring(&builder, false))
}

/// A CPU may not be there at the moment.
fn present(sampler: io::Result<Sampler>) -> io::Result<Option<Sampler>> {
    match sampler {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        sampler => sampler.map(Some),
    }
}

fn ring(builder: &Builder<'_>, is_enabled: bool) -> io::Result<Sampler> {
    let mut refused = None;
    for bytes in RING_BYTES {
        let mut counter = builder.build()?;
        if is_enabled {
            counter.enable()?;
        }
        match counter.sampled(bytes) {
            Ok(sampler) => return Ok(sampler),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::other("no ring")))
}

/// Has an event write into the ring of another one, of the same CPU and clock.
fn write_into(event: &Counter, ring: i32) -> io::Result<()> {
    const PERF_EVENT_IOC_SET_OUTPUT: libc::c_ulong = 0x2405;
    #[expect(
        unsafe_code,
        reason = "ioctl(PERF_EVENT_IOC_SET_OUTPUT), which perf-event2 does not have"
    )]
    // SAFETY: both are descriptors of events that are open; the call takes numbers and touches no memory of ours.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_OUTPUT, ring) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl OwnEvents {
    /// For these rings.
    pub fn new<'s>(rings: impl Iterator<Item = (u32, &'s Sampler)>) -> io::Result<OwnEvents> {
        let ring = |(cpu, sampler): (u32, &Sampler)| {
            let fd = sampler.as_counter().as_raw_fd();
            #[expect(unsafe_code, reason = "fcntl(F_DUPFD_CLOEXEC)")]
            // SAFETY: `fd` is open; what comes back is ours alone.
            let copy = unsafe {
                match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) {
                    copy if copy >= 0 => OwnedFd::from_raw_fd(copy),
                    _ => return Err(io::Error::last_os_error()),
                }
            };
            Ok((cpu, copy))
        };
        Ok(OwnEvents {
            rings: rings.map(ring).collect::<io::Result<_>>()?,
            events: Vec::new(),
            tids: HashSet::new(),
        })
    }

    /// Records all threads of a process, and whoever they beget.
    pub fn trace(&mut self, pid: u32) -> Result<(), CollectorError> {
        loop {
            // One that is born meanwhile has a parent that is recorded already, or is found in the next round. What two events tell is told once.
            let new: Vec<u32> = (proc::tids(pid).into_iter())
                .filter(|tid| self.tids.insert(*tid))
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            for tid in new {
                match self.trace_thread(tid) {
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                        return Err(bpf_error(&format!("perf events of process {pid}"), &error));
                    }
                    _ => {}
                }
            }
        }
    }

    fn trace_thread(&mut self, tid: u32) -> io::Result<()> {
        for (cpu, ring) in &self.rings {
            let mut builder = Builder::new(Software::DUMMY);
            lives(&mut builder);
            let tid = i32::try_from(tid).map_err(io::Error::other)?;
            builder.observe_pid(tid).one_cpu(*cpu as usize).inherit(true);
            let mut event = builder.build()?;
            write_into(&event, ring.as_raw_fd())?;
            event.enable()?;
            self.events.push(event);
        }
        Ok(())
    }
}
