//! The rule language: which threads, methods and kernel events plumb records.
//!
//! A rule file is TOML. [`load`] reads files and presets, reports every mistake with line and column, and gives
//! [`Rules`]; [`Rules::compile`] turns their method part into the binary that the agent's [`matcher`] reads.
//!
//! Design constraints:
//! - What a rule file says is done or refused, never ignored: an unknown key is a mistake.
//! - The [`matcher`] depends on nothing but std and trusts no byte: it runs in somebody's production JVM.
//!   Everything else is behind the feature `compile`.
//! - What stands nearer wins: a file over what it uses, a later `-f` (or name in `use`) over an earlier one, and within
//!   a file the first rule that matches. An exclusion wins over every match, and [`matcher::never`] over everything.

#[cfg(feature = "compile")]
mod check;
#[cfg(feature = "compile")]
pub mod classpath;
#[cfg(feature = "compile")]
mod compile;
#[cfg(feature = "compile")]
mod diagnostic;
#[cfg(feature = "compile")]
mod document;
#[cfg(feature = "compile")]
mod kernel;
#[cfg(feature = "compile")]
mod load;
pub mod matcher;
#[cfg(feature = "compile")]
mod pattern;
#[cfg(feature = "compile")]
mod presets;
#[cfg(feature = "compile")]
mod reader;
#[cfg(feature = "compile")]
mod rules;
#[cfg(feature = "compile")]
mod stack;
#[cfg(feature = "compile")]
mod trigger;

#[cfg(feature = "compile")]
pub use self::{
    check::{CheckReport, RuleHits, check},
    diagnostic::{Diagnostic, Diagnostics, Place},
    load::load,
    presets::preset_names,
    rules::{ExcludeRule, Group, JvmRules, KernelRules, KernelScope, KernelStacks, MethodRule, Rules, Source},
    stack::StackRule,
    trigger::{Condition, Trigger},
};
