//! The trials' binary: built once a way of building, run with `--json`, its figures read back.

use super::build;
use super::child::{self, Ended};
use super::context::PartContext;
use super::report::PartResult;
use crate::command::{cargo, root};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Builds by `cargo`, a command without arguments.
pub(crate) fn build_by(mut cargo: Command, context: &PartContext) -> Result<PathBuf> {
    context.progress.say("building the trials");
    cargo.args(["build", "--release", "--package", "trials"]);
    let built = build::executables(&mut cargo, &context.log)?;
    let trials = built.into_iter().find(|executable| executable.target == "trials");
    Ok(trials.context("the trials were not built")?.path)
}

/// Seconds for which each kind of fault is repeated.
const SECONDS: (u64, Duration) = (3, Duration::from_secs(3600));
const NIGHT_SECONDS: (u64, Duration) = (120, Duration::from_secs(2 * 3600));

/// Injects panics, refused memory, stalled readers and the rest, and measures the garbage and the
/// wiping they lead to.
pub(crate) fn faults(context: &PartContext) -> Result<PartResult> {
    let (seconds, limit) = context.choose(SECONDS, NIGHT_SECONDS);
    let (summary, faults, mut figures) =
        check(context, ["faults", "--seconds", &seconds.to_string()], limit)?;
    // The report has its own.
    figures.remove("seconds");
    Ok(PartResult::Checked { summary, faults, figures: figures.into() })
}

/// Histories to check.
const HISTORIES: (u64, Duration) = (120_000, Duration::from_secs(3600));
const NIGHT_HISTORIES: (u64, Duration) = (5_000_000, Duration::from_secs(4 * 3600));

/// Records histories and checks them, and that the checker finds those with an injected fault.
pub(crate) fn histories(context: &PartContext) -> Result<PartResult> {
    let (wanted, limit) = context.choose(HISTORIES, NIGHT_HISTORIES);
    let (summary, faults, figures) =
        check(context, ["histories", "--histories", &wanted.to_string()], limit)?;
    Ok(PartResult::Checked { summary, faults, figures: json!({"histories": figures}) })
}

/// Runs a trial, which judges itself and says in a line what it came to.
fn check(
    context: &PartContext,
    arguments: [&str; 3],
    limit: Duration,
) -> Result<(String, Vec<String>, Map<String, Value>)> {
    let mut command = Command::new(build_by(cargo(&[]), context)?);
    context.progress.say(&arguments.join(" "));
    let (ended, mut figures) =
        run::<Map<String, Value>>(command.args(arguments), arguments[0], limit, context)?;
    let summary = figures.remove("summary").and_then(|summary| Some(summary.as_str()?.to_owned()));
    let faults = if ended.is_success() { vec![] } else { vec![ended.tail()] };
    Ok((summary.context("the trial does not say what it came to")?, faults, figures))
}

/// Runs one trial, `command` with its arguments, and reads the figures that it writes, whether it
/// succeeds or not.
pub(crate) fn run<F: DeserializeOwned>(
    command: &mut Command,
    name: &str,
    limit: Duration,
    context: &PartContext,
) -> Result<(Ended, F)> {
    let path = root().join(format!("target/verify/{name}.json"));
    // The figures must be those of this run.
    remove(&path)?;
    let ended = child::run(
        command.arg("--json").arg(&path).current_dir(root()),
        Some(limit),
        &context.log,
    )?;
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{name} wrote no figures: {}", ended.tail()))?;
    let figures = serde_json::from_str(&text).with_context(|| format!("the figures of {name}"))?;
    remove(&path)?;
    Ok((ended, figures))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
