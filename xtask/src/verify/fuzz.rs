//! The fuzz targets, each for a fixed time from its kept corpus; what they find anew stays under
//! `target`.

use super::child::{self, Ended};
use super::context::PartContext;
use super::report::{FuzzFigures, FuzzTargetFigures, PartResult};
use super::{tools, workers};
use crate::command::{TARGET, nightly, root};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Seconds of each target.
const SECONDS: u64 = 20;
const NIGHT_SECONDS: u64 = 900;

/// libFuzzer ends itself; this is for a target that keeps it from doing so.
const GRACE: Duration = Duration::from_secs(600);

/// AddressSanitizer has a part of its own, and inputs of small fields need no traced comparisons:
/// executions are what counts.
const FAST: &[&str] = &["--sanitizer", "none", "--no-trace-compares"];

/// A folder with fuzz targets.
struct Project {
    folder: &'static str,
    rustflags: &'static str,
}

const PROJECTS: [Project; 2] = [
    Project { folder: "fuzz", rustflags: "" },
    // cargo-fuzz sets RUSTFLAGS, which hides the cfg in the folder's configuration file.
    Project { folder: "fuzz/schedules", rustflags: "--cfg sessile_shuttle" },
];

/// A target that is built.
struct Target {
    name: String,
    folder: PathBuf,
}

/// Runs every target.
pub(crate) fn run(context: &PartContext) -> Result<PartResult> {
    if !tools::has_nightly() {
        return Ok(PartResult::Skipped { missing: "a nightly compiler" });
    }
    if !tools::has_cargo_fuzz() {
        return Ok(PartResult::Skipped { missing: "cargo-fuzz" });
    }
    context.progress.say("building the targets");
    let mut targets = Vec::new();
    for project in &PROJECTS {
        targets.extend(project.build(context)?);
    }

    context.progress.expect(targets.len());
    let runs = workers::each(workers::cores(), targets, |_, target| {
        let ended = target.fuzz(context)?;
        let executions = executions(&ended.stderr);
        context.progress.step(&format!(
            "{}: {} executions",
            target.name,
            executions.unwrap_or_default()
        ));
        Ok((target.name, ended, executions))
    })?;
    let (figures, faults) = sum(runs);
    let summary = format!(
        "{} executions of {} targets, {} crashes",
        figures.executions,
        figures.targets.len(),
        figures.crashes
    );
    Ok(PartResult::Checked { summary, faults, figures: json!({"fuzz": figures}) })
}

fn sum(runs: Vec<(String, Ended, Option<u64>)>) -> (FuzzFigures, Vec<String>) {
    let (mut figures, mut faults) = (FuzzFigures::default(), Vec::new());
    for (name, ended, executions) in runs {
        if !ended.is_success() {
            figures.crashes += 1;
            faults.push(format!("{name}: {}", ended.tail()));
        } else if executions.unwrap_or_default() == 0 {
            faults
                .push(format!("{name}: libFuzzer does not say what it executed: {}", ended.tail()));
        }
        let executions = executions.unwrap_or_default();
        figures.executions += executions;
        figures.targets.push(FuzzTargetFigures { name, executions, seconds: ended.seconds });
    }
    (figures, faults)
}

impl Project {
    fn cargo_fuzz(&self, arguments: &[&str]) -> Command {
        let mut cargo = nightly("cargo");
        cargo.arg("fuzz").args(arguments).args(["--fuzz-dir", "."]);
        cargo.current_dir(root().join(self.folder)).env("RUSTFLAGS", self.rustflags);
        cargo
    }

    fn build(&self, context: &PartContext) -> Result<Vec<Target>> {
        context.progress.say(&format!("building the targets of {}", self.folder));
        let listed = child::demand(&mut self.cargo_fuzz(&["list"]), &context.log)?;
        let names: Vec<_> = listed.stdout.split_whitespace().map(str::to_owned).collect();
        ensure!(!names.is_empty(), "there are no fuzz targets in {}", self.folder);
        child::demand(
            &mut self.cargo_fuzz(&[&["build", "--target", TARGET], FAST].concat()),
            &context.log,
        )?;
        let folder = root().join(self.folder);
        Ok(names.into_iter().map(|name| Target { name, folder: folder.clone() }).collect())
    }
}

impl Target {
    fn fuzz(&self, context: &PartContext) -> Result<Ended> {
        let seconds = context.choose(SECONDS, NIGHT_SECONDS);
        let artifacts = folder(&self.folder.join("artifacts").join(&self.name))?;
        let found = folder(&root().join("target/verify/corpus").join(&self.name))?;
        let kept = self.folder.join("corpus").join(&self.name);
        let mut command =
            Command::new(self.folder.join("target").join(TARGET).join("release").join(&self.name));
        command.arg(found);
        if kept.is_dir() {
            command.arg(kept);
        }
        command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        command.arg(format!("-artifact_prefix={artifacts}/")).current_dir(&self.folder);
        command.env_remove("ASAN_OPTIONS");
        child::run(&mut command, Some(Duration::from_secs(seconds) + GRACE), &context.log)
    }
}

fn folder(path: &Path) -> Result<String> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path.display().to_string())
}

/// The number in `stat::number_of_executed_units: 7`.
fn executions(stderr: &str) -> Option<u64> {
    let stat =
        stderr.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    stat.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn run(wait_status: Option<i32>, stderr: &str) -> (String, Ended, Option<u64>) {
        let status = wait_status.map(ExitStatus::from_raw);
        let ended = Ended { status, stdout: String::new(), stderr: stderr.into(), seconds: 1.0 };
        let executions = executions(&ended.stderr);
        ("target".into(), ended, executions)
    }

    #[test]
    fn executions_are_summed_and_a_crash_a_hang_and_silence_fail() {
        let stats = "Done 12 runs in 3 second(s)\nstat::number_of_executed_units: 12\n";
        let (figures, faults) = sum(vec![run(Some(0), stats), run(Some(0), stats)]);
        assert_eq!((figures.executions, figures.crashes, faults.len()), (24, 0, 0));
        let (figures, faults) =
            sum(vec![run(Some(77 << 8), stats), run(None, ""), run(Some(0), "")]);
        assert_eq!((figures.executions, figures.crashes, faults.len()), (12, 2, 3));
    }
}
