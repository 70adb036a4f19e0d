//! A timeline in memory as a file, for what a reader of files must answer alike.

use super::Memory;
use crate::timeline::{Query, TimelineError, TimelineWriter, TrackId, TrackKind};
use std::path::Path;

impl Memory {
    /// Writes all of it.
    ///
    /// # Errors
    /// The file cannot be written, or rows are not in order.
    pub fn write(&self, path: &Path) -> Result<(), TimelineError> {
        let mut writer = TimelineWriter::create(path)?;
        *writer.info_mut() = self.info.clone();
        // Numbers of strings are handed out in the same order.
        for text in &self.strings {
            writer.string(text);
        }
        for process in &self.processes {
            writer.add_process(process.clone());
        }
        for track in &self.tracks {
            writer.add_track(track.clone());
        }
        for (number, track) in (0..).zip(&self.tracks) {
            self.write_track(&mut writer, TrackId(number), track.kind)?;
        }
        self.units.iter().try_for_each(|unit| writer.unit(unit))?;
        self.unit_parts.iter().try_for_each(|part| writer.unit_part(part))?;
        for frames in &self.stacks {
            if let Some(stack) = writer.add_stack() {
                writer.define_stack(stack, frames);
            }
        }
        self.sleeps
            .iter()
            .try_for_each(|(track, sleep)| writer.sleep(*track, sleep))?;
        for &(track, at_ns, value) in &self.counters {
            writer.counter(track, at_ns, value)?;
        }
        self.losses.iter().for_each(|loss| writer.loss(loss.clone()));
        writer.finish()
    }

    fn write_track(&self, writer: &mut TimelineWriter, track: TrackId, kind: TrackKind) -> Result<(), TimelineError> {
        for state in Memory::of_track(&self.states, track) {
            writer.state(track, state)?;
        }
        for slice in Memory::of_track(&self.slices, track) {
            writer.slice(track, slice)?;
        }
        if kind == TrackKind::Cpu {
            for stretch in self.occupancy(track, self.info.from_ns, self.info.to_ns)? {
                writer.occupancy(track, &stretch)?;
            }
        }
        Ok(())
    }
}
