//! The tables of a timeline: what it is about, processes, tracks, losses, strings.

use super::model::{Info, JavaThread, Loss, Process, Track, TrackId};
use crate::varint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All tables but the strings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) info: Info,
    pub(super) processes: Vec<Process>,
    pub(super) tracks: Vec<Track>,
    pub(super) losses: Vec<Loss>,
    /// Of tracks that are Java threads.
    #[serde(default)]
    pub(super) java_threads: BTreeMap<TrackId, JavaThread>,
}

impl Meta {
    /// Whether numbers of processes, hosts and groups mean something, and no track ends before it begins.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(at) = self
            .processes
            .iter()
            .position(|process| process.host as usize >= self.info.hosts.len())
        {
            return Err(format!("process {at} is of a host that is not there"));
        }
        for (at, track) in self.tracks.iter().enumerate() {
            if track.process.0 as usize >= self.processes.len() {
                return Err(format!("track {at} ({}) is of a process that is not there", track.name));
            }
            if track
                .group
                .is_some_and(|group| group as usize >= self.info.groups.len())
            {
                return Err(format!("track {at} ({}) is in a group that is not there", track.name));
            }
            if track.start_ns > track.end_ns {
                return Err(format!("track {at} ({}) ends before it begins", track.name));
            }
        }
        match self.losses.iter().find(|loss| loss.from_ns > loss.to_ns) {
            Some(loss) => Err(format!("a loss of {} ends before it begins", loss.stream)),
            None if self.info.from_ns > self.info.to_ns => Err("it ends before it begins".into()),
            None => Ok(()),
        }
    }
}

/// The bytes of the strings.
pub(super) fn encode_strings(strings: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in strings {
        varint::put(&mut out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// Reads strings; the first is the empty one.
pub(super) fn decode_strings(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(varint::take(&mut bytes)?).ok()?;
        let (text, rest) = bytes.split_at_checked(length)?;
        strings.push(std::str::from_utf8(text).ok()?.to_owned());
        bytes = rest;
    }
    strings.first().is_some_and(String::is_empty).then_some(strings)
}
