//! Schedules drawn by chance: more threads and more operations than a complete search affords, in
//! `fuzz/schedules`.

use super::build;
use super::child;
use super::report::{Finding, Report, SchedulesFigures};
use super::stage::Stage;
use crate::command::{cargo, root};
use anyhow::{Context, Result, anyhow};
use std::process::Command;
use std::time::Duration;

const SCHEDULES: u64 = 120_000;
const NIGHT_SCHEDULES: u64 = 5_000_000;

const LIMIT: Duration = Duration::from_secs(600);
const NIGHT_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Builds the schedules' own workspace, whose configuration file sets its cfg, and runs its trials.
pub(crate) fn run(stage: &Stage, report: &mut Report) -> Result<Finding> {
    let folder = root().join("fuzz/schedules");
    let mut build = cargo(&["build", "--release", "--bin", "schedules"]);
    build.current_dir(&folder).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    stage.progress.say("building the schedules");
    let built = build::executables(&mut build, &stage.log)?;
    let binary = built.into_iter().next_back().context("the schedules were not built")?;

    let (wanted, limit) =
        if stage.long { (NIGHT_SCHEDULES, NIGHT_LIMIT) } else { (SCHEDULES, LIMIT) };
    stage.progress.say(&format!("{wanted} schedules"));
    let mut command = Command::new(binary.path);
    command.args(["trials", "--schedules", &wanted.to_string()]).current_dir(&folder);
    let ended = child::run(&mut command, Some(limit), &stage.log)?;
    if !ended.is_success() {
        return Ok(Finding::Checked {
            summary: "a schedule breaks a promise, or did not end".into(),
            faults: vec![ended.tail()],
        });
    }
    let figures = read(&ended.stdout)?;
    let mut faults = Vec::new();
    if figures.schedules < wanted || figures.violations > 0 {
        faults.push(format!("{figures:?}, {wanted} schedules wanted"));
    }
    let summary = format!("{} schedules of {} scenarios", figures.schedules, figures.scenarios);
    report.schedules = Some(figures);
    Ok(Finding::Checked { summary, faults })
}

/// The line `schedules scenarios=9 random=8 pct=7 … violations=0 …`.
fn read(stdout: &str) -> Result<SchedulesFigures> {
    let line =
        stdout.lines().find(|line| line.starts_with("schedules ")).context("no line of figures")?;
    let field = |key: &str| -> Result<u64> {
        let value =
            line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        Ok(value.ok_or_else(|| anyhow!("no `{key}` in `{line}`"))?.parse()?)
    };
    Ok(SchedulesFigures {
        scenarios: field("scenarios")?,
        schedules: field("random")? + field("pct")?,
        violations: field("violations")?,
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_figures_are_read_and_their_absence_is_an_error() {
        let line = "x\nschedules scenarios=2 random=60 pct=40 depth=3 violations=0 seconds=0.1\n";
        let figures = read(line).unwrap();
        assert_eq!((figures.scenarios, figures.schedules, figures.violations), (2, 100, 0));
        assert!(read("schedules scenarios=2 random=60").is_err());
        assert!(read("").is_err());
    }
}
