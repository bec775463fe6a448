//! Every operation of the cache, kept busy, for a sanitizer to watch.
//!
//! Threads use seven caches at once (`caches`), read each payload that they meet to its last byte
//! (`payload`), and exit after a while with handles in hand and retired sessions behind them
//! (`worker`); others take their place. In the end every payload that was made must have been
//! dropped, and every cache's statistics must add up.
//!
//! The trial itself orders as little as it can, so that it hides no race: threads share nothing but
//! the caches, two relaxed counters and a clock.
#![forbid(unsafe_code)]

mod caches;
mod payload;
mod worker;

use anyhow::{Context, Result, bail, ensure};
use caches::{Caches, Subject};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use testkit::ensure_whole;
use worker::Worker;

const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many calls to make, on all caches and by all threads together.
    #[arg(long, default_value_t = 20_000_000, value_name = "N")]
    operations: u64,
    /// Threads at a time.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
    /// Calls after which a thread exits and another takes its place.
    #[arg(long, default_value_t = 50_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    life: u64,
    /// Decides every choice but the moments at which threads run.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// The size of a session's secret.
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    payload_bytes: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    operations: u64,
    threads: u64,
    /// Threads that lived, one after another.
    lives: u64,
    seconds: f64,
    operations_per_second: f64,
    payloads_made: u64,
    payloads_dropped: u64,
    /// Payloads that were not whole when they were read.
    payloads_broken: u64,
    seed: u64,
}

impl crate::Report for Figures {
    fn summary(&self) -> String {
        format!(
            "churn: {} operations by {} threads in {:.1} s ({:.0} a second), {} payloads made, {} dropped, {} broken",
            self.operations,
            self.threads,
            self.seconds,
            self.operations_per_second,
            self.payloads_made,
            self.payloads_dropped,
            self.payloads_broken
        )
    }

    /// Fails when a payload was lost, dropped twice, or broken.
    fn verdict(&self) -> Result<()> {
        if self.payloads_broken > 0 {
            bail!("{} payloads were broken when they were read", self.payloads_broken);
        }
        ensure!(
            self.payloads_made == self.payloads_dropped,
            "{} payloads were made and {} dropped",
            self.payloads_made,
            self.payloads_dropped
        );
        Ok(())
    }
}

pub(crate) fn run(options: &Options) -> Result<Figures> {
    let started = Instant::now();
    let caches = Caches::new(options.payload_bytes as usize)?;
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..options.threads)
            .map(|lane| {
                let (caches, done) = (&caches, &done);
                scope.spawn(move || run_lane(options, lane, caches, done))
            })
            .collect();
        show_progress(options.operations, &done, || {
            lanes.iter().all(thread::ScopedJoinHandle::is_finished)
        })?;
        for lane in lanes {
            lane.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        }
        anyhow::Ok(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    caches.subjects.iter().try_for_each(check_whole)?;
    drop(caches);
    let (payloads_made, payloads_dropped) = payload::made_and_dropped();
    let operations = done.load(Ordering::Relaxed);
    Ok(Figures {
        operations,
        threads: options.threads,
        lives: (0..options.threads)
            .map(|lane| lane_calls(options, lane).div_ceil(options.life))
            .sum(),
        seconds,
        operations_per_second: operations as f64 / seconds,
        payloads_made,
        payloads_dropped,
        payloads_broken: caches::broken(),
        seed: options.seed,
    })
}

/// This lane's share of all calls.
fn lane_calls(options: &Options, lane: u64) -> u64 {
    options.operations / options.threads + u64::from(lane < options.operations % options.threads)
}

/// One thread after another. Each is joined explicitly: a scope does not wait for what a thread
/// does as it exits.
fn run_lane(options: &Options, lane: u64, caches: &Caches, done: &AtomicU64) {
    let calls = lane_calls(options, lane);
    for (life, first) in (0..calls).step_by(options.life as usize).enumerate() {
        let seed = options.seed.wrapping_add(lane << 40).wrapping_add(life as u64);
        let worker = Worker::new(caches, seed, options.payload_bytes as usize);
        let lived = thread::scope(|scope| {
            scope.spawn(move || worker.live(options.life.min(calls - first), done)).join()
        });
        if let Err(panic) = lived {
            std::panic::resume_unwind(panic);
        }
    }
}

fn show_progress(operations: u64, done: &AtomicU64, is_over: impl Fn() -> bool) -> Result<()> {
    let style = ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} operations {per_sec} {eta}",
    )?;
    let progress = ProgressBar::new(operations).with_style(style);
    while !is_over() {
        progress.set_position(done.load(Ordering::Relaxed));
        thread::sleep(PROGRESS_PERIOD);
    }
    progress.finish_and_clear();
    Ok(())
}

/// At rest each cache is whole, and each payload in it.
fn check_whole(subject: &Subject) -> Result<()> {
    subject.cache.iter().for_each(|session| caches::verify(&session));
    ensure_whole(&subject.cache).with_context(|| format!("cache \"{}\"", subject.name))
}
