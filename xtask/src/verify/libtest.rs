//! Test binaries and the tests in them.

use super::build::Executable;
use super::child::{self, Ended, Log};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One `#[test]` function of one binary.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
}

/// All tests of the binaries, ignored ones not.
pub(crate) fn list(binaries: &[Executable], log: &Log) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for binary in binaries {
        let ended = child::demand(Command::new(&binary.path).arg("--list"), log)?;
        for name in ended.stdout.lines().filter_map(|line| line.strip_suffix(": test")) {
            tests.push(Test { name: name.into(), binary: binary.path.clone() });
        }
    }
    if tests.is_empty() {
        bail!("the test binaries hold no tests");
    }
    Ok(tests)
}

/// The name of a test without its module, which is that of its model.
pub(crate) fn model(name: &str) -> &str {
    name.rsplit_once("::").map_or(name, |(_, name)| name)
}

impl Test {
    /// The model that it runs.
    pub(crate) fn model(&self) -> &str {
        model(&self.name)
    }

    /// Runs this test alone, in `folder`, with these variables set.
    pub(crate) fn run(
        &self,
        folder: &Path,
        variables: &[(&str, &str)],
        limit: Duration,
        log: &Log,
    ) -> Result<Ended> {
        let mut command = Command::new(&self.binary);
        command
            .args(["--exact", &self.name, "--nocapture", "--test-threads", "1"])
            .current_dir(folder);
        for ours in ["LOOM_MAX_PREEMPTIONS", "SESSILE_SITES", "SESSILE_REPORT", "SESSILE_WEAKEN"] {
            command.env_remove(ours);
        }
        // A backtrace of every thread would bury what a failure says.
        command.env("RUST_BACKTRACE", "0").envs(variables.iter().copied());
        child::run(&mut command, Some(limit), log)
    }
}
