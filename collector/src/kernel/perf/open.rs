//! Opening events, as far as one's rights go.

use super::PerfEvents;
use super::counting::{self, Group};
use super::limit::{Limit, is_full};
use super::tracepoints::Tracepoints;
use crate::kernel::object::bpf_error;
use crate::kernel::{Kernel, Producer};
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
    /// Its size.
    pub ring_bytes: usize,
    pub tracepoints: Vec<Counter>,
    pub groups: Vec<Group>,
}

impl Opened {
    fn ring((sampler, ring_bytes): (Option<Sampler>, usize)) -> Opened {
        Opened {
            sampler,
            ring_bytes,
            tracepoints: Vec::new(),
            groups: Vec::new(),
        }
    }
}

/// Events of processes of one's own, which write into the rings of all CPUs.
pub(super) struct OwnEvents {
    /// Of each CPU that is there: its number and its ring.
    rings: Vec<(u32, OwnedFd)>,
    events: Vec<Counter>,
    tids: HashSet<u32>,
    limit: Limit,
    /// Threads that have their events.
    recorded: usize,
    /// There are no descriptors for more.
    is_full: bool,
}

/// What all events have in common.
fn base(builder: &mut Builder<'_>) {
    builder
        .sample_id_all(true)
        .sample(SampleFlag::IDENTIFIER | SampleFlag::TID | SampleFlag::TIME | SampleFlag::CPU)
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
pub(super) fn of_everybody(
    cpu: u32,
    tracepoints: &Tracepoints,
    counters: &[crate::kernel::Counter],
) -> io::Result<Opened> {
    let mut builder = Builder::new(Software::DUMMY);
    lives(&mut builder);
    builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
    let mut opened = Opened::ring(present(ring(&builder, true))?);
    let Some(sampler) = &opened.sampler else {
        return Ok(opened);
    };
    let ring = sampler.as_counter().as_raw_fd();
    let open = |event| {
        let mut builder = Builder::new(event);
        base(&mut builder);
        builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
        builder.sample(SampleFlag::RAW).sample_period(1);
        let mut counter = builder.build()?;
        write_into(&counter, ring)?;
        counter.enable()?;
        Ok(counter)
    };
    opened.tracepoints = tracepoints.events().map(open).collect::<io::Result<_>>()?;
    let mut leader = Builder::new(Software::DUMMY);
    base(&mut leader);
    opened.groups = counting::open(cpu, counters, &leader, ring)?;
    Ok(opened)
}

/// An empty ring, for [`OwnEvents`].
pub(super) fn empty_ring(cpu: u32) -> io::Result<Opened> {
    let mut builder = Builder::new(Software::DUMMY);
    base(&mut builder);
    builder.observe_self().one_cpu(cpu as usize);
    present(ring(&builder, false)).map(Opened::ring)
}

/// A CPU may not be there at the moment.
fn present(ring: io::Result<(Sampler, usize)>) -> io::Result<(Option<Sampler>, usize)> {
    match ring {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok((None, 0)),
        ring => ring.map(|(sampler, bytes)| (Some(sampler), bytes)),
    }
}

/// A ring, and its size.
fn ring(builder: &Builder<'_>, is_enabled: bool) -> io::Result<(Sampler, usize)> {
    let mut refused = None;
    for bytes in RING_BYTES {
        let mut counter = builder.build()?;
        if is_enabled {
            counter.enable()?;
        }
        match counter.sampled(bytes) {
            Ok(sampler) => return Ok((sampler, bytes)),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::other("no ring")))
}

/// Has an event write into the ring of another one, of the same CPU and clock.
pub(super) fn write_into(event: &Counter, ring: i32) -> io::Result<()> {
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
            limit: Limit::of_this_process(),
            recorded: 0,
            is_full: false,
        })
    }

    /// Records all threads of a process, and whoever they beget, as far as there are descriptors.
    pub fn trace(&mut self, pid: u32) -> Result<(), CollectorError> {
        while !self.is_full {
            // One that is born meanwhile has a parent that is recorded already, or is found in the next round. What two events tell is told once.
            let new: Vec<u32> = (proc::tids(pid).into_iter())
                .filter(|tid| self.tids.insert(*tid))
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            for tid in new {
                match self.trace_thread(tid) {
                    Err(error) if is_full(&error) => {
                        self.is_full = true;
                        break;
                    }
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                        return Err(bpf_error(&format!("perf events of process {pid}"), &error));
                    }
                    Err(_) => {}
                    Ok(()) => self.recorded += 1,
                }
            }
        }
        Ok(())
    }

    fn trace_thread(&mut self, tid: u32) -> io::Result<()> {
        let before = self.events.len();
        let traced = self.trace_on_all_cpus(tid);
        if traced.as_ref().is_err_and(is_full) {
            // Better nothing of a thread than what it does on some CPUs.
            self.events.truncate(before);
        }
        traced
    }

    fn trace_on_all_cpus(&mut self, tid: u32) -> io::Result<()> {
        for (cpu, ring) in &self.rings {
            let mut builder = Builder::new(Software::DUMMY);
            lives(&mut builder);
            let tid = i32::try_from(tid).map_err(io::Error::other)?;
            builder.observe_pid(tid).one_cpu(*cpu as usize).inherit(true);
            let mut event = builder.build()?;
            if !self.limit.has_room(event.as_raw_fd()) {
                return Err(io::Error::from_raw_os_error(libc::EMFILE));
            }
            write_into(&event, ring.as_raw_fd())?;
            event.enable()?;
            self.events.push(event);
        }
        Ok(())
    }
}

