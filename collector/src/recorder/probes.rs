//! To which libjvms the probes that the rules ask for are attached: those that run in scope, and those that will.

use super::Recorder;
use crate::kernel::{Kernel, Scope};
use crate::libjvm::{self, Libjvm};
use crate::{proc, snapshot};

impl Recorder {
    /// Attaches the probes of libjvm that the rules ask for to JVMs in scope that run already.
    pub(super) fn probe_running(&mut self, targets: &[u32]) {
        if !self.has_probes() {
            return;
        }
        let is_tree = self.manifest.scope == Scope::Tree.name();
        if !is_tree {
            // Before what anybody may run: there is not room for any number.
            self.probe_installed();
        }
        let pids = match is_tree {
            true => snapshot::descendants(targets).into_iter().collect(),
            false => proc::pids(),
        };
        for pid in pids {
            // Who may not be looked at is no JVM that is recorded; or its agent makes it known.
            if let Ok(Some(libjvm)) = Libjvm::of_process(pid) {
                self.probe(&libjvm);
            }
        }
    }

    /// JVMs that this command starts are to be recorded: attaches the probes of libjvm that the rules ask for to what they will run, before they do. A script may
    /// run any JDK that is installed.
    pub fn expect_jvms(&mut self, command: &str) {
        if !self.has_probes() {
            return;
        }
        match libjvm::of_command(command).map(|path| Libjvm::open(&path)) {
            Some(Ok(libjvm)) => self.probe(&libjvm),
            Some(Err(_)) | None => {
                self.guesses_libjvm = true;
                self.probe_installed();
            }
        }
    }

    /// Attaches to the libjvms that somebody may run later; nobody needs to know of those that nobody does.
    fn probe_installed(&mut self) {
        let installed = libjvm::installed().into_iter();
        for libjvm in installed.filter_map(|path| Libjvm::open(&path).ok()) {
            let _ = self.kernel.as_mut().map(|kernel| kernel.probe(&libjvm));
        }
    }

    /// Whether probes of libjvm are asked for, and can be had.
    fn has_probes(&self) -> bool {
        self.kernel.as_ref().is_some_and(Kernel::has_probes)
    }

    fn probe(&mut self, libjvm: &Libjvm) {
        if let Some(Err(cause)) = self.kernel.as_mut().map(|kernel| kernel.probe(libjvm)) {
            self.not_probed(&cause);
        }
    }

    fn not_probed(&self, cause: &str) {
        self.live.note(format!(
            "safepoints and parks of some JVMs are not recorded, though the rules ask for them: {cause}"
        ));
    }

    /// A JVM has joined: does it run a libjvm that is known? There may be no right left to look.
    pub(super) fn probe_joined(&mut self, pid: u32) {
        if !self.has_probes() {
            return;
        }
        match Libjvm::of_process(pid) {
            Ok(Some(libjvm)) => self.probe(&libjvm),
            Ok(None) => self.not_probed(&format!("process {pid} has its JVM from no libjvm.so")),
            Err(_) if self.guesses_libjvm => self.live.note(format!(
                "safepoints and parks of JVM {pid} are recorded if its JDK is the one of JAVA_HOME or PATH, or in /usr/lib/jvm; nobody may look any more whether it is"
            )),
            Err(_) => {}
        }
    }
}
