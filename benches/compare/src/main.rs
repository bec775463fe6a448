//! Sessile beside every cache it is measured against, in one process.
//!
//! The library `stores` has the stores and what is done to them, `peers` lists who takes part,
//! `measure` runs them in interleaved rounds on the threads of `workers`, `figures` makes medians
//! and ratios of it, `report` and `chart` write them down. `traces` compares hit ratios. `plan` is
//! the order of it all, `cli` what one can ask for.

mod allocator;
mod chart;
mod cli;
mod dyn_store;
mod figures;
mod host;
mod machine;
mod measure;
#[cfg(test)]
mod measure_tests;
mod memory;
mod peers;
mod plan;
mod report;
mod stop;
mod summary;
mod table;
mod traces;
mod workers;

use allocator::Scale;
use anyhow::Result;
use cli::{Options, refuse};
use plan::Plan;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Scale = Scale::new();

fn main() -> ExitCode {
    let options = Options::read();
    match options.weigh.as_deref().map_or_else(|| run(&options), |name| weigh(&options, name)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn weigh(options: &Options, name: &str) -> Result<()> {
    let (&[values], &[entries]) = (&options.values[..], &options.entries[..]) else {
        refuse("--weigh takes one kind of values and one number of entries")
    };
    memory::weigh_here(name, values, entries)
}

fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options).unwrap_or_else(|error| refuse(&format!("{error:#}")));
    peers::missing().for_each(|missing| eprintln!("compare: {missing}"));
    options.check_outputs()?;
    stop::listen()?;
    let results = plan.run();
    if stop::is_asked() {
        println!("Stopped: tables are missing, and the last one may be of fewer rounds.");
    }
    if let Some(path) = &options.json {
        results.write_json(path)?;
    }
    if let Some(directory) = &options.report {
        results.write_report(directory)?;
    }
    Ok(())
}
