//! Programs with one bug each, shown to a checker before it may say that there is none.
//!
//! They are built like the trials, with the checker's own flags, and judged by the same count of
//! reports.

use super::child;
use super::context::PartContext;
use crate::command::root;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(600);

/// A program in `xtask/seeded`, by the name of its file.
pub(crate) type Program = &'static str;

/// Builds each program by `rustc`, runs it by `run`, and asks `is_reported` about what it printed
/// on standard error. Returns the programs whose bug was not reported.
pub(crate) fn missed(
    context: &PartContext,
    programs: &[Program],
    rustc: impl Fn() -> Command,
    run: impl Fn(&Path) -> Command,
    is_reported: impl Fn(&str) -> bool,
) -> Result<Vec<Program>> {
    let mut missed = Vec::new();
    for program in programs {
        context.progress.say(&format!("a program with a bug: {program}"));
        let binary = build(context, program, rustc())?;
        let ended = child::run(&mut run(&binary), Some(LIMIT), &context.log)?;
        if ended.is_success() || !is_reported(&ended.stderr) {
            missed.push(*program);
        }
    }
    Ok(missed)
}

fn build(context: &PartContext, program: Program, mut rustc: Command) -> Result<PathBuf> {
    let binary = root().join(format!("target/verify/{program}"));
    rustc.args(["--edition", "2024", "-Copt-level=1", "-g", "-o"]).arg(&binary);
    child::demand(
        rustc.arg(format!("xtask/seeded/{program}.rs")).current_dir(root()),
        &context.log,
    )?;
    Ok(binary)
}
