//! Notes: what a reader of the timeline should know before believing it, one line each.

use crate::input::{HostInput, JvmInput, Lane};
use crate::machine::Oddities;

/// Notes about what was and was not recorded.
pub(crate) fn about_recordings(hosts: &[HostInput], jvms: &[JvmInput], notes: &mut Vec<String>) {
    for host in hosts {
        for manifest in &host.manifests {
            let name = &manifest.host.name;
            if let Some(reason) = &manifest.cut_short {
                notes.push(format!("{name}: the recording ended early: {reason}"));
            }
            notes.extend(manifest.notes.iter().map(|note| format!("{name}: {note}")));
            if manifest.ended_ns.is_none() {
                notes.push(format!(
                    "{name}: the recorder was killed, or could write no more; what it had not written yet is lost"
                ));
            }
            if !manifest.kernel {
                let why = manifest.kernel_absent.as_deref().unwrap_or("not asked for");
                notes.push(format!(
                    "{name}: no kernel records ({why}): states are what the JVM says, the rest is unknown"
                ));
                notes.push(format!(
                    "{name}: without kernel records a pause counts for every Java thread, also for those in native code"
                ));
            }
        }
        if host.manifests.len() > 1 {
            let name = &host.manifests[0].host.name;
            notes.push(format!(
                "{name}: {} recordings of the same boot were put together",
                host.manifests.len()
            ));
        }
    }
    for jvm in jvms {
        let reasons = jvm.classes.no_stacks.iter();
        notes.extend(reasons.map(|reason| format!("JVM {}: {reason}", jvm.pid)));
        if !jvm.classes.left_alone.is_empty() {
            notes.push(format!("JVM {}: {}", jvm.pid, jvm.classes.left_alone));
        }
    }
}

/// Notes about what of a stream could not be read.
pub(crate) fn about_lane(lane: &Lane, notes: &mut Vec<String>) {
    notes.extend(lane.damage.iter().map(|damage| format!("damaged: {damage}")));
    if lane.unconverted > 0 {
        notes.push(format!(
            "{}: {} segments left out: their clock is the TSC, and the recording holds fewer than two clock pairs",
            lane.name(),
            lane.unconverted
        ));
    }
}

/// Notes about records that could not be used.
pub(crate) fn about_oddities(oddities: Oddities, notes: &mut Vec<String>) {
    let Oddities {
        unknown_kinds,
        unseen_leavings,
        late,
        nameless,
    } = oddities;
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    };
    note(
        unknown_kinds,
        "records are of a kind that this version does not know and were left out",
    );
    note(
        unseen_leavings,
        "times a thread came to a CPU and was not seen to leave it: it is unknown from there to its next record",
    );
    note(
        late,
        "records came later than others of their stream and were moved to the time of those",
    );
    note(
        nameless,
        "records of the JVM belong to threads that could not be told and were left out",
    );
}
