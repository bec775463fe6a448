//! Churn under ThreadSanitizer, and under AddressSanitizer with LeakSanitizer. No report is
//! suppressed.
//!
//! The standard library is not instrumented; the crossbeam cfgs put plain loads where a sanitizer
//! understands no fence.

use super::report::{PartResult, Report, SanitizerFigures};
use super::stage::Stage;
use super::{seeded, tools, trials};
use crate::command::{TARGET, nightly, root};
use anyhow::Result;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One sanitizer, and how it is used.
#[derive(Debug)]
pub(crate) struct Sanitizer {
    name: &'static str,
    compiler_flags: &'static [&'static str],
    cfgs: &'static [&'static str],
    /// The first words of a report.
    report: &'static str,
    /// Those of a report about lost memory.
    leak: Option<&'static str>,
    seeded: &'static [seeded::Program],
    /// Operations of each run, threads and seed being the run's.
    operations: u64,
    night_operations: u64,
}

/// Races.
pub(crate) const THREAD: Sanitizer = Sanitizer {
    name: "tsan",
    compiler_flags: &["-Zsanitizer=thread", "-Cunsafe-allow-abi-mismatch=sanitizer"],
    cfgs: &["crossbeam_sanitize", "crossbeam_sanitize_thread"],
    report: "WARNING: ThreadSanitizer",
    leak: None,
    seeded: &["race"],
    operations: 3_000_000,
    night_operations: 100_000_000,
};

/// Memory used after its end, and lost.
pub(crate) const ADDRESS: Sanitizer = Sanitizer {
    name: "asan",
    compiler_flags: &["-Zsanitizer=address"],
    cfgs: &["crossbeam_sanitize"],
    report: "ERROR: AddressSanitizer",
    leak: Some("ERROR: LeakSanitizer"),
    seeded: &["use_after_free", "leak"],
    operations: 8_000_000,
    night_operations: 250_000_000,
};

/// Threads of the runs: as many as the cores of a small machine, and more than it has.
const THREADS: [u64; 3] = [2, 4, 8];

/// Lines of a report that are shown; all are in the log.
const REPORT_LINES: usize = 40;

const LIMIT: Duration = Duration::from_secs(600);
const NIGHT_LIMIT: Duration = Duration::from_secs(3 * 3600);

/// What a churn writes.
#[derive(Debug, Deserialize)]
pub(crate) struct Churned {
    pub(crate) operations: u64,
}

/// Shows the sanitizer its seeded bugs, then the churn.
pub(crate) fn run(sanitizer: &Sanitizer, stage: &Stage, report: &mut Report) -> Result<PartResult> {
    if !tools::has_nightly() {
        return Ok(PartResult::Skipped { missing: "a nightly compiler" });
    }
    let missed = seeded::missed(
        stage,
        sanitizer.seeded,
        || sanitizer.rustc(),
        |binary| sanitizer.watched(binary),
        |stderr| sanitizer.count(stderr) != (0, 0),
    )?;
    let mut faults: Vec<_> = missed
        .iter()
        .map(|program| format!("{} does not see the bug in {program}", sanitizer.name))
        .collect();
    let mut figures = SanitizerFigures {
        leaks: sanitizer.leak.map(|_| 0),
        seeded: sanitizer.seeded.len() as u64,
        seeded_found: (sanitizer.seeded.len() - missed.len()) as u64,
        ..SanitizerFigures::default()
    };
    let binary = trials::build_by(sanitizer.cargo(), stage)?;
    for threads in THREADS {
        churn(sanitizer, stage, &binary, threads, &mut figures, &mut faults)?;
    }
    let leaks = figures.leaks.map_or(String::new(), |leaks| format!(", {leaks} leaks"));
    let summary = format!(
        "{} operations, {} reports{leaks}; {} of {} seeded bugs seen",
        figures.operations, figures.reports, figures.seeded_found, figures.seeded
    );
    match sanitizer.leak {
        None => report.tsan = Some(figures),
        Some(_) => report.asan = Some(figures),
    }
    Ok(PartResult::Checked { summary, faults })
}

