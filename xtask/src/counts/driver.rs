//! The program that runs the operations: how it is built, and what it prints.

use crate::command::{cargo, root};
use crate::verify::build;
use crate::verify::context::PartContext;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::PathBuf;

/// One way of building it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Build {
    /// The cache counts its atomic accesses.
    Counting,
    /// The cache as it ships.
    Shipped,
    /// The same beside peers, to be traced.
    Traced,
}

/// A line of its output.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Line {
    pub(super) operation: String,
    pub(super) sessions: usize,
    /// Runs.
    pub(super) times: u64,
    pub(super) accesses: Vec<Access>,
}

/// Accesses of one kind at one place.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Access {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) kind: Kind,
    pub(super) times: u64,
}

/// What an access does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Load,
    Store,
    ReadModifyWrite,
    Fence,
}

impl Kind {
    /// Whether it takes the line from the other processors.
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Store | Self::ReadModifyWrite)
    }
}

/// Builds it, in a folder of its own: other flags would rebuild everything otherwise.
pub(super) fn build(context: &PartContext, way: Build) -> Result<PathBuf> {
    let (name, flags, package, program) = match way {
        Build::Counting => ("counting", "--cfg fuzzing --cfg sessile_counts", "micro", "counts"),
        Build::Shipped => ("shipped", "--cfg fuzzing", "micro", "counts"),
        Build::Traced => ("shipped", "--cfg fuzzing", "stores", "census"),
    };
    context.progress.say(&format!("building {program}, {name}"));
    let mut cargo = cargo(&["build", "--release", "--package", package, "--bin", program]);
    cargo.env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("CARGO_TARGET_DIR", root().join("target/counts").join(name));
    let built = build::executables(&mut cargo, &context.log)?;
    let counts = built.into_iter().find(|executable| executable.target == program);
    Ok(counts.context("the program was not built")?.path)
}

/// Reads its output.
pub(super) fn lines(stdout: &str) -> Result<Vec<Line>> {
    let read = |line| {
        serde_json::from_str(line).with_context(|| format!("not a line of counts: `{line}`"))
    };
    stdout.lines().map(read).collect()
}
