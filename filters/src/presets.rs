//! The rules that ship with plumb.

const PRESETS: &[(&str, &str)] = &[
    ("jvm", include_str!("../presets/jvm.toml")),
    ("kernel", include_str!("../presets/kernel.toml")),
    ("netty", include_str!("../presets/netty.toml")),
    ("tomcat", include_str!("../presets/tomcat.toml")),
];

/// The names of the presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// The text of a preset.
pub(crate) fn preset(name: &str) -> Option<&'static str> {
    PRESETS
        .iter()
        .find(|(candidate, _)| *candidate == name)
        .map(|(_, text)| *text)
}

/// The name of a preset's text, as places give it.
pub(crate) fn source_name(preset: &str) -> String {
    format!("preset {preset}")
}

/// Whether a source's name is a preset's.
pub(crate) fn is_preset(source: &str) -> bool {
    preset_names().any(|name| source == source_name(name))
}
