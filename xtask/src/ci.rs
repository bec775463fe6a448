//! Continuous integration: one list of commands.

use crate::command::{self, shell};
use anyhow::{Result, ensure};
use std::time::Instant;

/// What is off by default and is checked nevertheless.
const FEATURES: &str = "handshakes/openssl,sessile-openssl/tracing";

/// Everything, in the order in which a failure is cheapest, as one would type it at the root. Each
/// command that a document shows stands here literally; `cargo xtask documents` checks that.
/// `cargo xtask verify` runs one more, that of the models.
pub(crate) const STEPS: &[&str] = &[
    "cargo xtask help",
    "cargo xtask fmt",
    "cargo xtask documents",
    "cargo xtask clippy",
    "cargo xtask docs",
    "cargo test --workspace",
    "cargo xtask stress",
    "cargo run -p payload",
    "cargo run --release -p handshakes",
    "cargo run --release -p handshakes -- --nodes 3 --tier start",
    "cargo run --release -p handshakes --features openssl -- --backend openssl",
    "cargo test --release -p handshakes --features openssl",
    "cargo xtask stranger",
    "cargo xtask border",
    "cargo xtask capi --prefix target/capi",
    "cc -pthread adapters/c/examples/server.c -o target/capi/server $(PKG_CONFIG_PATH=target/capi/lib/pkgconfig \
     pkg-config --cflags --libs sessile) -Wl,-rpath,'$ORIGIN/lib'",
    "cargo xtask counts --deny-skips",
    "cargo xtask verify --deny-skips --json target/verify.json",
    "cargo xtask loom take_and",
    "cd fuzz/schedules && cargo test --release",
];

/// Runs the steps but for those that are `done` already, and says how long each took.
pub(crate) fn run(done: &[String]) -> Result<()> {
    for step in done {
        ensure!(STEPS.contains(&step.as_str()), "`{step}` is no step of continuous integration");
    }
    let mut took = Vec::new();
    for step in STEPS.iter().filter(|step| !done.iter().any(|done| done == *step)) {
        let begin = Instant::now();
        command::run(&mut shell(step))?;
        took.push((step, begin.elapsed().as_secs()));
    }
    took.iter().for_each(|(step, seconds)| println!("{seconds:5} s  {step}"));
    Ok(())
}

pub(crate) fn fmt() -> Result<()> {
    command::run(&mut shell("cargo fmt --all --check"))
}

pub(crate) fn clippy() -> Result<()> {
    let over = format!("--workspace --features {FEATURES} --all-targets");
    command::run(&mut shell(&format!("cargo clippy {over} -- --deny warnings")))
}

pub(crate) fn docs() -> Result<()> {
    let over = format!("--workspace --features {FEATURES} --no-deps --document-private-items");
    command::run(shell(&format!("cargo doc {over}")).env("RUSTDOCFLAGS", "--deny warnings"))
}

/// The command of the README.
pub(crate) fn test() -> Result<()> {
    command::run(&mut shell("cargo test --workspace"))
}

/// The state machine and the races, optimized: there they run their full length.
pub(crate) fn stress() -> Result<()> {
    command::run(&mut shell("cargo test --release --package sessile --test stress"))
}

#[cfg(test)]
mod tests {
    use super::STEPS;
    use crate::command::root;

    /// What the script runs by itself is done when it asks for the rest.
    #[test]
    fn the_script_runs_every_step() {
        let script = std::fs::read_to_string(root().join(".ci/run")).unwrap();
        let commands: Vec<_> = script.lines().filter(|line| line.starts_with("cargo ")).collect();
        assert_eq!(
            commands,
            ["cargo test --workspace", "cargo xtask ci --done 'cargo test --workspace'"]
        );
        assert!(STEPS.contains(&"cargo test --workspace"));
    }

    #[test]
    fn what_is_no_step_cannot_be_done() {
        assert!(super::run(&["cargo test".into()]).is_err());
    }
}
