//! What the kernel writes where BPF is refused: records in the rings of perf events, and where the fields of tracepoints lie in them.

use plumb_collector::outside::{self, Books, Dated, Event, OnCpu, Told, Tracepoints};
use plumb_trace::record::KernelRecord;

/// The tracepoints that are read, and their numbers here.
const NAMES: [(&str, u16); 4] = [
    ("sched_switch", 300),
    ("sched_waking", 301),
    ("sched_wakeup", 302),
    ("sched_wakeup_new", 303),
];
/// The numbers of the CPU's groups of counters.
const GROUPS: [u64; 1] = [777];
/// Between formats, and between them and records.
const END: u8 = 0;

/// Records of a ring. What is charged to threads of one CPU is no more than the time that passed.
pub fn run_ring(bytes: &[u8]) {
    let Some(tracepoints) = Tracepoints::read(|name| Some(format(name))) else {
        unreachable!("formats as the kernel writes them are read");
    };
    let mut dated = records(bytes, &tracepoints);
    assert_eq!(dated, records(bytes, &tracepoints), "read again it is the same");
    dated.sort_by_key(|dated| dated.time_ns);
    let passed_ns = match &dated[..] {
        [first, .., last] => last.time_ns - first.time_ns,
        _ => 0,
    };
    let (mut books, mut here) = (Books::default(), OnCpu::default());
    for dated in dated {
        let (time_ns, is_name) = (
            dated.time_ns,
            matches!(
                dated.event,
                Event::Fork { .. } | Event::Exit { .. } | Event::Comm { .. }
            ),
        );
        let Some(record) = books.record(1, &mut here, dated) else {
            continue;
        };
        assert_eq!((record.time_ns, record.cpu), (time_ns, 1));
        assert_eq!(KernelRecord::from_bytes(&record.to_bytes()), record);
        // Names lie where the charged time does.
        assert!(
            is_name || record.charged_ns <= passed_ns,
            "{record:?} in {passed_ns} ns"
        );
    }
}

/// Records as they lie in a ring: kind u32, misc u16, length u16 with these eight bytes. The last may be torn.
fn records(mut bytes: &[u8], tracepoints: &Tracepoints) -> Vec<Dated> {
    let mut all = Vec::new();
    while let Some((&[a, b, c, d, e, f, g, h], rest)) = bytes.split_first_chunk::<8>() {
        let length = usize::from(u16::from_ne_bytes([g, h]))
            .saturating_sub(8)
            .min(rest.len());
        let (body, behind) = rest.split_at(length);
        bytes = behind;
        let dated = outside::record(
            u32::from_ne_bytes([a, b, c, d]),
            u16::from_ne_bytes([e, f]),
            body,
            tracepoints,
            &GROUPS,
        );
        if let Some(Dated {
            event: Event::Comm { comm, .. },
            ..
        }) = &dated
        {
            // What is not UTF-8 takes three bytes for one.
            assert!(comm.len() <= 3 * body.len() && !comm.contains('\0'), "{comm:?}");
        }
        all.extend(dated);
    }
    all
}

/// Formats of the four tracepoints, and a record: what is told of it stands in it.
pub fn run_formats(bytes: &[u8]) {
    let mut parts = bytes.splitn(NAMES.len() + 1, |&byte| byte == END);
    let formats: Vec<String> = parts
        .by_ref()
        .take(NAMES.len())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    let number = |name: &str| NAMES.iter().position(|(known, _)| *known == name);
    let read = || Tracepoints::read(|name| formats.get(number(name)?).cloned());
    let (Some(tracepoints), Some(again)) = (read(), read()) else {
        return;
    };
    assert_eq!(
        tracepoints.events().count(),
        NAMES.len(),
        "each has a number of its own"
    );
    let record = parts.next().unwrap_or_default();
    let told = tracepoints.parse(record);
    assert_eq!(told, again.parse(record));
    let stands = |number: u32| number == 0 || record.windows(4).any(|bytes| bytes == number.to_ne_bytes());
    match told {
        Some(Told::Waking { tid, cpu, .. } | Told::Queued { tid, cpu }) => {
            assert!(stands(tid) && stands(cpu), "{told:?}")
        }
        Some(Told::Leaves { state }) => assert!(state <= 0x80, "{state:#x} is no state of a task"),
        None => {}
    }
}

