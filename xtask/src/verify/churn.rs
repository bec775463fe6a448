//! Churn under ThreadSanitizer, under AddressSanitizer with LeakSanitizer, and under valgrind. No
//! report is suppressed.
//!
//! The sanitizers do not see the standard library, which is not instrumented; the crossbeam cfgs
//! put plain loads where a sanitizer understands no fence. valgrind watches uninstrumented code
//! too, and is slow.

use super::context::PartContext;
use super::report::{PartResult, SanitizerFigures};
use super::{seeded, tools, trials, workers};
use crate::command::{TARGET, cargo, nightly, root};
use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One sanitizer, and how it is used.
#[derive(Debug)]
pub(crate) struct Sanitizer {
    name: &'static str,
    tool: Tool,
    cfgs: &'static [&'static str],
    seeded: &'static [seeded::Program],
    /// The threads of each run, and how many runs go on side by side.
    threads: &'static [u64],
    at_once: usize,
    /// Operations of each run; its seed is the number of its threads.
    operations: u64,
    night_operations: u64,
}

/// What finds the bugs.
#[derive(Debug)]
enum Tool {
    Compiler {
        flags: &'static [&'static str],
        /// The first words of a report.
        report: &'static str,
        /// Those of a report about lost memory.
        leak: Option<&'static str>,
    },
    Valgrind,
}

/// As many as the cores of a small machine, and more than it has.
const THREADS: [u64; 3] = [2, 4, 8];

/// Races.
pub(crate) const THREAD: Sanitizer = Sanitizer {
    name: "tsan",
    tool: Tool::Compiler {
        flags: &["-Zsanitizer=thread", "-Cunsafe-allow-abi-mismatch=sanitizer"],
        report: "WARNING: ThreadSanitizer",
        leak: None,
    },
    cfgs: &["crossbeam_sanitize", "crossbeam_sanitize_thread"],
    seeded: &["race"],
    threads: &THREADS,
    at_once: 1,
    operations: 3_000_000,
    night_operations: 100_000_000,
};

/// Memory used after its end, and lost.
pub(crate) const ADDRESS: Sanitizer = Sanitizer {
    name: "asan",
    tool: Tool::Compiler {
        flags: &["-Zsanitizer=address"],
        report: "ERROR: AddressSanitizer",
        leak: Some("ERROR: LeakSanitizer"),
    },
    cfgs: &["crossbeam_sanitize"],
    seeded: &["use_after_free", "leak"],
    threads: &THREADS,
    at_once: 1,
    operations: 8_000_000,
    night_operations: 250_000_000,
};

/// The same of uninstrumented code. valgrind watches blocks of the global allocator, not what the
/// slab makes of them, and runs one thread at a time.
pub(super) const MEMCHECK: Sanitizer = Sanitizer {
    name: "memcheck",
    tool: Tool::Valgrind,
    cfgs: &["sessile_plain_blocks"],
    seeded: &["use_after_free", "leak"],
    threads: &[4, 3],
    at_once: 2,
    operations: 1_000_000,
    night_operations: 15_000_000,
};

/// Lines of a report that are shown; all are in the log.
const REPORT_LINES: usize = 40;

const LIMIT: Duration = Duration::from_secs(3600);
const NIGHT_LIMIT: Duration = Duration::from_secs(3 * 3600);

/// What a churn writes.
#[derive(Debug, Deserialize)]
struct Churned {
    operations: u64,
}

/// Shows the sanitizer its seeded bugs, then the churn.
pub(crate) fn run(sanitizer: &Sanitizer, context: &PartContext) -> Result<PartResult> {
    if let Some(missing) = sanitizer.missing() {
        return Ok(PartResult::Skipped { missing });
    }
    let missed = seeded::missed(
        context,
        sanitizer.seeded,
        || sanitizer.rustc(),
        |binary| sanitizer.watched(binary),
        |stderr| sanitizer.count(stderr) != (0, 0),
    )?;
    let unseen = |program| format!("{} does not see the bug in {program}", sanitizer.name);
    let mut faults: Vec<_> = missed.iter().map(unseen).collect();
    let mut figures = SanitizerFigures {
        leaks: sanitizer.leak().map(|_| 0),
        seeded: sanitizer.seeded.len() as u64,
        seeded_found: (sanitizer.seeded.len() - missed.len()) as u64,
        ..SanitizerFigures::default()
    };
    let binary = trials::build_by(sanitizer.cargo(), context)?;
    let (operations, limit) =
        context.choose((sanitizer.operations, LIMIT), (sanitizer.night_operations, NIGHT_LIMIT));
    let runs = workers::each(sanitizer.at_once, sanitizer.threads.to_vec(), |_, threads| {
        context.progress.say(&format!("{operations} operations on {threads} threads"));
        let mut command = sanitizer.watched(&binary);
        command.arg("churn");
        for (option, value) in
            [("--operations", operations), ("--threads", threads), ("--seed", threads)]
        {
            command.args([option, &value.to_string()]);
        }
        let name = format!("{}-{threads}", sanitizer.name);
        Ok((threads, trials::run::<Churned>(&mut command, &name, limit, context)?))
    })?;
    for (threads, (ended, churned)) in runs {
        let (reports, leaks) = sanitizer.count(&ended.stderr);
        figures.operations += churned.operations;
        figures.reports += reports;
        figures.leaks = figures.leaks.map(|sum| sum + leaks);
        if churned.operations < operations {
            let ran = churned.operations;
            faults.push(format!("{ran} of {operations} operations ran on {threads} threads"));
        }
        if reports + leaks > 0 || !ended.is_success() {
            let shown = sanitizer.first_report(&ended.stderr).unwrap_or_else(|| ended.tail());
            faults.push(format!("{reports} reports, {leaks} leaks on {threads} threads: {shown}"));
        }
    }
    let leaks = figures.leaks.map_or(String::new(), |leaks| format!(", {leaks} leaks"));
    let summary = format!(
        "{} operations, {} reports{leaks}; {} of {} seeded bugs seen",
        figures.operations, figures.reports, figures.seeded_found, figures.seeded
    );
    Ok(PartResult::Checked { summary, faults, figures: json!({sanitizer.name: figures}) })
}

