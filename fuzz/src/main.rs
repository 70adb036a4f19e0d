//! `plumb-fuzz`: lists the targets, writes their seeds, feeds an input that failed again. `cargo xtask fuzz` calls it.

use anyhow::{Context, Result, bail};
use plumb_fuzz::{TARGETS, Target, target};
use std::path::Path;

const USAGE: &str = "\
plumb-fuzz list                    the targets, one a line
plumb-fuzz seeds TARGET DIR        write the inputs that a target begins with
plumb-fuzz replay TARGET FILE...   feed these inputs to a target: it panics where one fails";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            for Target { name, what, .. } in TARGETS {
                println!("{name:<16}{what}");
            }
            Ok(())
        }
        ["seeds", name, dir] => write_seeds(find(name)?, Path::new(dir)),
        ["replay", name, ref files @ ..] => files.iter().try_for_each(|file| replay(find(name)?, Path::new(file))),
        _ => bail!("wrong usage\nremedy: one of these\n\n{USAGE}"),
    }
}

fn find(name: &str) -> Result<&'static Target> {
    target(name).with_context(|| format!("no target {name}\nremedy: `plumb-fuzz list` tells which there are"))
}

fn write_seeds(target: &Target, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let path = dir.join(format!("seed-{number}"));
        std::fs::write(&path, seed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn replay(target: &Target, file: &Path) -> Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    println!("{}: {} bytes of {}", target.name, bytes.len(), file.display());
    (target.run)(&bytes);
    println!("{}: holds", target.name);
    Ok(())
}
