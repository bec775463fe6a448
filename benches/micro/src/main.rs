//! `counts`: runs each operation some ten thousand times, for somebody who counts.
//!
//! callgrind counts what happens in the call of `micro::measure`. Built with the private cfg
//! `sessile_counts` the cache itself counts its atomic accesses. `cargo xtask counts` does both.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use micro::{COUNTED, Operation, Time, Visitor, measure, visit};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Runs each operation 10 000 times on a cache in its steady state, and prints a line of JSON about
/// each.
#[derive(Debug, Parser)]
#[command(name = "counts")]
struct Options {
    /// Only caches for so many sessions.
    #[arg(long)]
    sessions: Option<usize>,
    /// Only operations whose name contains this.
    #[arg(long)]
    operation: Option<String>,
    /// Only the operation whose name is just that.
    #[arg(long, requires = "operation")]
    exact: bool,
    /// Runs on this one of the processors, counted round, as if there were no other: how many
    /// permits a thread may keep depends on their number.
    #[arg(long, value_name = "N")]
    processor: Option<usize>,
    /// The clock that the caches read.
    #[arg(long, value_enum, default_value_t = Clock::Coarse)]
    clock: Clock,
}

/// Runs for which sessions are made before. As few as a magazine of the cache's memory holds: what
/// many sessions leave behind would go further, as nothing does in a server.
const PREPARED: usize = 16;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Clock {
    /// The default: the system's coarse clock
    Coarse,
    /// One that stands still
    Still,
}

/// What is printed about one operation.
#[derive(Serialize)]
struct Line {
    operation: &'static str,
    sessions: usize,
    times: usize,
    /// Empty unless the cache counts.
    accesses: Vec<Access>,
}

/// Accesses of one kind at one place.
#[derive(Serialize)]
struct Access {
    /// From the root of the workspace, as `src/raw/table.rs`.
    file: &'static str,
    line: u32,
    kind: &'static str,
    times: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(nth) = options.processor {
        keep_to(nth)?;
    }
    check_the_counter()?;
    let mut runner = Runner { options, result: Ok(()) };
    visit(&mut runner);
    runner.result
}

fn keep_to(nth: usize) -> Result<()> {
    let processors = core_affinity::get_core_ids().unwrap_or_default();
    let processor =
        processors.get(nth % processors.len().max(1)).context("no processor is known")?;
    ensure!(core_affinity::set_for_current(*processor), "the processor cannot be chosen");
    Ok(())
}

impl Options {
    fn want(&self, name: &str, sessions: usize) -> bool {
        let fits = |wanted: &str| if self.exact { name == wanted } else { name.contains(wanted) };
        self.sessions.is_none_or(|wanted| wanted == sessions)
            && self.operation.as_deref().is_none_or(fits)
    }
}

struct Runner {
    options: Options,
    result: Result<()>,
}

impl Visitor for Runner {
    fn visit<O: Operation>(&mut self, sessions: usize) {
        if self.result.is_ok()
            && O::COUNTED_SIZES.contains(&sessions)
            && self.options.want(O::NAME, sessions)
        {
            let line = self.run::<O>(sessions).with_context(|| format!("`{}`", O::NAME));
            self.result = line.and_then(|line| print(&line));
        }
    }
}

impl Runner {
    fn run<O: Operation>(&self, sessions: usize) -> Result<Line> {
        let time = match self.options.clock {
            Clock::Coarse => Time::Coarse,
            Clock::Still => Time::Still,
        };
        let mut operation = O::new(sessions, time);
        warm_up(&mut operation);
        let mut all = BTreeMap::new();
        for _ in 0..COUNTED / PREPARED {
            let mut inputs = operation.prepare(PREPARED);
            let (done, accesses) = counted(|| measure(&operation, &mut inputs));
            ensure!(done == PREPARED, "only {done} of {PREPARED} runs did what they should");
            for Access { file, line, kind, times } in accesses {
                *all.entry((file, line, kind)).or_insert(0) += times;
            }
        }
        let access = |((file, line, kind), times)| Access { file, line, kind, times };
        let accesses = all.into_iter().map(access).collect();
        Ok(Line { operation: O::NAME, sessions, times: COUNTED, accesses })
    }
}

/// As many runs as will be counted, so that what they retire is in its steady state. Not by
/// `measure`, whose calls are counted.
fn warm_up<O: Operation>(operation: &mut O) {
    for _ in 0..COUNTED / PREPARED {
        operation.prepare(PREPARED).into_iter().for_each(|input| {
            operation.run(input);
        });
    }
}

fn print(line: &Line) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(line)?).context("the figures cannot be printed")
}

#[cfg(sessile_counts)]
fn counted<R>(f: impl FnOnce() -> R) -> (R, Vec<Access>) {
    use sessile::counted::{self, Kind};

    let (result, counts) = counted::of(f);
    let access = |(((file, line, _column), kind), times): ((counted::Place, Kind), u64)| {
        let kind = match kind {
            Kind::Load => "load",
            Kind::Store => "store",
            Kind::ReadModifyWrite => "read_modify_write",
            Kind::Fence => "fence",
        };
        Access { file, line, kind, times }
    };
    (result, counts.into_iter().map(access).collect())
}

/// Shows the counter a handle that is cloned and dropped: two read-modify-writes, and nothing else
/// that writes.
#[cfg(sessile_counts)]
fn check_the_counter() -> Result<()> {
    use sessile::{Session, SessionId};

    let session = Session::new(SessionId::from([1; 32]), ());
    let (_, accesses) = counted(|| drop(session.clone()));
    let kinds: Vec<_> = accesses.iter().map(|access| (access.kind, access.times)).collect();
    ensure!(kinds == [("read_modify_write", 1); 2], "a cloned handle was counted as {kinds:?}");
    Ok(())
}

#[cfg(not(sessile_counts))]
fn check_the_counter() -> Result<()> {
    Ok(())
}

#[cfg(not(sessile_counts))]
fn counted<R>(f: impl FnOnce() -> R) -> (R, Vec<Access>) {
    (f(), Vec::new())
}
