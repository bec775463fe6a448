//! The command line: many schedules by chance, or one input again.

use crate::{Scenario, execute, run, runs, scenario::HEADER_BYTES, stage};
use anyhow::{Context, Result, anyhow};
use clap::{Args, Parser, Subcommand};
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

/// Interleavings of the cache's operations.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs scenarios by chance, each under many schedules: half of them random, half by
    /// probabilistic concurrency testing.
    Trials(Trials),
    /// Runs fuzzer inputs, such as those of a crash, and shows what they do.
    Replay {
        /// The inputs.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Runs the command line.
///
/// # Errors
/// An input cannot be read, or a schedule was found under which the cache breaks a promise.
pub fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Trials(trials) => trials.run(),
        Task::Replay { files } => files.iter().try_for_each(replay),
    }
}

fn replay(file: &PathBuf) -> Result<()> {
    let data = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (scenario, schedule) = Scenario::decode(&data);
    println!("{}: {scenario:?}, {} choices", file.display(), schedule.len());
    execute(&data);
    Ok(())
}

#[derive(Args, Debug)]
struct Trials {
    /// Schedules in total; rounded up to whole scenarios.
    #[arg(long, default_value_t = 120_000)]
    schedules: usize,
    /// Schedules of one scenario.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    per_scenario: u32,
    /// Preemptions that probabilistic concurrency testing places.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    depth: u32,
    /// What the scenarios and the schedules are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Schedules that were run.
#[derive(Default)]
struct Counts {
    scenarios: usize,
    random: usize,
    pct: usize,
}

impl Trials {
    fn run(&self) -> Result<()> {
        let start = Instant::now();
        let mut draw = Rng::with_seed(self.seed);
        let mut counts = Counts::default();
        let bar = ProgressBar::new(self.schedules as u64);
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} schedules, {eta} left")?);
        while counts.random + counts.pct < self.schedules {
            self.try_scenario(&mut draw, &mut counts)?;
            bar.set_position((counts.random + counts.pct) as u64);
        }
        bar.finish_and_clear();
        println!(
            "schedules scenarios={} random={} pct={} depth={} violations=0 seconds={:.1}",
            counts.scenarios,
            counts.random,
            counts.pct,
            self.depth,
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn try_scenario(&self, draw: &mut Rng, counts: &mut Counts) -> Result<()> {
        let (scenario, seed) = (draw_scenario(draw), draw.u64(..));
        let (depth, all) = (self.depth as usize, self.per_scenario as usize);
        let random = all / 2;
        let attempt = AssertUnwindSafe(|| {
            counts.random +=
                run(scenario.clone(), RandomScheduler::new_from_seed(seed, random), stage::take);
            let pct = PctScheduler::new_from_seed(seed, depth, all - random);
            counts.pct += run(scenario.clone(), pct, stage::take);
        });
        catch_unwind(attempt).map_err(|_| {
            anyhow!("schedule {} fails as shown above: {scenario:?} under seed {seed}", runs())
        })?;
        counts.scenarios += 1;
        Ok(())
    }
}

/// A scenario in which at least two threads do something.
fn draw_scenario(draw: &mut Rng) -> Scenario {
    loop {
        let header: [u8; HEADER_BYTES] = std::array::from_fn(|_| draw.u8(..));
        let (scenario, _) = Scenario::decode(&header);
        if scenario.threads.iter().filter(|steps| !steps.is_empty()).count() >= 2 {
            return scenario;
        }
    }
}
