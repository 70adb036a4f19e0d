//! Ends that are not there: of a recorder that was killed, and of files whose end is damaged.
//!
//! A recorder writes what it has drained at least every second. When it is killed, what may be missing is therefore the last [`UNWRITTEN_NS`] before the
//! last time that is seen in any stream, and how much it is nobody knows. Where a file ends in damage, what may be missing follows the last good record of
//! the stream; in a JVM's file, which holds many streams in the order of their draining, at most [`UNWRITTEN_NS`] before the last good one of all.

use crate::MergeError;
use crate::input::{HostInput, Lane, LaneKind};
use crate::machine::Machine;

/// How long what was drained may have waited for being written (twice the recorder's interval), ns.
const UNWRITTEN_NS: u64 = 2_000_000_000;

/// Tells the machine what the lanes do not have at their ends. `ends` is each host's last instant.
pub(crate) fn lose(lanes: &[Lane], hosts: &[HostInput], ends: &[u64], machine: &mut Machine) -> Result<(), MergeError> {
    let mut has_loss = vec![false; hosts.len()];
    for lane in lanes {
        let host = machine.host_of(lane.kind);
        if lane.is_absent {
            // A gap from its begin to its end, told already.
            has_loss[host] = true;
            continue;
        }
        // What was not written of these is no event.
        let is_definitions = matches!(
            lane.kind,
            LaneKind::Host { .. } | LaneKind::Counters { .. } | LaneKind::JvmDefinitions { .. }
        );
        let was_killed = hosts[host].to_ns.is_none();
        let from_ns = if was_killed && !is_definitions {
            lane.last_ns().max(ends[host].saturating_sub(UNWRITTEN_NS))
        } else if lane.is_torn {
            lane.last_ns()
                .max(file_end(lanes, lane.kind).saturating_sub(UNWRITTEN_NS))
        } else {
            continue;
        };
        has_loss[host] |= machine.lose_tail(lane.kind, from_ns, ends[host].max(from_ns))?;
    }
    for host in (0..hosts.len()).filter(|&host| hosts[host].to_ns.is_none() && !has_loss[host]) {
        // Not even a stream was there yet: what the recorder was about to write is missing all the same.
        let from_ns = ends[host].saturating_sub(UNWRITTEN_NS);
        machine.lose_tail(LaneKind::Host { host }, from_ns, ends[host])?;
    }
    Ok(())
}

/// Last time in any lane of the same JVM's file; 0 for other lanes, which have files of their own.
fn file_end(lanes: &[Lane], kind: LaneKind) -> u64 {
    let jvm_of = |kind: LaneKind| match kind {
        LaneKind::Jvm { jvm, .. } | LaneKind::JvmDefinitions { jvm } => Some(jvm),
        _ => None,
    };
    let Some(jvm) = jvm_of(kind) else { return 0 };
    lanes
        .iter()
        .filter(|lane| jvm_of(lane.kind) == Some(jvm))
        .map(Lane::last_ns)
        .max()
        .unwrap_or(0)
}
