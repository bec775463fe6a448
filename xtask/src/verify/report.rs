//! The figures of a verification: typed, written as JSON, shown as one table.

use super::Part;
use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Columns of the table on the screen.
const TABLE_WIDTH: u16 = 110;

/// What a part came to.
#[derive(Debug)]
pub(crate) enum PartResult {
    /// It ran to its end. It passed if there are no faults. The figures are an object, whose fields
    /// become fields of the report.
    Checked { summary: String, faults: Vec<String>, figures: Value },
    /// A tool is missing.
    Skipped { missing: &'static str },
}

/// All figures, and which parts they come from.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    figures: Map<String, Value>,
    skipped: Vec<Part>,
    parts: Vec<PartRecord>,
    long: bool,
    commit: String,
    machine: String,
    seconds: f64,
}

/// One search of one model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelFigures {
    pub(crate) name: String,
    pub(crate) reclaimer: String,
    pub(crate) bound: usize,
    pub(crate) complete: bool,
    pub(crate) iterations: u64,
    pub(crate) seconds: f64,
}

/// Schedules drawn by chance, beyond what the models can search.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct SchedulesFigures {
    pub(crate) scenarios: u64,
    pub(crate) schedules: u64,
    pub(crate) violations: u64,
}

/// The orderings that the source names, and what weakening them showed.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct OrderingsFigures {
    /// Orderings stronger than `Relaxed` in the source.
    pub(crate) sites: usize,
    /// Weakenings tried.
    pub(crate) weakened: usize,
    pub(crate) caught: usize,
    pub(crate) survived: usize,
    /// Weakenings of which nothing is known: the search did not end.
    pub(crate) inconclusive: usize,
    /// Weakenings not tried because no model can see them, each with its reason in the source.
    pub(crate) invisible: usize,
    /// Each weakening and the model that failed.
    pub(crate) weakenings: Vec<WeakeningFigures>,
}

/// One weakening.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WeakeningFigures {
    pub(crate) at: String,
    pub(crate) weakening: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caught_by: Option<String>,
    pub(crate) seconds: f64,
}

/// A run under a checker of memory or of races.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct SanitizerFigures {
    pub(crate) operations: u64,
    pub(crate) reports: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leaks: Option<u64>,
    /// Seeded bugs that the same checker was shown first, and those that it reported.
    pub(crate) seeded: u64,
    pub(crate) seeded_found: u64,
}

/// All fuzz targets together, and each.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct FuzzFigures {
    pub(crate) executions: u64,
    pub(crate) crashes: u64,
    pub(crate) targets: Vec<FuzzTargetFigures>,
}

/// One fuzz target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FuzzTargetFigures {
    pub(crate) name: String,
    pub(crate) executions: u64,
    pub(crate) seconds: f64,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct PartRecord {
    part: Part,
    figures: String,
    verdict: Verdict,
    seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Report {
    /// No part yet, on this machine and this commit.
    pub(crate) fn begin(long: bool) -> Self {
        Self { long, commit: commit(), machine: crate::host::describe(), ..Self::default() }
    }

    /// Enters what a part came to. `deny_skip` makes a failure of a missing tool.
    pub(crate) fn enter(
        &mut self,
        part: Part,
        result: Result<PartResult>,
        deny_skip: bool,
        seconds: f64,
    ) {
        let (verdict, summary) = match result {
            Ok(PartResult::Checked { summary, faults, figures }) => {
                complain(part, &faults);
                self.figures.extend(figures.as_object().cloned().unwrap_or_default());
                (if faults.is_empty() { Verdict::Passed } else { Verdict::Failed }, summary)
            }
            Ok(PartResult::Skipped { missing }) => {
                self.skipped.push(part);
                let verdict = if deny_skip { Verdict::Failed } else { Verdict::Skipped };
                (verdict, format!("not run: {missing} is missing"))
            }
            Err(error) => {
                complain(part, &[format!("{error:#}")]);
                (Verdict::Failed, "did not run to its end".into())
            }
        };
        self.parts.push(PartRecord { part, figures: summary, verdict, seconds });
        self.seconds += seconds;
    }

    /// The parts that failed.
    pub(crate) fn failed(&self) -> Vec<Part> {
        let failed = self.parts.iter().filter(|record| record.verdict == Verdict::Failed);
        failed.map(|record| record.part).collect()
    }

    /// Writes the figures as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// The table, one line a part.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
        table.set_header(["part", "figures", "verdict", "seconds"]);
        for PartRecord { part, figures, verdict, seconds } in &self.parts {
            let verdict = match verdict {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
                Verdict::Skipped => "skipped",
            };
            table.add_row([part.name(), figures, verdict, &format!("{seconds:.0}")]);
        }
        if let Some(column) = table.column_mut(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

fn complain(part: Part, faults: &[String]) {
    for fault in faults {
        println!("\n{} FAILED: {fault}", part.name());
    }
}

/// The commit, with a mark when the files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(crate::command::root())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".into() };
    let is_clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    if is_clean { commit } else { commit + " and local changes" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(faults: &[&str]) -> Result<PartResult> {
        let faults = faults.iter().map(|&fault| fault.to_owned()).collect();
        Ok(PartResult::Checked { summary: "7 of 7".into(), faults, figures: json!({"n": 7}) })
    }

    #[test]
    fn faults_errors_and_denied_skips_fail() {
        let mut report = Report::default();
        report.enter(Part::Models, checked(&[]), true, 1.0);
        report.enter(Part::Asan, checked(&["a leak"]), true, 1.0);
        report.enter(Part::Tsan, Err(anyhow::anyhow!("no build")), true, 1.0);
        report.enter(Part::Fuzz, Ok(PartResult::Skipped { missing: "cargo-fuzz" }), true, 1.0);
        report.enter(Part::Miri, Ok(PartResult::Skipped { missing: "Miri" }), false, 1.0);
        assert_eq!(report.failed(), [Part::Asan, Part::Tsan, Part::Fuzz]);
        assert_eq!(report.skipped, [Part::Fuzz, Part::Miri]);
        let table = report.table().to_string();
        assert_eq!(
            (table.matches("FAILED").count(), table.matches("skipped").count()),
            (3, 1),
            "{table}"
        );
    }

    #[test]
    fn the_figures_of_parts_are_fields_of_the_json() {
        let mut report = Report::default();
        report.enter(Part::Tsan, checked(&[]), true, 1.0);
        report.enter(Part::Miri, Ok(PartResult::Skipped { missing: "Miri" }), false, 1.0);
        let json = serde_json::to_value(report).unwrap();
        assert_eq!((&json["n"], &json["skipped"][0]), (&json!(7), &json!("miri")));
    }
}
