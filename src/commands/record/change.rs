//! Other rules for a recording that goes on: SIGUSR2 has the rule files read again.

use super::{Arguments, agents::Agents, plan, subject::Subject};
use crate::failure::whole;
use anyhow::{Context, Result};
use plumb_collector::Recorder;
use signal_hook::{consts::SIGUSR2, flag};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// SIGUSR2: read the rules again.
pub struct ChangeSignal(Arc<AtomicBool>);

impl ChangeSignal {
    /// Catches the signal from now on.
    pub fn catch() -> Result<ChangeSignal> {
        let raised = Arc::new(AtomicBool::new(false));
        flag::register(SIGUSR2, Arc::clone(&raised)).context("cannot catch SIGUSR2")?;
        Ok(ChangeSignal(raised))
    }

    /// Whether it came since the last call.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Reads the rules again and has the JVMs go by them, as soon as they can. What goes wrong is told; the recording goes on, by the rules that it had.
pub fn change(arguments: &Arguments, recorder: &mut Recorder, subject: &mut Subject, agents: &mut Agents) {
    match plan::rules_again(arguments) {
        Ok(again) => {
            eprintln!("the rules are read again; those about the kernel and triggers stay as they are");
            if let Err(error) = recorder.add_rules(again.groups, again.units, again.sources) {
                eprintln!("warning: the recording does not name the new rules: {error}");
            }
            subject.change_rules(&again.matcher);
            agents.change_rules(&again.matcher);
        }
        Err(error) => eprintln!("warning: the rules stay as they are: {}", whole(&error)),
    }
}
