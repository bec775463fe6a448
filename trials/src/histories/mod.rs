//! Linearizability of the shipped cache on real threads.
//!
//! ```text
//!   plan ---> record (script, stamp) ---> history ---> testkit
//!                                            |            ^
//!                                            +-> inject --+
//! ```
//!
//! Two to eight threads use one small cache by chance, through its whole API, while sessions are
//! evicted and expire and the table migrates. What each call answered, when it began and ended, and
//! what the removal hook was told, is a history, which `testkit::histories` checks.
//!
//! Accepted histories are also corrupted and must be refused (`inject`). One promise about time is
//! tried by itself (`prompt`).
#![forbid(unsafe_code)]

mod inject;
mod plan;
mod prompt;
mod record;
mod script;
mod stamp;
#[cfg(test)]
mod tests;

use anyhow::{Result, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use plan::Plan;
use prompt::Promptness;
use record::{Batch, HISTORIES_PER_CACHE};
use serde::Serialize;
use stamp::Stopwatch;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use testkit::histories::{History, verify};

/// Histories for each one that is corrupted.
const HISTORIES_PER_INJECTION: u64 = 2;

/// So many histories offer an occasion for each kind of corruption.
const MANY: u64 = 10_000;

/// Violations that are printed; all are counted.
const SHOWN_MAX: u64 = 5;

/// Batches that wait to be checked before recording waits for them.
const BATCHES_WAITING: usize = 4;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many histories to record and check.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    histories: u64,
    /// Stops after this time, whatever was done by then.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Decides every choice but the moments at which threads run.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// Threads of a history: a number, or a range of which each cache gets its own.
    #[arg(long, default_value = "2..8", value_name = "N..M", value_parser = parse_threads)]
    threads: RangeInclusive<usize>,
}

fn parse_threads(text: &str) -> Result<RangeInclusive<usize>> {
    const THREADS_MAX: usize = 16;
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let threads = least.parse()?..=most.trim_start_matches('=').parse()?;
    if threads.is_empty() || *threads.start() == 0 || *threads.end() > THREADS_MAX {
        bail!("a range of 1 to {THREADS_MAX} threads, such as 2..8");
    }
    Ok(threads)
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Histories, and the parts of single keys that they fell into.
    checked: u64,
    /// How many were to be checked, if no time limit cut them off.
    #[serde(skip)]
    wanted: u64,
    key_histories: u64,
    violations: u64,
    /// Corrupted histories, and those of them that were refused for the right reason.
    injected: u64,
    injected_found: u64,
    injected_by_kind: BTreeMap<&'static str, u64>,
    calls: u64,
    /// Calls during which another thread was in a call too.
    overlapping_calls: u64,
    departures: u64,
    seconds: f64,
    histories_per_second: f64,
    /// How far apart two threads' stamps had to be to tell an order.
    margin_ns: u64,
    #[serde(flatten)]
    promptness: Promptness,
    seed: u64,
}

impl crate::Report for Figures {
    fn summary(&self) -> String {
        format!(
            "{} histories checked ({} keys, {} calls of which {} overlap another, {} departures) in {:.1} s, {} \
             without an order; {} of {} corrupted ones found; {}",
            self.checked,
            self.key_histories,
            self.calls,
            self.overlapping_calls,
            self.departures,
            self.seconds,
            self.violations,
            self.injected_found,
            self.injected,
            self.promptness
        )
    }

    /// Fails when a history was not explained, or a corrupted one was.
    fn verdict(&self) -> Result<()> {
        let Self { checked, violations, injected, injected_found, .. } = self;
        ensure!(*checked >= self.wanted, "{checked} of {} histories were checked", self.wanted);
        ensure!(
            *violations == 0,
            "{violations} of {checked} histories cannot be explained (seed {})",
            self.seed
        );
        ensure!(
            injected_found == injected,
            "{injected_found} of {injected} corrupted histories were found"
        );
        ensure!(
            self.promptness.late_refusals == 0,
            "{} of {} sessions were added after their `remove` had returned",
            self.promptness.late_refusals,
            self.promptness.removals
        );
        let missing =
            inject::KINDS.iter().find(|kind| !self.injected_by_kind.contains_key(kind.name));
        if let (Some(kind), true) = (missing, *checked >= MANY) {
            bail!("no history was corrupted by \"{}\"", kind.name);
        }
        Ok(())
    }
}

