//! A short churn under valgrind, which watches uninstrumented code too: the standard library's
//! included.

use super::report::{PartResult, Report, SanitizerFigures};
use super::sanitizers::{Churned, churn_arguments};
use super::stage::Stage;
use super::{seeded, tools, trials, workers};
use crate::command::{cargo, root};
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const OPERATIONS: u64 = 2_000_000;
const NIGHT_OPERATIONS: u64 = 30_000_000;

/// Threads of each run. The runs share the operations and go on side by side: valgrind runs one
/// thread at a time.
const THREADS: [u64; 2] = [4, 3];

const LIMIT: Duration = Duration::from_secs(600);
const NIGHT_LIMIT: Duration = Duration::from_secs(3 * 3600);

const SEEDED: [seeded::Program; 2] = ["use_after_free", "leak"];

/// Shows valgrind its seeded bugs, then the churn.
pub(crate) fn run(stage: &Stage, report: &mut Report) -> Result<PartResult> {
    if !tools::has_valgrind() {
        return Ok(PartResult::Skipped { missing: "valgrind" });
    }
    let rustc = || Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let missed =
        seeded::missed(stage, &SEEDED, rustc, valgrind, |stderr| errors(stderr) != Some(0))?;
    let mut faults: Vec<_> = missed
        .iter()
        .map(|program| format!("valgrind does not see the bug in {program}"))
        .collect();

    let (operations, limit) =
        if stage.long { (NIGHT_OPERATIONS, NIGHT_LIMIT) } else { (OPERATIONS, LIMIT) };
    // valgrind watches blocks of the global allocator, not what the slab makes of them.
    let mut plain = cargo(&[]);
    plain.env("RUSTFLAGS", "--cfg sessile_plain_blocks").env_remove("CARGO_ENCODED_RUSTFLAGS");
    plain.env("CARGO_TARGET_DIR", root().join("target/memcheck"));
    let binary = trials::build_by(plain, stage)?;
    stage.progress.say(&format!("{operations} operations"));
    let runs = workers::each(workers::cores(), THREADS.to_vec(), |_, threads| {
        let mut command = valgrind(&binary);
        command.args(churn_arguments(operations.div_ceil(THREADS.len() as u64), threads));
        trials::run::<Churned>(&mut command, &format!("memcheck-{threads}"), limit, stage)
    })?;
    let mut figures = SanitizerFigures {
        seeded: SEEDED.len() as u64,
        seeded_found: (SEEDED.len() - missed.len()) as u64,
        ..SanitizerFigures::default()
    };
    for (ended, churned) in runs {
        let reports = errors(&ended.stderr);
        figures.operations += churned.operations;
        figures.reports += reports.unwrap_or_default();
        if reports != Some(0) || !ended.is_success() {
            faults.push(ended.tail());
        }
    }
    if figures.operations < operations {
        faults.push(format!("{} of {operations} operations ran", figures.operations));
    }
    let summary = format!(
        "{} operations, {} errors and leaks; {} of {} seeded bugs seen",
        figures.operations, figures.reports, figures.seeded_found, figures.seeded
    );
    report.memcheck = Some(figures);
    Ok(PartResult::Checked { summary, faults })
}

fn valgrind(binary: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
    // Without this, a thread that spins keeps the others from running for long.
    command.arg("--fair-sched=yes").arg(binary);
    command
}

/// The number in `ERROR SUMMARY: 3 errors from …`; leaks are among them.
fn errors(stderr: &str) -> Option<u64> {
    let (_, rest) = stderr.rsplit_once("ERROR SUMMARY: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::errors;

    #[test]
    fn the_summary_is_read_and_its_absence_is_not_zero() {
        assert_eq!(
            errors("==9== ERROR SUMMARY: 3 errors from 2 contexts (suppressed: 0 from 0)"),
            Some(3)
        );
        assert_eq!(errors("==9== ERROR SUMMARY: 0 errors from 0 contexts"), Some(0));
        assert_eq!(errors("killed"), None);
    }
}
