//! What the report must say: both illnesses by name when they were planted, neither when they were not.

use crate::process;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{path::Path, process::Command};

/// An illness of the demo, as the report should name it.
struct Illness {
    kind: &'static str,
    /// A word that the finding must name: who did it.
    culprit: &'static str,
}

const ILLNESSES: [Illness; 2] = [
    Illness {
        kind: "cpu-starved",
        culprit: "cpu-hog",
    },
    Illness {
        kind: "lock-contended",
        culprit: "shop.AuditLog",
    },
];

/// Checks the report of `timeline`.
///
/// # Errors
/// Where a planted illness is not named, or where a healthy server is called ill.
pub fn report(plumb: &Path, timeline: &Path, healthy: bool) -> Result<()> {
    let json = process::output(Command::new(plumb).arg("report").arg(timeline).arg("--json"))?;
    let report: Value = serde_json::from_str(&json).context("the report is not JSON")?;
    for illness in &ILLNESSES {
        println!("{}", verdict(&report, illness, healthy)?);
    }
    Ok(())
}

fn verdict(report: &Value, illness: &Illness, healthy: bool) -> Result<String> {
    let Illness { kind, culprit } = illness;
    let found = report["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|finding| finding["kind"] == *kind && finding["group"] == "request");
    match (found, healthy) {
        (None, true) => Ok(format!("check: {kind} is not reported of the healthy server")),
        (Some(finding), true) => bail!("the server is healthy, but the report says {kind}: {finding}"),
        (None, false) => bail!(
            "the report does not say {kind} of the request threads: {}",
            report["findings"]
        ),
        (Some(finding), false) if !finding.to_string().contains(culprit) => {
            bail!("the report's {kind} does not name {culprit}: {finding}")
        }
        (Some(finding), false) => Ok(format!(
            "check: {kind} is reported, names {culprit}, share {:.0} %",
            finding["share"].as_f64().unwrap_or(f64::NAN) * 100.0
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verdicts() {
        let starved = &ILLNESSES[0];
        let ill = json!({"findings": [{"kind": "cpu-starved", "group": "request", "share": 0.4, "culprits": [{"process": "cpu-hog"}]}]});
        let other = json!({"findings": [{"kind": "cpu-starved", "group": "request", "share": 0.4, "culprits": [{"process": "wrk"}]}]});
        let well = json!({"findings": []});
        assert!(verdict(&ill, starved, false).is_ok());
        assert!(verdict(&ill, starved, true).is_err());
        assert!(verdict(&other, starved, false).is_err());
        assert!(verdict(&well, starved, false).is_err());
        assert!(verdict(&well, starved, true).is_ok());
    }
}
