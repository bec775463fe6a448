//! `trials faults`: injects faults into the cache and checks that nothing is lost.
//!
//! One file per family of faults. A family makes *attempts*: each injects one fault and then checks
//! everything that the cache promises about it. The table and the figures say how many attempts
//! were made and how many of them held. What the families share: `outcome` (attempts and figures),
//! `support`, and the test kit.

mod allocation;
mod backtraces;
mod delay;
mod drops;
mod flood;
mod fork;
mod hooks;
mod outcome;
mod panics;
mod stall;
mod support;
mod threads;
mod wipe;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
pub(crate) use outcome::Figures;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: testkit::allocator::Probe = testkit::allocator::Probe;

/// A family of faults: its name and what runs it.
struct Family {
    name: &'static str,
    run: fn(Duration, &mut Figures) -> Result<()>,
}

const FAMILIES: [Family; 10] = [
    Family { name: "stall", run: stall::run },
    Family { name: "panics", run: panics::run },
    Family { name: "threads", run: threads::run },
    Family { name: "drops", run: drops::run },
    Family { name: "hooks", run: hooks::run },
    Family { name: "allocation", run: allocation::run },
    Family { name: "flood", run: flood::run },
    Family { name: "fork", run: fork::run },
    Family { name: "wipe", run: wipe::run },
    Family { name: "delay", run: delay::run },
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs one family only. May be given several times.
    #[arg(long, value_name = "NAME", value_parser = FAMILIES.map(|family| family.name))]
    only: Vec<String>,
    /// Seconds for which a family repeats its attempts; each is made at least once.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// What a child process of this program is to do; for its own use.
    #[arg(long, hide = true, num_args = 1.., value_name = "WORD")]
    child: Vec<String>,
}

/// Runs the families, or what a child is to do.
pub(crate) fn run(options: &Options) -> Result<Option<Figures>> {
    match options.child.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run_families(options).map(Some),
        ["allocation", case, first] => allocation::child(case, first.parse()?).map(|()| None),
        ["fork"] => fork::child().map(|()| None),
        _ => bail!("no such child: {}", options.child.join(" ")),
    }
}

fn run_families(options: &Options) -> Result<Figures> {
    let is_chosen = |family: &&Family| {
        options.only.is_empty() || options.only.iter().any(|name| name == family.name)
    };
    let chosen: Vec<_> = FAMILIES.iter().filter(is_chosen).collect();
    let started = Instant::now();
    let bar = ProgressBar::new(chosen.len() as u64)
        .with_style(ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} {msg}")?);
    let mut figures = Figures { is_whole: options.only.is_empty(), ..Figures::default() };
    for family in chosen {
        bar.set_message(family.name);
        (family.run)(Duration::from_secs(options.seconds), &mut figures)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    figures.seconds = started.elapsed().as_secs_f64();
    figures.print();
    Ok(figures)
}
