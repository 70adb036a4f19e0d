//! `plumb view`.

use super::timeline;
use crate::{
    failure::OrRemedy,
    time::{Time, parse_time},
};
use anyhow::Result;
use plumb_trace::timeline::Query;
use plumb_viewer::Part;
use std::path::PathBuf;

/// Look at a timeline, in a window or as a picture
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// Timelines; several are laid over each other, each from its own start
    #[arg(required = true, value_name = "FILE")]
    timelines: Vec<PathBuf>,
    /// Write what the window would show as a PNG; needs no display
    #[arg(long, value_name = "OUT.png")]
    screenshot: Option<PathBuf>,
    /// Size of the picture, pixels
    #[arg(long, value_name = "WxH", default_value = "1600x900", value_parser = parse_size, requires = "screenshot")]
    size: (u32, u32),
    /// Begin of what is shown: from the start (1.5s, 200ms), or absolute ns (@NS)
    #[arg(long, value_name = "T", value_parser = parse_time)]
    from: Option<Time>,
    /// End of what is shown
    #[arg(long, value_name = "T", value_parser = parse_time)]
    to: Option<Time>,
}

const HELP: &str = "\
One row a thread, by groups, coloured by state; under it the calls of its methods.
  Ctrl+wheel          zoom at the pointer
  Shift+wheel, drag   move
  . and ,             through the values of a row
  Ctrl-F or /         search by name
What the pointer is at is explained beside it.

Examples:
  plumb view slow.plumb
  plumb view slow.plumb --screenshot slow.png --size 1920x1080
  plumb view slow.plumb --screenshot slow.png --from 3.2s --to 3.4s";

/// Largest side of a picture, pixels.
const SIDE_MAX: u32 = 16_384;

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
    let sides = text
        .split_once('x')
        .and_then(|(width, height)| Some((side(width)?, side(height)?)));
    sides.ok_or_else(|| format!("a size is WIDTHxHEIGHT in pixels, each from 1 to {SIDE_MAX}, as in 1600x900"))
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let part = part(arguments)?;
    let shown = match &arguments.screenshot {
        None => plumb_viewer::run(&arguments.timelines, part),
        Some(picture) => plumb_viewer::screenshot(&arguments.timelines, picture, arguments.size, part),
    };
    shown.or_remedy("without a display, draw a picture: plumb view FILE --screenshot OUT.png")
}

fn part(arguments: &Arguments) -> Result<Part> {
    if arguments.from.is_none() && arguments.to.is_none() {
        return Ok(Part::default());
    }
    let start_ns = timeline::open(&arguments.timelines[0])?.info().from_ns;
    let absolute = |time: Option<Time>| time.map(|time| time.to_ns(start_ns));
    Ok(Part {
        from_ns: absolute(arguments.from),
        to_ns: absolute(arguments.to),
    })
}
