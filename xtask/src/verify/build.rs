//! Building test binaries once, so that each run of one test costs only the test.

use super::child::{self, Log};
use anyhow::{Context, Result};
use cargo_metadata::Message;
use std::path::PathBuf;
use std::process::Command;

/// Builds the models' binaries.
pub(crate) const MODELS: &[&str] = &["test", "--release", "--no-run"];

/// A binary that cargo built.
#[derive(Clone, Debug)]
pub(crate) struct Executable {
    /// The name of the target: that of its file, for an integration test.
    pub(crate) target: String,
    pub(crate) path: PathBuf,
}

/// Runs a cargo command that builds, with `--message-format` added, and returns what it built.
pub(crate) fn executables(command: &mut Command, log: &Log) -> Result<Vec<Executable>> {
    command.arg("--message-format=json-render-diagnostics");
    let ended = child::demand(command, log)?;
    let mut executables = Vec::new();
    for message in Message::parse_stream(ended.stdout.as_bytes()) {
        if let Message::CompilerArtifact(artifact) =
            message.context("cargo's messages cannot be read")?
        {
            let target = artifact.target.name;
            executables
                .extend(artifact.executable.map(|path| Executable { target, path: path.into() }));
        }
    }
    Ok(executables)
}

/// Chooses one test target of a package: an integration test by its file, or `lib` for the unit
/// tests.
pub(crate) fn choose(command: &mut Command, file: &str) {
    match file {
        "lib" => command.arg("--lib"),
        file => command.args(["--test", file]),
    };
}
