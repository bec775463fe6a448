//! `cargo xtask …`: everything that continuous integration runs, runnable by hand.

mod ci;
mod command;
mod loom;
mod miri;
mod readme;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the Sessile repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything that continuous integration runs, in its order.
    Ci,
    /// Checks the formatting.
    Fmt,
    /// Clippy over all targets, warnings denied.
    Clippy,
    /// The documentation, warnings denied.
    Docs,
    /// The README's test command: every test and doctest of the workspace.
    Test,
    /// The state machine and the races, optimized and at full length.
    Stress,
    /// The concurrency models, by the command that the README gives.
    Loom {
        /// Only models whose name contains this.
        filter: Option<String>,
        /// Preemption bound for all of them; each has its own otherwise.
        #[arg(long)]
        preemptions: Option<usize>,
    },
    /// Runs the commands that the README shows.
    Readme,
    /// The tests under Miri, where the component is installed.
    Miri,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Ci => ci::run(),
        Task::Fmt => ci::fmt(),
        Task::Clippy => ci::clippy(),
        Task::Docs => ci::docs(),
        Task::Test => ci::test(),
        Task::Stress => ci::stress(),
        Task::Loom { filter, preemptions } => loom::run(filter.as_deref(), preemptions),
        Task::Readme => readme::run(),
        Task::Miri => miri::run(),
    }
}
