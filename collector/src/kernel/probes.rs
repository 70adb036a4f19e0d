//! Probes of libjvm, by uprobes at the places that its USDT notes name (`bpf/probes.h`).
//!
//! A uprobe belongs to a file, so each distinct libjvm is attached to once, and whoever runs it now or later comes by; who is not in scope is sent away by the program.
//! The kernel asks for CAP_SYS_ADMIN, which nobody keeps: what is not attached to before a recording runs is not recorded.

use super::object::{bpf_error, chain};
use crate::CollectorError;
use crate::libjvm::Libjvm;
use crate::usdt::{self, Place, Probe};
use aya::maps::{Array, MapData};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};
use aya::programs::{ProgramError, UProbe};
use aya::{Ebpf, Pod};
use plumb_trace::record::probe;
use std::collections::HashMap;
use std::fmt::Display;

const PROGRAM: &str = "on_probe";
/// What HotSpot calls itself in its notes: most are for everybody, safepoints are not.
const PROVIDERS: [&str; 2] = ["hotspot", "hs_private"];
/// Places of one name that a libjvm has at the most: HotSpot has a few, where a function was inlined. There is room for a thousand of all libjvms, and a file of
/// that name may be anybody's.
const PLACES_MAX: usize = 16;

/// Probes of an option: their names, what they are called in records, and the number of the argument that is a name. Ends before beginnings, so that nothing begins whose end is not
/// seen.
type Wanted = &'static [(&'static str, u32, Option<usize>)];

const SAFEPOINTS: Wanted = &[
    ("safepoint__end", probe::SAFEPOINT_END, None),
    ("vmops__end", probe::OPERATION_END, None),
    ("vmops__begin", probe::OPERATION_BEGIN, Some(0)),
    ("safepoint__begin", probe::SAFEPOINT_BEGIN, None),
];
const PARKS: Wanted = &[
    ("thread__park__end", probe::PARK_END, None),
    ("thread__park__begin", probe::PARK_BEGIN, None),
];

/// A place, as the program looks it up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Point {
    what: u32,
    r#where: u16,
    reg: u16,
    offset: i64,
}

const _: () = assert!(size_of::<Point>() == 16);

#[expect(unsafe_code, reason = "aya copies it into a map as it is")]
// SAFETY: plain numbers, without padding.
unsafe impl Pod for Point {}

impl Point {
    fn new(what: u32, name: Option<Place>) -> Point {
        let (place, reg, offset) = match name {
            Some(Place::Register(reg)) => (1, reg, 0),
            Some(Place::Memory { base, offset }) => (2, base, offset),
            Some(Place::Constant(_)) | None => (0, 0, 0),
        };
        Point {
            what,
            r#where: place,
            reg: reg.into(),
            offset: offset.into(),
        }
    }
}

/// What is attached, and to what.
pub(super) struct Probes {
    points: Array<MapData, Point>,
    /// Number of the next place.
    next: u32,
    wanted: Vec<Wanted>,
    /// What became of each libjvm.
    seen: HashMap<(u64, u64), Result<(), String>>,
}

impl Probes {
    /// Loads the program; nothing is attached yet.
    pub fn load(bpf: &mut Ebpf, safepoints: bool, parks: bool) -> Result<Probes, CollectorError> {
        uprobe(bpf)?
            .load()
            .map_err(|error| bpf_error(PROGRAM, &chain(&error)))?;
        let points = bpf
            .take_map("points")
            .ok_or_else(|| bpf_error("points", &"the object has no such map"))?;
        let wanted = [(safepoints, SAFEPOINTS), (parks, PARKS)];
        Ok(Probes {
            points: Array::try_from(points).map_err(|error| bpf_error("points", &error))?,
            next: 0,
            wanted: wanted
                .into_iter()
                .filter(|(is_wanted, _)| *is_wanted)
                .map(|(_, probes)| probes)
                .collect(),
            seen: HashMap::new(),
        })
    }

