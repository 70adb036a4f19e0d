//! Colours. A state is told by three things, so that neither colour blindness nor a grey print hides it: its hue (after Okabe and Ito, and Paul Tol),
//! its lightness, and the height of its bar: full where the thread has or wants a CPU or is kept from it, middle where it is
//! blocked in the kernel, low where it waits by its own will. Missing knowledge is hatched.

use crate::model::counter::Kind;
use eframe::egui::Color32;
use plumb_trace::State;

/// How a state's bar looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Colour.
    pub colour: Color32,
    /// Height, as a part of the row's.
    pub height: f32,
    /// Drawn with slanted lines instead of a fill.
    pub hatched: bool,
}

const FULL: f32 = 1.0;
const MIDDLE: f32 = 0.68;
const LOW: f32 = 0.3;

/// How a state looks.
pub const fn state(state: State) -> Look {
    match state {
        State::Running => look(0x1f_b4_7a, FULL, false),
        State::Stolen => look(0xff_f3_f6, FULL, true),
        State::Ready => look(0xf5_a9_1e, FULL, false),
        State::Throttled => look(0xf5_d8_30, FULL, true),
        State::Monitor => look(0xd8_47_1d, FULL, false),
        State::Pause => look(0xa0_3a_8c, FULL, false),
        State::Net => look(0x62_bb_ee, MIDDLE, false),
        State::Disk => look(0x2a_6f_b8, MIDDLE, false),
        State::Poll => look(0x9c_d8_dc, MIDDLE, false),
        State::Futex => look(0x8a_6f_e0, MIDDLE, false),
        State::Syscall => look(0x8f_a0_c8, MIDDLE, false),
        State::Fault => look(0xf4_e6_a8, MIDDLE, false),
        State::Blocked => look(0x54_5a_66, MIDDLE, false),
        State::Wait => look(0xb4_b9_e0, LOW, false),
        State::Park => look(0x8b_93_bd, LOW, false),
        State::Sleep => look(0x66_70_98, LOW, false),
        State::Idle => look(0x47_4f_66, LOW, false),
        State::Stopped => look(0xc0_c4_cc, MIDDLE, true),
        State::Unknown => look(0x5a_60_6c, FULL, true),
    }
}

const fn look(rgb: u32, height: f32, hatched: bool) -> Look {
    Look {
        colour: rgb_colour(rgb),
        height,
        hatched,
    }
}