impl PerfEvents {
    /// What the user should know of threads that could not be recorded.
    fn unrecorded(&self) -> Option<String> {
        let own = self.own.as_ref().filter(|own| own.is_full)?;
        Some(format!(
            "threads beyond {} are not recorded: each takes an open file on each CPU, and there are no more (ulimit -n)",
            own.recorded
        ))
    }
}

impl Kernel {
    /// What the user should know of threads that are traced and could not be recorded.
    pub(crate) fn unrecorded(&self) -> Option<String> {
        match &self.producer {
            Producer::PerfEvents(events) => events.unrecorded(),
            Producer::Bpf { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::perf::limit::{SPARE, open_files};

    #[test]
    fn more_threads_than_the_first_limit_allows_are_recorded() {
        let Ok(Opened {
            sampler: Some(sampler), ..
        }) = empty_ring(0)
        else {
            return;
        };
        let mut own = OwnEvents::new([(0, &sampler)].into_iter()).expect("descriptors");
        if open_files(true) < 2 * SPARE {
            return;
        }
        own.limit = Limit {
            most: SPARE + 8,
            is_raised: false,
        };
        let done = std::sync::Barrier::new(33);
        std::thread::scope(|scope| {
            (0..32).for_each(|_| drop(scope.spawn(|| done.wait())));
            let traced = own.trace(std::process::id());
            done.wait();
            traced.expect("no error");
        });
        assert!(own.limit.is_raised && !own.is_full);
        assert!(own.recorded >= 32, "{}", own.recorded);
    }

    #[test]
    fn threads_beyond_the_limit_are_not_recorded_and_that_is_told() {
        // Where perf events are refused altogether there is nothing to see.
        let Ok(Opened {
            sampler: Some(sampler), ..
        }) = empty_ring(0)
        else {
            return;
        };
        let mut own = OwnEvents::new([(0, &sampler)].into_iter()).expect("descriptors");
        own.limit = Limit {
            most: 0,
            is_raised: true,
        };
        own.trace(std::process::id()).expect("no error");
        assert!(own.is_full && own.events.is_empty());
        let (orders, _inbox) = std::sync::mpsc::channel();
        let events = PerfEvents { orders, own: Some(own) };
        let note = events.unrecorded().expect("a note");
        assert!(note.starts_with("threads beyond 0 are not recorded"), "{note}");
    }
}
