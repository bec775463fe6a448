//! `cargo xtask …`: everything that continuous integration runs, runnable by hand.

#![forbid(unsafe_code)]

mod border;
mod capi;
mod ci;
mod command;
mod counts;
mod documents;
#[path = "../../benches/compare/src/host.rs"]
mod host;
mod load;
mod loom;
mod stranger;
mod verify;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use verify::Part;

/// Tasks of the Sessile repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything that continuous integration runs, in its order. Needs a nightly toolchain,
    /// valgrind, the clients of CONTRIBUTING.md and libssl's headers.
    Ci {
        /// A step that has been run already; may be given more than once.
        #[arg(long, value_name = "COMMAND")]
        done: Vec<String>,
    },
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
    /// Checks that each command that a document shows is run by continuous integration as it
    /// stands, or has a reason, and that tables are those of the figures.
    Documents {
        /// Makes the tables anew from the figures first.
        #[arg(long)]
        write: bool,
    },
    /// Instructions, writes to shared lines and lines touched of each operation, against those in
    /// `benches/counts.toml`; fails when one grew. A minute once it is built; needs valgrind, and
    /// the permission to trace its children.
    Counts(counts::Options),
    /// The C library and the programs of its tests under ThreadSanitizer and AddressSanitizer, on
    /// both sides of the border. Needs nightly and a C compiler.
    Border,
    /// Builds the C library and installs it, with its header, pages and pkg-config file.
    Capi(capi::Options),
    /// Resumptions on libssl's own cache and on Sessile preloaded in its place. Two minutes; needs a C
    /// compiler, `openssl` and a quiet machine.
    Load(load::Options),
    /// Builds the README's recipes from the packages, as somebody without the repository would;
    /// their servers must resume. Two minutes; needs `openssl` and libssl's headers.
    Stranger,
    /// Everything that checks the races, in one table: the parts below and the models. Under twenty
    /// minutes once it is built; needs nightly, valgrind and cargo-fuzz, and names what is missing.
    Verify(verify::Options),
    /// Weakens every ordering; a model must fail each time.
    Orderings(verify::Filtered),
    /// Seeds the bugs of `loom-tests/mutants.toml`; each one's test must fail.
    Mutants(verify::Filtered),
    /// Records histories of real threads; each must have an order.
    Histories(verify::Limits),
    /// Runs the cache under schedules drawn by chance.
    Schedules(verify::Limits),
    /// Injects faults into a running cache.
    Faults(verify::Limits),
    /// Churn under ThreadSanitizer.
    Tsan(verify::Limits),
    /// Churn under AddressSanitizer and LeakSanitizer.
    Asan(verify::Limits),
    /// A short churn under valgrind.
    Memcheck(verify::Limits),
    /// Runs the fuzz targets.
    Fuzz(verify::Limits),
    /// The unit tests under Miri, where the component is installed.
    Miri(verify::Limits),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Ci { done } => ci::run(&done),
        Task::Fmt => ci::fmt(),
        Task::Clippy => ci::clippy(),
        Task::Docs => ci::docs(),
        Task::Test => ci::test(),
        Task::Stress => ci::stress(),
        Task::Loom { filter, preemptions } => loom::run(filter.as_deref(), preemptions),
        Task::Documents { write } => documents::run(write),
        Task::Counts(options) => counts::run(&options),
        Task::Border => border::run(),
        Task::Capi(options) => capi::run(&options),
        Task::Load(options) => load::run(&options),
        Task::Stranger => stranger::run(),
        Task::Verify(options) => verify::run(&options),
        Task::Orderings(filtered) => verify::run_filtered(Part::Orderings, &filtered),
        Task::Mutants(filtered) => verify::run_filtered(Part::Mutants, &filtered),
        Task::Histories(limits) => verify::run_one(Part::Histories, &limits),
        Task::Schedules(limits) => verify::run_one(Part::Schedules, &limits),
        Task::Faults(limits) => verify::run_one(Part::Faults, &limits),
        Task::Tsan(limits) => verify::run_one(Part::Tsan, &limits),
        Task::Asan(limits) => verify::run_one(Part::Asan, &limits),
        Task::Memcheck(limits) => verify::run_one(Part::Memcheck, &limits),
        Task::Fuzz(limits) => verify::run_one(Part::Fuzz, &limits),
        Task::Miri(limits) => verify::run_one(Part::Miri, &limits),
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        let parses = |words: &str| Arguments::try_parse_from(words.split(' ')).is_ok();
        assert!(parses(
            "xtask verify --only loom,tsan --long --deny-skips --may-skip miri,fuzz --json f"
        ));
        assert!(parses("xtask ci --done x --done y") && parses("xtask ci"));
        assert!(parses("xtask loom add_ --preemptions 2"));
        assert!(parses("xtask orderings src/raw --long"));
        assert!(parses("xtask capi --prefix target/capi --destdir d") && parses("xtask capi"));
        assert!(parses("xtask load --write"));
        assert!(parses("xtask counts add --places --deny-skips"));
        // Half a table is not for the file.
        assert!(!parses("xtask counts add --accept"));
        assert!(!parses("xtask verify --only rain"));
        // Figures of a part of a part are not for a file.
        assert!(!parses("xtask mutants claim --json f"));
    }
}
