//! Injected faults: panics, refused memory, stalled readers and the rest, with the garbage and the
//! wiping they lead to.

use super::report::{FaultsFigures, PartResult, Report};
use super::stage::Stage;
use super::trials;
use anyhow::Result;
use std::process::Command;
use std::time::Duration;

/// Seconds for which each kind of fault is repeated.
const SECONDS: u64 = 3;
const NIGHT_SECONDS: u64 = 120;

const LIMIT: Duration = Duration::from_secs(600);
const NIGHT_LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Runs the trial of faults.
pub(crate) fn run(stage: &Stage, report: &mut Report) -> Result<PartResult> {
    let mut command = Command::new(trials::build(stage)?);
    let (seconds, limit) = if stage.long { (NIGHT_SECONDS, NIGHT_LIMIT) } else { (SECONDS, LIMIT) };
    stage.progress.say("injecting faults");
    command.args(["faults", "--seconds", &seconds.to_string()]);
    let (ended, figures) = trials::run::<FaultsFigures>(&mut command, "faults", limit, stage)?;
    let mut faults = faults(&figures);
    if !ended.is_success() {
        faults.push(ended.tail());
    }
    let (tried, passed) = totals(&figures);
    let mut summary = format!("{passed} of {tried} faults of {} kinds borne", figures.faults.len());
    if let Some(garbage) = &figures.garbage {
        summary += &format!(
            "; garbage at most {} of {} bytes",
            garbage.max_bytes_seen, garbage.limit_bytes
        );
    }
    if let Some(wipe) = &figures.wipe_ms {
        summary += &format!("; wiped after {:.1} ms, 99 % within {:.1} ms", wipe.p50, wipe.p99);
    }
    report.faults = Some(figures);
    Ok(PartResult::Checked { summary, faults })
}

fn totals(figures: &FaultsFigures) -> (u64, u64) {
    figures
        .faults
        .iter()
        .fold((0, 0), |(tried, passed), fault| (tried + fault.tried, passed + fault.passed))
}

fn faults(figures: &FaultsFigures) -> Vec<String> {
    let mut faults = Vec::new();
    if figures.faults.is_empty() {
        faults.push("no fault was tried".into());
    }
    let bad = figures.faults.iter().filter(|fault| fault.tried == 0 || fault.passed != fault.tried);
    faults.extend(
        bad.map(|fault| format!("{}: {} of {} borne", fault.name, fault.passed, fault.tried)),
    );
    match &figures.garbage {
        None => faults.push("garbage was not measured".into()),
        Some(garbage) if garbage.max_bytes_seen > garbage.limit_bytes => {
            faults.push(format!(
                "{} bytes of garbage, the limit is {}",
                garbage.max_bytes_seen, garbage.limit_bytes
            ));
        }
        Some(_) => {}
    }
    if figures.wipe_ms.is_none() {
        faults.push("the time to wipe was not measured".into());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_borne_not_tried_or_not_measured_fails() {
        let figures = |kinds: &str| {
            let rest = r#""garbage":{"limit_bytes":9,"max_bytes_seen":8},"wipe_ms":{"p50":1,"p99":2,"max":3}"#;
            serde_json::from_str::<FaultsFigures>(&format!("{{\"faults\":[{kinds}],{rest}}}"))
                .unwrap()
        };
        let kind =
            |tried, passed| format!("{{\"name\":\"x\",\"tried\":{tried},\"passed\":{passed}}}");
        assert!(faults(&figures(&kind(3, 3))).is_empty());
        assert_eq!(faults(&figures(&kind(3, 2))), ["x: 2 of 3 borne"]);
        assert_eq!(faults(&figures(&kind(0, 0))).len(), 1);
        assert_eq!(faults(&figures("")).len(), 1);
        let mut unbounded = figures(&kind(3, 3));
        unbounded.garbage.iter_mut().for_each(|garbage| garbage.max_bytes_seen = 10);
        unbounded.wipe_ms = None;
        assert_eq!(faults(&unbounded).len(), 2);
    }
}
