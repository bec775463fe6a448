//! The unit tests under Miri, where the component is.
//!
//! crossbeam-epoch 0.9 keeps pointers in integers, so provenance is permissive and its global queue
//! counts as a leak.

use super::child;
use super::context::PartContext;
use super::report::PartResult;
use super::tools;
use crate::command::nightly;
use anyhow::Result;
use serde_json::json;
use std::time::Duration;

const FLAGS: &str =
    "-Zmiri-permissive-provenance -Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows";

const LIMIT: Duration = Duration::from_secs(3600);

/// Runs them.
pub(crate) fn run(context: &PartContext) -> Result<PartResult> {
    if !tools::has_miri() {
        return Ok(PartResult::Skipped { missing: "the Miri component" });
    }
    let mut miri = nightly("cargo");
    miri.args(["miri", "test", "--package", "sessile", "--lib"]).env("MIRIFLAGS", FLAGS);
    context.progress.say("running the unit tests");
    let ended = child::run(&mut miri, Some(LIMIT), &context.log)?;
    let tests = passed(&ended.stdout);
    let mut faults = Vec::new();
    if !ended.is_success() || tests == 0 {
        faults.push(ended.tail());
    }
    let summary = format!("{tests} unit tests passed");
    Ok(PartResult::Checked { summary, faults, figures: json!({"miri": {"tests": tests}}) })
}

/// The number in `test result: ok. 7 passed; …`.
fn passed(stdout: &str) -> u64 {
    let results =
        stdout.lines().filter_map(|line| line.strip_prefix("test result: ")?.split_once(". "));
    results.filter_map(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn passed_tests_are_counted() {
        let stdout = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        assert_eq!(super::passed(stdout), 2);
        assert_eq!(super::passed("error: no such component"), 0);
    }
}