/// A colour from its usual six digits.
pub const fn rgb_colour(rgb: u32) -> Color32 {
    Color32::from_rgb((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

/// Backgrounds, lines and texts of the window.
pub mod ui {
    use super::{Color32, rgb_colour};

    /// Behind everything.
    pub const BACKGROUND: Color32 = rgb_colour(0x15_18_1e);
    /// Behind bars, labels' column and panels.
    pub const PANEL: Color32 = rgb_colour(0x1b_1f_27);
    /// Behind headings.
    pub const HEADING: Color32 = rgb_colour(0x22_27_31);
    /// What the pointer is over.
    pub const HOVERED: Color32 = rgb_colour(0x2a_31_3d);
    /// What is selected.
    pub const SELECTED: Color32 = rgb_colour(0x27_3f_5c);
    /// Lines between rows.
    pub const LINE: Color32 = rgb_colour(0x26_2b_35);
    /// Lines of the time axis.
    pub const GRID: Color32 = rgb_colour(0x2a_30_3b);
    /// Text.
    pub const TEXT: Color32 = rgb_colour(0xe4_e8_ef);
    /// Text of less weight.
    pub const WEAK: Color32 = rgb_colour(0x98_a1_b2);
    /// Names of headings, links, what is active.
    pub const ACCENT: Color32 = rgb_colour(0x6f_c3_ff);
    /// Losses and errors.
    pub const ALARM: Color32 = rgb_colour(0xff_6b_57);
    /// What the search found.
    pub const FOUND: Color32 = rgb_colour(0xff_e0_66);
}

/// Colours of the processes that deserve one (Paul Tol's light scheme), in the order of their rank.
const PROCESSES: [Color32; 8] = [
    rgb_colour(0x77_aa_dd),
    rgb_colour(0xee_88_66),
    rgb_colour(0x44_bb_99),
    rgb_colour(0xee_dd_88),
    rgb_colour(0xff_aa_bb),
    rgb_colour(0xbb_cc_33),
    rgb_colour(0x99_dd_ff),
    rgb_colour(0xaa_aa_00),
];

/// How many shades of processes there are: one each for those of highest rank, then one for the rest, and one for the kernel's threads.
pub const SHADES: usize = PROCESSES.len() + 2;
/// The shade of processes without one of their own.
pub const SHADE_OTHER: usize = PROCESSES.len();
/// The shade of kernel threads.
pub const SHADE_KERNEL: usize = PROCESSES.len() + 1;

/// Colour of a shade of processes.
pub fn shade(number: usize) -> Color32 {
    match PROCESSES.get(number) {
        Some(colour) => *colour,
        None if number == SHADE_KERNEL => rgb_colour(0x55_5b_68),
        None => rgb_colour(0x8b_90_9c),
    }
}

/// Colour of a counter's chart (after Okabe and Ito).
pub const fn counter(kind: Kind) -> Color32 {
    rgb_colour(match kind {
        Kind::Cpu => 0xe6_9f_00,
        Kind::Io => 0x4a_a8_f0,
        Kind::Memory => 0xa9_58_b0,
        Kind::Stolen => 0xc4_3c_00,
        Kind::Throttled => 0xf0_e4_42,
        Kind::Other => 0xcf_d6_e6,
    })
}

/// Colours of method calls: muted, so that states stay what one sees first.
const METHODS: [Color32; 8] = [
    rgb_colour(0x3f_5e_8c),
    rgb_colour(0x4d_6b_57),
    rgb_colour(0x6d_55_8a),
    rgb_colour(0x7a_62_3f),
    rgb_colour(0x3d_6f_7a),
    rgb_colour(0x7d_50_5c),
    rgb_colour(0x56_60_7c),
    rgb_colour(0x60_70_40),
];

/// Colour of the calls of a method, always the same for the same name.
pub fn method(name: &str) -> Color32 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    METHODS[(hash >> 7) as usize % METHODS.len()]
}

/// Black or white: what can be read on a colour.
pub fn text_on(colour: Color32) -> Color32 {
    if lightness(colour) > 58.0 {
        rgb_colour(0x10_13_18)
    } else {
        Color32::WHITE
    }
}

/// Lightness as the eye sees it (CIE L*), 0 to 100.
pub fn lightness(colour: Color32) -> f32 {
    let linear = |value: u8| {
        let value = f32::from(value) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    let luminance = 0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b());
    if luminance > 0.008_856 {
        116.0 * luminance.cbrt() - 16.0
    } else {
        903.3 * luminance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> impl Iterator<Item = (State, State)> + Clone {
        let all = State::ALL.into_iter().enumerate();
        all.flat_map(|(place, one)| State::ALL[..place].iter().map(move |other| (one, *other)))
    }

    fn same_shape((one, other): (State, State)) -> bool {
        (state(one).height, state(one).hatched) == (state(other).height, state(other).hatched)
    }

    /// What an eye without one kind of cone sees (Machado 2009, severity 1, on sRGB values).
    fn seen(colour: Color32, matrix: [[f32; 3]; 3]) -> [f32; 3] {
        let rgb = [colour.r(), colour.g(), colour.b()].map(f32::from);
        matrix.map(|row| row.iter().zip(rgb).map(|(part, value)| part * value).sum())
    }

    #[test]
    fn states_of_one_shape_differ_in_grey() {
        for (one, other) in pairs().filter(|pair| same_shape(*pair)) {
            let difference = (lightness(state(one).colour) - lightness(state(other).colour)).abs();
            assert!(
                difference >= 5.0,
                "{} and {} differ by {difference} only",
                one.name(),
                other.name()
            );
        }
    }

    /// How far apart the nearest two of these are for eyes without one kind of cone.
    fn check_apart(pairs: impl Iterator<Item = (Color32, Color32, String)> + Clone, least: f32) {
        let deuteranopia = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]];
        let protanopia = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]];
        let tritanopia = [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]];
        for matrix in [deuteranopia, protanopia, tritanopia] {
            for (one, other, names) in pairs.clone() {
                let (a, b) = (seen(one, matrix), seen(other, matrix));
                let distance = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                assert!(distance >= least, "{names} are {distance} apart");
            }
        }
    }

    #[test]
    fn states_of_one_shape_differ_for_colour_blind_eyes() {
        let alike = pairs().filter(|pair| same_shape(*pair));
        let colours = alike.map(|(one, other)| {
            let names = format!("{} and {}", one.name(), other.name());
            (state(one).colour, state(other).colour, names)
        });
        check_apart(colours, 28.0);
    }

    #[test]
    fn counters_differ_for_colour_blind_eyes_and_in_grey() {
        let all = Kind::ALL.into_iter().enumerate();
        let pairs = all.flat_map(|(place, one)| Kind::ALL[..place].iter().map(move |other| (one, *other)));
        let colours = pairs.map(|(one, other)| (counter(one), counter(other), format!("{one:?} and {other:?}")));
        for (one, other, names) in colours.clone() {
            let difference = (lightness(one) - lightness(other)).abs();
            assert!(difference >= 3.0, "{names} differ by {difference} only");
        }
        check_apart(colours, 70.0);
    }

    #[test]
    fn every_bar_stands_out_from_the_background() {
        for each in State::ALL {
            let difference = lightness(state(each).colour) - lightness(ui::BACKGROUND);
            assert!(difference >= 20.0, "{}: {difference}", each.name());
        }
        for kind in Kind::ALL {
            let difference = lightness(counter(kind)) - lightness(ui::BACKGROUND);
            assert!(difference >= 30.0, "{kind:?}: {difference}");
        }
    }

    #[test]
    fn texts_can_be_read() {
        for colour in METHODS.into_iter().chain(State::ALL.map(|each| state(each).colour)) {
            assert!(
                (lightness(colour) - lightness(text_on(colour))).abs() > 35.0,
                "{colour:?}"
            );
        }
    }
}
