//! Recorded histories: threads on the real cache, and an order must explain what they saw.

use super::report::{HistoriesFigures, PartResult, Report};
use super::stage::Stage;
use super::trials;
use anyhow::Result;
use std::process::Command;
use std::time::Duration;

/// Histories to check.
const HISTORIES: u64 = 120_000;
const NIGHT_HISTORIES: u64 = 5_000_000;

const LIMIT: Duration = Duration::from_secs(900);
const NIGHT_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Checks the histories, and that the checker finds those with an injected fault.
pub(crate) fn run(stage: &Stage, report: &mut Report) -> Result<PartResult> {
    let (wanted, limit) =
        if stage.long { (NIGHT_HISTORIES, NIGHT_LIMIT) } else { (HISTORIES, LIMIT) };
    let mut command = Command::new(trials::build(stage)?);
    stage.progress.say(&format!("checking {wanted} histories"));
    command.args(["histories", "--histories", &wanted.to_string()]);
    let (ended, figures) =
        trials::run::<HistoriesFigures>(&mut command, "histories", limit, stage)?;
    let mut faults = faults(&figures, wanted);
    if !ended.is_success() {
        faults.push(ended.tail());
    }
    let summary = format!(
        "{} histories checked, {} without an order; {} of {} injected faults found",
        figures.checked, figures.violations, figures.injected_found, figures.injected
    );
    report.histories = Some(figures);
    Ok(PartResult::Checked { summary, faults })
}

fn faults(figures: &HistoriesFigures, wanted: u64) -> Vec<String> {
    let mut faults = Vec::new();
    if figures.checked < wanted {
        faults.push(format!("{} of {wanted} histories were checked", figures.checked));
    }
    if figures.violations > 0 {
        faults.push(format!("{} histories have no order", figures.violations));
    }
    if figures.injected == 0 || figures.injected_found < figures.injected {
        faults.push(format!(
            "{} of {} injected faults were found",
            figures.injected_found, figures.injected
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_a_violation_and_a_blind_checker_fail() {
        let figures = |checked, violations, injected, injected_found| HistoriesFigures {
            checked,
            violations,
            injected,
            injected_found,
            more: serde_json::Map::new(),
        };
        assert!(faults(&figures(10, 0, 5, 5), 10).is_empty());
        assert_eq!(faults(&figures(9, 0, 5, 5), 10).len(), 1);
        assert_eq!(faults(&figures(10, 1, 5, 5), 10).len(), 1);
        assert_eq!(faults(&figures(10, 0, 5, 4), 10).len(), 1);
        assert_eq!(faults(&figures(10, 0, 0, 0), 10).len(), 1);
    }
}