    /// Attaches to a libjvm, unless that was tried. On an error nothing of it is recorded, or not all.
    pub fn attach(&mut self, bpf: &mut Ebpf, libjvm: &Libjvm) -> Result<(), String> {
        if let Some(known) = self.seen.get(&libjvm.identity) {
            return known.clone();
        }
        let attached = self.attach_all(bpf, libjvm);
        self.seen.insert(libjvm.identity, attached.clone());
        attached
    }

    fn attach_all(&mut self, bpf: &mut Ebpf, libjvm: &Libjvm) -> Result<(), String> {
        let path = libjvm.path.display();
        let probes = usdt::probes(&libjvm.file).map_err(|error| format!("{path} {error}"))?;
        let wanted: Vec<_> = self.wanted.iter().copied().flatten().collect();
        if let Some((name, ..)) = wanted.iter().find(|(name, ..)| has_too_many(&probes, name)) {
            return Err(format!("{path} has too many places of {name} to be HotSpot's"));
        }
        for &&(name, what, argument) in &wanted {
            let mut places = places(&probes, name).peekable();
            if places.peek().is_none() {
                return Err(format!("{path} has no probe {name}: it was built without DTrace's"));
            }
            for probe in places {
                let place = argument.and_then(|number| probe.arguments.get(number).copied().flatten());
                self.attach_at(bpf, libjvm, probe.offset, Point::new(what, place))?;
            }
        }
        Ok(())
    }

    fn attach_at(&mut self, bpf: &mut Ebpf, libjvm: &Libjvm, offset: u64, point: Point) -> Result<(), String> {
        let number = self.next;
        self.points
            .set(number, point, 0)
            .map_err(|error| format!("too many libjvms: {}", chain(&error)))?;
        self.next += 1;
        let place = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(offset),
            cookie: Some(number.into()),
        };
        let program = uprobe(bpf).map_err(|error| line(&error))?;
        let attached = program.attach(place, libjvm.own_path(), UProbeScope::AllProcesses);
        attached.map(drop).map_err(|error| refusal(&error))
    }
}

/// The places of a probe.
fn places<'p>(probes: &'p [Probe], name: &str) -> impl Iterator<Item = &'p Probe> {
    let is_wanted = move |probe: &&Probe| {
        PROVIDERS.contains(&probe.provider.as_str()) && probe.name == name && !probe.has_semaphore
    };
    probes.iter().filter(is_wanted)
}

fn has_too_many(probes: &[Probe], name: &str) -> bool {
    places(probes, name).count() > PLACES_MAX
}

fn uprobe(bpf: &mut Ebpf) -> Result<&mut UProbe, CollectorError> {
    let program = bpf
        .program_mut(PROGRAM)
        .ok_or_else(|| bpf_error(PROGRAM, &"the object has no such program"))?;
    program.try_into().map_err(|error| bpf_error(PROGRAM, &error))
}

fn refusal(error: &ProgramError) -> String {
    match error {
        ProgramError::AttachCookieNotSupported => "this kernel cannot tell uprobes apart (5.15 and later can)".into(),
        error => format!("uprobes are refused: {}", chain(error)),
    }
}

fn line(error: &impl Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_very_many_places_is_refused() {
        let probe = |provider: &str, has_semaphore| Probe {
            provider: provider.into(),
            name: "vmops__end".into(),
            offset: 1,
            has_semaphore,
            arguments: Vec::new(),
        };
        let mut probes = vec![probe("hotspot", false); PLACES_MAX - 1];
        probes.push(probe("hs_private", false));
        probes.extend([probe("hotspot", true), probe("somebody", false)]);
        assert!(!has_too_many(&probes, "vmops__end"));
        probes.push(probe("hotspot", false));
        assert!(has_too_many(&probes, "vmops__end"));
        assert!(!has_too_many(&probes, "vmops__begin"));
    }
}