/// Records on this thread's crew and checks on another thread.
pub(crate) fn run(options: &Options) -> Result<Figures> {
    let started = Instant::now();
    let watch = Stopwatch::new()?;
    let promptness = prompt::measure(watch)?;
    let progress = ProgressBar::new(options.histories).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} histories {per_sec} {msg}",
    )?);
    let (send, receive) = sync_channel(BATCHES_WAITING);
    let mut figures = thread::scope(|scope| {
        let progress = &progress;
        let checker =
            scope.spawn(move || check_all(&receive, options.seed, watch.margin(), progress));
        record_all(options, watch, started, send)?;
        checker.join().map_err(|_| anyhow::anyhow!("the checking thread panicked"))
    })?;
    progress.finish_and_clear();
    figures.promptness = promptness;
    figures.wanted = options.seconds.map_or(options.histories, |_| 0);
    figures.seconds = started.elapsed().as_secs_f64();
    figures.histories_per_second = figures.checked as f64 / figures.seconds;
    Ok(figures)
}

fn record_all(
    options: &Options,
    watch: Stopwatch,
    started: Instant,
    send: SyncSender<Batch>,
) -> Result<()> {
    let limit = options.seconds.map(Duration::try_from_secs_f64).transpose()?;
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut first = 0;
    while first < options.histories && limit.is_none_or(|limit| started.elapsed() < limit) {
        let count = HISTORIES_PER_CACHE.min(options.histories - first);
        let threads = random.usize(options.threads.clone());
        let plan = Plan::random(&mut random, threads);
        send.send(record::record(plan, options.seed, first, count, watch)?)?;
        first += count;
    }
    Ok(())
}

fn check_all(receive: &Receiver<Batch>, seed: u64, margin: u64, progress: &ProgressBar) -> Figures {
    let mut figures = Figures { margin_ns: margin, seed, ..Figures::default() };
    let mut random = fastrand::Rng::with_seed(seed);
    for Batch { plan, first, histories } in receive {
        for (number, history) in (first..).zip(&histories) {
            figures.note(history);
            match verify(history, margin) {
                Ok(()) if !number.is_multiple_of(HISTORIES_PER_INJECTION) => {}
                Ok(()) => figures.inject(number, history, &mut random, margin),
                Err(violation) => {
                    figures.violations += 1;
                    if figures.violations <= SHOWN_MAX {
                        progress.suspend(|| {
                            eprintln!("seed {seed}, history {number}, {plan:?}: {violation}")
                        });
                    }
                }
            }
            progress.inc(1);
        }
    }
    figures
}

impl Figures {
    fn note(&mut self, history: &History) {
        self.checked += 1;
        self.key_histories += u64::from(history.keys);
        self.calls += history.logs.iter().map(|log| log.events.len() as u64).sum::<u64>();
        self.overlapping_calls += history.overlapping() as u64;
        self.departures += history.departures().count() as u64;
    }

    /// Corrupts a history in the next way for which it offers an occasion.
    fn inject(&mut self, number: u64, history: &History, random: &mut fastrand::Rng, margin: u64) {
        let start = random.usize(..inject::KINDS.len());
        let kinds = inject::KINDS.iter().cycle().skip(start).take(inject::KINDS.len());
        let tried = kinds.map(|kind| (kind, inject::try_one(history, kind, random, margin)));
        let Some((kind, found)) = tried.into_iter().find_map(|(kind, found)| Some((kind, found?)))
        else {
            return;
        };
        self.injected += 1;
        self.injected_found += u64::from(found);
        *self.injected_by_kind.entry(kind.name).or_default() += 1;
        if !found {
            eprintln!("not found: \"{}\" in history {}", kind.name, number);
        }
    }
}
