//! `OUT.pcf` and `OUT.row`: what numbers mean and what rows are called.

use super::records::Values;
use super::rows::Rows;
use super::{METHOD_TYPE, PAUSE_TYPE, states};
use plumb_trace::State;
use plumb_trace::timeline::Query;
use std::io::{self, Write};

/// Writes the `.pcf`.
pub(super) fn write_pcf(query: &dyn Query, values: &Values, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "DEFAULT_OPTIONS\n\nLEVEL               THREAD\nUNITS               NANOSEC\nLOOK_BACK           100\nSPEED               1\n\
         FLAG_ICONS          ENABLED\nNUM_OF_STATE_COLORS 1000\nYMAX_SCALE          37\n\n\n\
         DEFAULT_SEMANTIC\n\nTHREAD_FUNC         State As Is\n\n\n"
    )?;
    let mut all: Vec<(u32, State)> = State::ALL
        .into_iter()
        .map(|state| (states::number(state), state))
        .collect();
    all.sort_unstable();
    writeln!(out, "STATES")?;
    for &(number, state) in &all {
        writeln!(out, "{number:<4} {}", state.name())?;
    }
    writeln!(out, "\n\nSTATES_COLOR")?;
    for &(number, state) in &all {
        let (red, green, blue) = states::colour(state);
        writeln!(out, "{number:<4} {{{red},{green},{blue}}}")?;
    }
    for (event_type, label) in [(METHOD_TYPE, "Method"), (PAUSE_TYPE, "JVM pause")] {
        writeln!(out, "\n\nEVENT_TYPE\n9    {event_type}    {label}\nVALUES\n0      End")?;
        for (value, name) in values.all(event_type) {
            writeln!(out, "{value:<6} {}", clean(query.string(name)))?;
        }
    }
    writeln!(out)
}

/// Writes the `.row`.
pub(super) fn write_row(query: &dyn Query, rows: &Rows, out: &mut dyn Write) -> io::Result<()> {
    let hosts = &query.info().hosts;
    let cpus = rows
        .cpus
        .iter()
        .enumerate()
        .flat_map(|(host, &count)| (0..count).map(move |cpu| (host, cpu)));
    level(
        out,
        "CPU",
        cpus.map(|(host, cpu)| format!("{}.{}", host + 1, cpu + 1)).collect(),
    )?;
    level(out, "NODE", hosts.iter().map(|host| host.name.clone()).collect())?;
    let process = |place: usize| {
        let process = &query.processes()[place];
        format!("{} {}", process.name, process.pid)
    };
    level(
        out,
        "APPL",
        rows.applications
            .iter()
            .map(|application| process(application.process))
            .collect(),
    )?;
    level(
        out,
        "TASK",
        rows.applications
            .iter()
            .map(|application| process(application.process))
            .collect(),
    )?;
    let tracks = rows.applications.iter().flat_map(|application| &application.threads);
    let thread = |track: &plumb_trace::timeline::TrackId| {
        let track = &query.tracks()[track.0 as usize];
        track
            .tid
            .map_or_else(|| track.name.clone(), |tid| format!("{} {tid}", track.name))
    };
    level(out, "THREAD", tracks.map(thread).collect())
}

fn level(out: &mut dyn Write, name: &str, rows: Vec<String>) -> io::Result<()> {
    writeln!(out, "LEVEL {name} SIZE {}", rows.len())?;
    for row in rows {
        writeln!(out, "{}", clean(&row))?;
    }
    writeln!(out)
}

/// A label: one line, never empty (Paraver takes its last character unseen).
fn clean(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.trim().is_empty() { "-".into() } else { text }
}
