//! From rules to the bytes that the agent's matcher reads.

use crate::{
    Rules,
    matcher::{Image, RuleImage, StackImage, encode},
};

impl Rules {
    /// The part of the rules that concerns the JVM, as [`crate::matcher::Matcher::parse`] reads it.
    pub fn compile(&self) -> Vec<u8> {
        encode(&self.image())
    }

    /// The names of the units of work, each once.
    pub fn units(&self) -> Vec<&str> {
        let mut units: Vec<&str> = self.methods.iter().filter_map(|rule| rule.unit.as_deref()).collect();
        units.sort_unstable();
        units.dedup();
        units
    }

    pub(crate) fn image(&self) -> Image {
        let units = self.units();
        let index_of = |unit: &str| {
            units
                .binary_search(&unit)
                .ok()
                .and_then(|index| u16::try_from(index).ok())
        };
        let rules = self.methods.iter().map(|rule| RuleImage {
            unit: rule.unit.as_deref().and_then(index_of),
            key: rule.key,
            handover: rule.handover,
            idle: rule.idle,
            min_ns: rule.min_ns,
            code_bytes_min: rule.code_bytes_min,
            pattern: rule.pattern.clone(),
        });
        let stacks = self.stacks.iter().flat_map(|rule| {
            rule.threads.iter().map(|threads| StackImage {
                threads: threads.as_str().into(),
                longer_ns: rule.longer_ns,
            })
        });
        Image {
            features: self.jvm,
            rules: rules.collect(),
            excludes: self.excludes.iter().map(|rule| rule.pattern.clone()).collect(),
            stacks: stacks.collect(),
            units: units.iter().map(|unit| (*unit).into()).collect(),
        }
    }
}