fn churn(
    sanitizer: &Sanitizer,
    stage: &Stage,
    binary: &Path,
    threads: u64,
    figures: &mut SanitizerFigures,
    faults: &mut Vec<String>,
) -> Result<()> {
    let (operations, limit) = if stage.long {
        (sanitizer.night_operations, NIGHT_LIMIT)
    } else {
        (sanitizer.operations, LIMIT)
    };
    stage.progress.say(&format!("{operations} operations on {threads} threads"));
    let mut command = sanitizer.watched(binary);
    command.args(churn_arguments(operations, threads));
    let (ended, churned) = trials::run::<Churned>(&mut command, sanitizer.name, limit, stage)?;
    let (reports, leaks) = sanitizer.count(&ended.stderr);
    figures.operations += churned.operations;
    figures.reports += reports;
    figures.leaks = figures.leaks.map(|sum| sum + leaks);
    if churned.operations < operations {
        faults.push(format!(
            "{} of {operations} operations ran on {threads} threads",
            churned.operations
        ));
    }
    if reports + leaks > 0 || !ended.is_success() {
        let shown = sanitizer.first_report(&ended.stderr).unwrap_or_else(|| ended.tail());
        faults.push(format!("{reports} reports, {leaks} leaks on {threads} threads: {shown}"));
    }
    Ok(())
}

/// The arguments of a churn; its seed is the number of its threads.
pub(crate) fn churn_arguments(operations: u64, threads: u64) -> Vec<String> {
    ["churn", "--operations", &operations.to_string(), "--threads", &threads.to_string()]
        .into_iter()
        .chain(["--seed", &threads.to_string()])
        .map(str::to_owned)
        .collect()
}

impl Sanitizer {
    fn flags(&self) -> Vec<String> {
        let flags = self.compiler_flags.iter().map(|&flag| flag.to_owned());
        flags.chain(self.cfgs.iter().map(|cfg| format!("--cfg={cfg}"))).collect()
    }

    fn rustc(&self) -> Command {
        let mut rustc = nightly("rustc");
        rustc.args(self.flags()).args(["--target", TARGET]);
        rustc
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Where `cargo` builds.
    pub(crate) fn target_directory(&self) -> PathBuf {
        root().join("target").join(self.name)
    }

    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = nightly("cargo");
        cargo.env("RUSTFLAGS", self.flags().join(" "));
        cargo.env("CARGO_TARGET_DIR", self.target_directory());
        cargo.env("CARGO_BUILD_TARGET", TARGET);
        cargo
    }

    /// Runs `binary` with the sanitizer's own defaults: an inherited option could hide reports.
    pub(crate) fn watched(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        for options in ["TSAN_OPTIONS", "ASAN_OPTIONS", "LSAN_OPTIONS"] {
            command.env_remove(options);
        }
        if self.leak.is_some() {
            command.env("ASAN_OPTIONS", "detect_leaks=1");
        }
        command
    }

    /// The beginning of the first report.
    fn first_report(&self, stderr: &str) -> Option<String> {
        let is_first = |line: &&str| {
            line.contains(self.report) || self.leak.is_some_and(|leak| line.contains(leak))
        };
        let mut lines =
            stderr.lines().skip_while(|line| !is_first(line)).take(REPORT_LINES).peekable();
        lines.peek()?;
        Some(lines.collect::<Vec<_>>().join("\n    "))
    }

    /// The reports and the leaks in what a program printed.
    pub(crate) fn count(&self, stderr: &str) -> (u64, u64) {
        let count = |first_words: &str| stderr.matches(first_words).count() as u64;
        (count(self.report), self.leak.map_or(0, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_counted_by_their_first_words() {
        let stderr =
            "WARNING: ThreadSanitizer: data race (pid=1)\n…\nWARNING: ThreadSanitizer: data race\n";
        assert_eq!(THREAD.count(stderr), (2, 0));
        assert_eq!(THREAD.first_report(stderr).unwrap().lines().count(), 3);
        assert_eq!(THREAD.first_report("all is well"), None);
        let stderr = "==1==ERROR: AddressSanitizer: heap-use-after-free\n==1==ERROR: LeakSanitizer: detected\n";
        assert_eq!(ADDRESS.count(stderr), (1, 1));
        assert_eq!(ADDRESS.count("all is well"), (0, 0));
    }
}
