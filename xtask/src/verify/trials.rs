//! The trials' binary: built once a way of building, run with `--json`, its figures read back.

use super::build;
use super::child::{self, Ended};
use super::stage::Stage;
use crate::command::{cargo, root};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Builds by `cargo`, a command without arguments.
pub(crate) fn build_by(mut cargo: Command, stage: &Stage) -> Result<PathBuf> {
    stage.progress.say("building the trials");
    cargo.args(["build", "--release", "--package", "trials"]);
    let built = build::executables(&mut cargo, &stage.log)?;
    let trials = built.into_iter().find(|executable| executable.target == "trials");
    Ok(trials.context("the trials were not built")?.path)
}

/// The optimized build.
pub(crate) fn build(stage: &Stage) -> Result<PathBuf> {
    build_by(cargo(&[]), stage)
}

/// Runs one trial, `command` with its arguments, and reads the figures that it writes, whether it
/// succeeds or not.
pub(crate) fn run<F: DeserializeOwned>(
    command: &mut Command,
    name: &str,
    limit: Duration,
    stage: &Stage,
) -> Result<(Ended, F)> {
    let path = root().join(format!("target/verify/{name}.json"));
    // The figures must be those of this run.
    remove(&path)?;
    let ended =
        child::run(command.arg("--json").arg(&path).current_dir(root()), Some(limit), &stage.log)?;
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
