//! The parts of continuous integration.

use crate::command::{self, cargo};
use crate::{counts, readme, verify};
use anyhow::Result;

/// Everything, in the order in which a failure is cheapest.
pub(crate) fn run() -> Result<()> {
    fmt()?;
    clippy()?;
    docs()?;
    test()?;
    stress()?;
    counts::run(&counts::Options::default())?;
    verify::run(&verify::Options::default())?;
    readme::run()
}

pub(crate) fn fmt() -> Result<()> {
    command::run(&mut cargo(&["fmt", "--all", "--check"]))
}

pub(crate) fn clippy() -> Result<()> {
    command::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

pub(crate) fn docs() -> Result<()> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// The command of the README.
pub(crate) fn test() -> Result<()> {
    command::run(&mut cargo(&["test", "--workspace"]))
}

/// The state machine and the races, optimized: there they run their full length.
pub(crate) fn stress() -> Result<()> {
    command::run(&mut cargo(&[
        "test",
        "--release",
        "--package",
        "sessile",
        "--test",
        "model",
        "--test",
        "threads",
    ]))
}
