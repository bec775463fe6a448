//! The models.

use crate::command::{self, loom_cargo, root};
use anyhow::Result;

/// Runs `cd loom-tests && cargo test --release`.
pub(crate) fn run(filter: Option<&str>, preemptions: Option<usize>) -> Result<()> {
    let mut test = loom_cargo(root(), &["test", "--release"]);
    if let Some(preemptions) = preemptions {
        test.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string());
    }
    if let Some(filter) = filter {
        test.arg(filter);
    }
    test.args(["--", "--nocapture", "--test-threads", "1"]);
    command::run(&mut test)
}
