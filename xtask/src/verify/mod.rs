//! `cargo xtask verify`: what is checked of the cache's races, in one table.
//!
//! Each part is a file here. A part runs what it runs to its end and returns a [`PartResult`] with
//! figures counted from the output of its children; what these print goes to
//! `target/verify/<part>.log`. A part passes only if everything in it ended and nothing was found.
//! The order is that in which a failure is cheapest.

pub(crate) mod build;
pub(crate) mod child;
mod churn;
pub(crate) mod context;
mod fuzz;
mod judge;
mod libtest;
mod miri;
mod models;
mod mutants;
mod orderings;
mod progress;
mod report;
mod schedules;
mod seeded;
mod site;
pub(crate) mod tools;
mod trials;
pub(crate) mod workers;

pub(crate) use churn::{ADDRESS, Sanitizer, THREAD};
pub(crate) use models::COMMAND as MODELS_COMMAND;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use context::PartContext;
use report::{PartResult, Report};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// One kind of check.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Faults injected into a running cache
    Faults,
    /// Recorded histories that must have an order
    Histories,
    /// Schedules drawn by chance
    Schedules,
    /// The models, searched completely
    #[value(alias = "loom")]
    Models,
    /// Every ordering weakened: a model must fail
    Orderings,
    /// Every seeded bug: its test must fail
    Mutants,
    /// Churn under valgrind
    Memcheck,
    /// Churn under AddressSanitizer and LeakSanitizer
    Asan,
    /// Churn under ThreadSanitizer
    Tsan,
    /// The fuzz targets
    Fuzz,
    /// The unit tests under Miri
    Miri,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Histories => "histories",
            Self::Schedules => "schedules",
            Self::Models => "models",
            Self::Orderings => "orderings",
            Self::Mutants => "mutants",
            Self::Memcheck => "memcheck",
            Self::Asan => "asan",
            Self::Tsan => "tsan",
            Self::Fuzz => "fuzz",
            Self::Miri => "miri",
        }
    }
}

/// What to verify, and how long.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only these parts; all otherwise.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,PART")]
    only: Vec<Part>,
    #[command(flatten)]
    limits: Limits,
    /// Counts a part whose tool is missing as failed.
    #[arg(long)]
    deny_skips: bool,
    /// The parts that may be skipped all the same.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "PART,PART",
        default_value = "miri",
        hide_possible_values = true,
        requires = "deny_skips"
    )]
    may_skip: Vec<Part>,
}

/// How long, and where the figures go.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Writes the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The night version: higher counts, deeper searches.
    #[arg(long)]
    long: bool,
}

/// The limits, and what of a part is wanted.
#[derive(Args, Clone, Debug)]
pub(crate) struct Filtered {
    /// Only what contains this: a file or file:line of an ordering, the name of a mutant. The
    /// figures are then partial, and are not written.
    #[arg(conflicts_with = "json")]
    filter: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

/// Runs the parts that are asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted: Vec<_> = Part::value_variants()
        .iter()
        .copied()
        .filter(|part| options.only.is_empty() || options.only.contains(part))
        .collect();
    let denied = |part: Part| options.deny_skips && !options.may_skip.contains(&part);
    run_parts(&wanted, &options.limits, None, denied)
}

/// Runs one part.
pub(crate) fn run_one(part: Part, limits: &Limits) -> Result<()> {
    run_parts(&[part], limits, None, |_| false)
}

/// Runs one part on what its filter lets through.
pub(crate) fn run_filtered(part: Part, filtered: &Filtered) -> Result<()> {
    run_parts(&[part], &filtered.limits, filtered.filter.as_deref(), |_| false)
}

fn run_parts(
    parts: &[Part],
    limits: &Limits,
    filter: Option<&str>,
    denied: impl Fn(Part) -> bool,
) -> Result<()> {
    if let Some(path) = limits.json.as_deref().filter(|path| path.exists()) {
        // Figures of an earlier run must not outlive an interrupted one.
        std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let mut report = Report::begin(limits.long);
    let mut searches = None;
    for &part in parts {
        let start = Instant::now();
        let result = PartContext::new(part.name(), limits.long, filter)
            .and_then(|context| run_part(part, &context, &mut searches));
        report.enter(part, result, denied(part), start.elapsed().as_secs_f64());
    }
    println!("\n{}", report.table());
    if let Some(path) = &limits.json {
        report.write(path)?;
    }
    let failed = report.failed();
    if !failed.is_empty() {
        let names: Vec<_> = failed.iter().map(|part| part.name()).collect();
        bail!("failed: {}; what they printed is in target/verify", names.join(", "));
    }
    Ok(())
}

fn run_part(
    part: Part,
    context: &PartContext,
    searches: &mut Option<Vec<models::Search>>,
) -> Result<PartResult> {
    match part {
        Part::Faults => trials::faults(context),
        Part::Histories => trials::histories(context),
        Part::Schedules => schedules::run(context),
        Part::Models => {
            let (result, found) = models::run(context)?;
            *searches = Some(found);
            Ok(result)
        }
        Part::Orderings => orderings::run(context, searches.as_deref()),
        Part::Mutants => mutants::run(context, searches.as_deref().unwrap_or_default()),
        Part::Memcheck => churn::run(&churn::MEMCHECK, context),
        Part::Asan => churn::run(&ADDRESS, context),
        Part::Tsan => churn::run(&THREAD, context),
        Part::Fuzz => fuzz::run(context),
        Part::Miri => miri::run(context),
    }
}