impl Sanitizer {
    /// The tool that this machine does not have.
    fn missing(&self) -> Option<&'static str> {
        match self.tool {
            Tool::Compiler { .. } => (!tools::has_nightly()).then_some("a nightly compiler"),
            Tool::Valgrind => (!tools::has_valgrind()).then_some("valgrind"),
        }
    }

    fn flags(&self) -> Vec<String> {
        let flags = match self.tool {
            Tool::Compiler { flags, .. } => flags,
            Tool::Valgrind => &[],
        };
        let cfgs = self.cfgs.iter().map(|cfg| format!("--cfg={cfg}"));
        flags.iter().map(|&flag| flag.to_owned()).chain(cfgs).collect()
    }

    fn leak(&self) -> Option<&'static str> {
        match self.tool {
            Tool::Compiler { leak, .. } => leak,
            Tool::Valgrind => None,
        }
    }

    fn rustc(&self) -> Command {
        let mut rustc = match self.tool {
            Tool::Compiler { .. } => nightly("rustc"),
            Tool::Valgrind => {
                Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            }
        };
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
        let mut cargo = match self.tool {
            Tool::Compiler { .. } => nightly("cargo"),
            Tool::Valgrind => cargo(&[]),
        };
        cargo.env("RUSTFLAGS", self.flags().join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo.env("CARGO_TARGET_DIR", self.target_directory());
        cargo.env("CARGO_BUILD_TARGET", TARGET);
        cargo
    }

    /// Runs `binary` with the sanitizer's own defaults: an inherited option could hide reports.
    pub(crate) fn watched(&self, binary: &Path) -> Command {
        if let Tool::Valgrind = self.tool {
            let mut command = Command::new("valgrind");
            command.args(["--error-exitcode=99", "--leak-check=full"]);
            // Without the second, a thread that spins keeps the others from running for long.
            command.args(["--errors-for-leak-kinds=definite", "--fair-sched=yes"]).arg(binary);
            return command;
        }
        let mut command = Command::new(binary);
        for options in ["TSAN_OPTIONS", "ASAN_OPTIONS", "LSAN_OPTIONS"] {
            command.env_remove(options);
        }
        if self.leak().is_some() {
            command.env("ASAN_OPTIONS", "detect_leaks=1");
        }
        command
    }

    /// The beginning of the first report; valgrind's ends with all that it says.
    fn first_report(&self, stderr: &str) -> Option<String> {
        let Tool::Compiler { report, leak, .. } = self.tool else { return None };
        let is_first =
            |line: &&str| line.contains(report) || leak.is_some_and(|leak| line.contains(leak));
        let mut lines =
            stderr.lines().skip_while(|line| !is_first(line)).take(REPORT_LINES).peekable();
        lines.peek()?;
        Some(lines.collect::<Vec<_>>().join("\n    "))
    }

    /// The reports and the leaks in what a program printed.
    pub(crate) fn count(&self, stderr: &str) -> (u64, u64) {
        let count = |first_words: &str| stderr.matches(first_words).count() as u64;
        match self.tool {
            Tool::Compiler { report, leak, .. } => (count(report), leak.map_or(0, count)),
            // Its silence is not nothing.
            Tool::Valgrind => (valgrind_errors(stderr).unwrap_or(1), 0),
        }
    }
}

/// The number in `ERROR SUMMARY: 3 errors from …`; leaks are among them.
fn valgrind_errors(stderr: &str) -> Option<u64> {
    let (_, rest) = stderr.rsplit_once("ERROR SUMMARY: ")?;
    rest.split_whitespace().next()?.parse().ok()
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

    #[test]
    fn the_summary_of_valgrind_is_read_and_its_absence_is_not_zero() {
        let stderr = "==9== ERROR SUMMARY: 3 errors from 2 contexts (suppressed: 0 from 0)";
        assert_eq!(MEMCHECK.count(stderr), (3, 0));
        assert_eq!(MEMCHECK.count("==9== ERROR SUMMARY: 0 errors from 0 contexts"), (0, 0));
        assert_eq!(MEMCHECK.count("killed"), (1, 0));
    }
}