/// A `format` file, as far as it is read.
fn format(name: &str) -> String {
    let number = NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(0, |(_, number)| *number);
    let fields = match name {
        "sched_switch" => "\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n",
        _ => {
            "\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n\tfield:int target_cpu;\toffset:32;\tsize:4;\tsigned:1;\n"
        }
    };
    format!(
        "name: {name}\nID: {number}\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n{fields}\nprint fmt: \"x\"\n"
    )
}

/// The record of a tracepoint of this number.
fn raw(number: u16) -> Vec<u8> {
    let mut raw = vec![0; 40];
    raw[..2].copy_from_slice(&number.to_ne_bytes());
    raw[2] = 8;
    raw[24..28].copy_from_slice(&7_000_008_u32.to_ne_bytes());
    raw[32] = 1;
    raw
}

/// Something of each kind, of threads that there cannot be.
pub fn seeds_of_ring() -> Vec<Vec<u8>> {
    const OUT: u16 = 1 << 13;
    const PREEMPTED: u16 = 1 << 14;
    let (a, b) = (7_000_007, 7_000_008);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let stamp = |tid: u32, time_ns: u64| [words(&[tid, tid]), time_ns.to_ne_bytes().to_vec(), vec![0; 16]].concat();
    let record = |kind: u32, misc: u16, body: Vec<u8>| {
        let length = (body.len() + 8) as u16;
        [
            &kind.to_ne_bytes()[..],
            &misc.to_ne_bytes(),
            &length.to_ne_bytes(),
            &body,
        ]
        .concat()
    };
    let ended =
        |kind, misc, body: &[u32], tid, time_ns| record(kind, misc, [words(body), stamp(tid, time_ns)].concat());
    // The event's number stands at a sample's begin, and at the end of the others.
    let begun = |event: u64, tid, time_ns| [&event.to_ne_bytes()[..], &stamp(tid, time_ns)[..24]].concat();
    let sample = |number, tid, time_ns| record(9, 0, [begun(0, tid, time_ns), words(&[40]), raw(number)].concat());
    // Two counters behind their leader, each number of 64 bits.
    let counts = words(&[3, 0, 900, 0, 800, 0, 1, 0, 5000, 0, 70, 0]);
    let counted = |tid, time_ns| record(9, 0, [begun(GROUPS[0], tid, time_ns), counts.clone()].concat());
    let everybody = [
        ended(7, 0, &[b, a, b, a, 0, 0], a, 100),
        sample(301, a, 200),
        sample(303, a, 210),
        ended(3, OUT, &[b, b, u32::from_ne_bytes(*b"java"), 0], b, 250),
        sample(300, a, 300),
        counted(a, 300),
        ended(15, OUT, &[b, b], a, 300),
        ended(15, OUT | PREEMPTED, &[a, a], b, 400),
        ended(2, 0, &[1, 0, 5, 0], a, 450),
        ended(4, 0, &[a, a, a, a, 0, 0], a, 480),
        ended(15, OUT, &[0, 0], u32::MAX, 500),
    ];
    let own = [
        ended(14, 0, &[], a, 100),
        ended(14, OUT, &[], a, 200),
        ended(4, 0, &[a, a, a, a, 0, 0], a, 250),
    ];
    vec![everybody.concat(), own.concat()]
}

/// The four formats, with a record of each in turn.
pub fn seeds_of_formats() -> Vec<Vec<u8>> {
    let formats: Vec<u8> = NAMES
        .iter()
        .flat_map(|(name, _)| format(name).into_bytes().into_iter().chain([END]))
        .collect();
    NAMES
        .iter()
        .map(|(_, number)| [formats.clone(), raw(*number)].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_to_their_end() {
        let tracepoints = Tracepoints::read(|name| Some(format(name))).expect("formats as the kernel writes them");
        let counts = seeds_of_ring()
            .iter()
            .map(|ring| records(ring, &tracepoints).len())
            .collect::<Vec<_>>();
        assert_eq!(counts, [11, 3]);
        for number in NAMES.map(|(_, number)| number) {
            assert!(tracepoints.parse(&raw(number)).is_some(), "{number}");
        }
    }
}
