//! Schedules drawn by chance: more threads and more operations than a complete search affords, in
//! `fuzz/schedules`.

use super::build;
use super::child::{self, Ended};
use super::context::PartContext;
use super::models::field;
use super::report::{PartResult, SchedulesFigures};
use super::workers;
use crate::command::{cargo, root};
use anyhow::{Context, Result};
use serde_json::json;
use std::ops::AddAssign;
use std::process::Command;
use std::time::Duration;

const SCHEDULES: u64 = 120_000;
const NIGHT_SCHEDULES: u64 = 5_000_000;

const LIMIT: Duration = Duration::from_secs(3600);
const NIGHT_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Builds the schedules' own workspace, whose configuration file sets its cfg, and runs its trials.
pub(crate) fn run(context: &PartContext) -> Result<PartResult> {
    let folder = root().join("fuzz/schedules");
    let mut build = cargo(&["build", "--release", "--bin", "schedules"]);
    build.current_dir(&folder).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    context.progress.say("building the schedules");
    let built = build::executables(&mut build, &context.log)?;
    let binary = built.into_iter().next_back().context("the schedules were not built")?;

    let (wanted, limit) = context.choose((SCHEDULES, LIMIT), (NIGHT_SCHEDULES, NIGHT_LIMIT));
    context.progress.say(&format!("{wanted} schedules"));
    // A run keeps one core busy.
    let runs = workers::cores() as u64;
    let each = wanted.div_ceil(runs).to_string();
    let ended = workers::each(workers::cores(), (1..=runs).collect(), |_, seed| {
        let mut command = Command::new(&binary.path);
        command.args(["trials", "--schedules", &each, "--seed", &seed.to_string()]);
        child::run(command.current_dir(&folder), Some(limit), &context.log)
    })?;
    let mut faults: Vec<_> =
        ended.iter().filter(|run| !run.is_success()).map(Ended::tail).collect();
    if !faults.is_empty() {
        let summary = "a schedule breaks a promise, or did not end".into();
        return Ok(PartResult::Checked { summary, faults, figures: json!({}) });
    }
    let mut figures = SchedulesFigures::default();
    for run in &ended {
        figures += read(&run.stdout)?;
    }
    if figures.schedules < wanted || figures.violations > 0 {
        faults.push(format!("{figures:?}, {wanted} schedules wanted"));
    }
    let summary = format!("{} schedules of {} scenarios", figures.schedules, figures.scenarios);
    Ok(PartResult::Checked { summary, faults, figures: json!({"schedules": figures}) })
}

/// The line `schedules scenarios=9 random=8 pct=7 … violations=0 …`.
fn read(stdout: &str) -> Result<SchedulesFigures> {
    let line =
        stdout.lines().find(|line| line.starts_with("schedules ")).context("no line of figures")?;
    let field = |key: &str| -> Result<u64> { Ok(field(line, key)?.parse()?) };
    Ok(SchedulesFigures {
        scenarios: field("scenarios")?,
        schedules: field("random")? + field("pct")?,
        violations: field("violations")?,
    })
}

impl AddAssign for SchedulesFigures {
    fn add_assign(&mut self, other: Self) {
        self.scenarios += other.scenarios;
        self.schedules += other.schedules;
        self.violations += other.violations;
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_figures_are_read_and_their_absence_is_an_error() {
        let line = "x\nschedules scenarios=2 random=60 pct=40 depth=3 violations=0 seconds=0.1\n";
        let figures = read(line).unwrap();
        assert_eq!((figures.scenarios, figures.schedules, figures.violations), (2, 100, 0));
        let mut sum = read(line).unwrap();
        sum += figures;
        assert_eq!((sum.scenarios, sum.schedules, sum.violations), (4, 200, 0));
        assert!(read("schedules scenarios=2 random=60").is_err());
        assert!(read("").is_err());
    }
}
