//! Losses: what is not known because records are missing, and from when to when.
//!
//! While a CPU's records are lost, a thread that was last seen on it may be doing anything: it is `unknown` until a record speaks of it again. A
//! thread that slept on another CPU and came to this one meanwhile shows at its next switch-out: it is `unknown` from the loss on (see
//! `Machine::assume_running`).

use super::calls::Output;
use super::{Machine, Occupant};
use crate::input::{Gap, LaneKind};
use plumb_trace::timeline::{Loss, TimelineError};

type Result<T = ()> = std::result::Result<T, TimelineError>;

impl Machine {
    /// Records of a lane are missing.
    pub(crate) fn lose(&mut self, lane: LaneKind, gap: Gap) -> Result {
        let stream = self.lane_name(lane);
        self.losses.push(Loss {
            stream,
            from_ns: gap.from_ns,
            to_ns: gap.to_ns,
            events: gap.events,
        });
        match lane {
            LaneKind::Cpu { host, cpu } => self.lose_cpu(host, cpu, gap),
            LaneKind::Jvm { jvm, stream, .. } => self.lose_jvm((jvm, stream), gap),
            LaneKind::Host { .. } | LaneKind::Counters { .. } | LaneKind::JvmDefinitions { .. } => Ok(()),
        }
    }

    fn lane_name(&self, lane: LaneKind) -> String {
        let on_host = |host: usize, name: String| {
            if self.hosts.len() > 1 {
                format!("host-{host}/{name}")
            } else {
                name
            }
        };
        match lane {
            LaneKind::Host { host } => on_host(host, "host".into()),
            LaneKind::Counters { host } => on_host(host, "counters".into()),
            LaneKind::Cpu { host, cpu } => on_host(host, format!("cpu-{cpu}")),
            LaneKind::JvmDefinitions { jvm } => on_host(self.jvms[jvm].host, format!("jvm-{}", self.jvms[jvm].pid)),
            LaneKind::Jvm { jvm, tid, .. } => on_host(self.jvms[jvm].host, format!("jvm-{}/{tid}", self.jvms[jvm].pid)),
        }
    }

    fn lose_cpu(&mut self, host: usize, cpu: u16, gap: Gap) -> Result {
        let occupant = self.cpu(host, cpu).occupant;
        let track = self.occupant_track(occupant);
        for thread in 0..self.registry.threads.len() {
            let entry = &self.registry.threads[thread];
            if entry.host == host && !entry.ended && entry.cpu == Some(cpu) {
                self.settle_waking(thread, gap.from_ns)?;
                self.registry.threads[thread].lose_sight(&mut self.writer, gap.from_ns)?;
            }
        }
        self.hosts[host].cpus[usize::from(cpu)].lose(&mut self.writer, gap.from_ns, gap.to_ns, track)?;
        self.lose_probes(host, gap.from_ns, gap.to_ns);
        let state = &mut self.hosts[host];
        state.first_loss = Some(state.first_loss.unwrap_or(u64::MAX).min(gap.from_ns));
        state.last_loss = Some(gap.from_ns.max(state.last_loss.unwrap_or(0)));
        Ok(())
    }

    fn lose_jvm(&mut self, stream: (usize, u32), gap: Gap) -> Result {
        if let Some(thread) = self.streams.get(&stream).and_then(|stream| stream.thread) {
            self.lose_mounted(thread, gap.from_ns, gap.to_ns)?;
            if self.registry.threads[thread].is_carrier {
                self.lose_ready(stream.0, (gap.from_ns, gap.to_ns))?;
            }
        }
        let Some(known) = self.streams.get_mut(&stream) else {
            return Ok(());
        };
        let Some(thread) = known.thread else { return Ok(()) };
        let entry = &mut self.registry.threads[thread];
        let mut out = Output {
            writer: &mut self.writer,
            units: &mut self.jvms[stream.0].units,
            track: entry.track,
        };
        known.calls.cut(&mut out, gap.from_ns, gap.to_ns)?;
        out.units.forget(out.writer, gap.to_ns)?;
        entry.activity = super::activity::Activities::default();
        entry.asks_for_work = false;
        if !self.hosts[entry.host].has_kernel && !entry.ended {
            entry.lose_sight(&mut self.writer, gap.from_ns)?;
        }
        if self.jvms[stream.0].vm_thread == Some(entry.track) {
            self.pause_ends(stream.0, gap.from_ns, true)?;
        }
        Ok(())
    }

    /// Ends what every CPU shows.
    pub(super) fn close_cpus(&mut self, to_ns: u64) -> Result {
        for host in 0..self.hosts.len() {
            for cpu in 0..self.hosts[host].cpus.len() {
                let occupant = self.hosts[host].cpus[cpu].occupant;
                let track = self.occupant_track(occupant);
                let state = &mut self.hosts[host].cpus[cpu];
                if occupant != Occupant::Unknown {
                    state.switch(&mut self.writer, to_ns, (occupant, track), Occupant::Unknown)?;
                }
                if let Some(track) = state.track {
                    self.writer.track_mut(track).end_ns = to_ns;
                }
            }
        }
        Ok(())
    }
}
