//! Rule files.

use plumb_filters::load;
use plumb_filters::matcher::Matcher;
use std::cell::OnceCell;
use std::path::PathBuf;
use tempfile::TempDir;

/// Reads a text as a rule file. What is taken compiles to what the agent takes; what is not is refused with a place within the file.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if names_files(text) {
        return;
    }
    let Some(path) = written(text) else { return };
    match load(&[path.to_string_lossy().into_owned()]) {
        Ok(rules) => {
            let matcher = Matcher::parse(&rules.compile()).expect("compiled rules can be read");
            super::matcher::ask(&matcher);
            let _ = (rules.want_jvm(), rules.group_of("http-nio-8080-exec-1"), rules.units());
        }
        Err(diagnostics) => assert!(!diagnostics.to_string().is_empty(), "a mistake is told"),
    }
}

/// Files that a rule file uses would be read from this machine: only presets are used here.
fn names_files(text: &str) -> bool {
    let uses = text.find("use").map_or("", |at| &text[at..]);
    uses.contains('/') || uses.contains(".toml") || uses.contains('\\')
}

thread_local! {
    static DIR: OnceCell<Option<TempDir>> = const { OnceCell::new() };
}

fn written(text: &str) -> Option<PathBuf> {
    DIR.with(|dir| {
        let dir = dir.get_or_init(|| tempfile::tempdir().ok()).as_ref()?;
        let path = dir.path().join("rules.toml");
        std::fs::write(&path, text).ok()?;
        Some(path)
    })
}

/// The presets, the examples, and a file with a bit of everything.
pub fn seeds() -> Vec<Vec<u8>> {
    let all: [&str; 8] = [
        include_str!("../../../filters/presets/jvm.toml"),
        include_str!("../../../filters/presets/kernel.toml"),
        include_str!("../../../filters/presets/netty.toml"),
        include_str!("../../../filters/presets/tomcat.toml"),
        include_str!("../../../examples/shop/rules.toml"),
        include_str!("../../../examples/churn/rules.toml"),
        include_str!("../../seeds/rules/everything.toml"),
        "",
    ];
    all.map(|text| text.as_bytes().to_vec()).to_vec()
}
