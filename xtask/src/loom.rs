//! The models.

use crate::command::{self, cargo, root};
use anyhow::Result;

/// Runs `cd loom-tests && cargo test --release`, whose configuration file sets the model's cfgs.
pub(crate) fn run(filter: Option<&str>, preemptions: Option<usize>) -> Result<()> {
    let mut test = cargo(&["test", "--release"]);
    test.current_dir(root().join("loom-tests"));
    // An inherited RUSTFLAGS would override the configuration file, and the models would run as plain threads.
    test.env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR").env_remove("LOOM_MAX_PREEMPTIONS");
    if let Some(preemptions) = preemptions {
        test.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string());
    }
    if let Some(filter) = filter {
        test.arg(filter);
    }
    test.args(["--", "--nocapture", "--test-threads", "1"]);
    command::run(&mut test)
}
