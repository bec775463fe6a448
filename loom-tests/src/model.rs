//! One search.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A scenario's name and how far it is searched.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    name: &'static str,
    #[cfg_attr(not(sessile_loom), allow(dead_code, reason = "plain threads have no bound"))]
    preemptions: usize,
    real_epoch: bool,
    #[cfg_attr(not(sessile_loom), allow(dead_code, reason = "plain threads run what is there"))]
    seen: &'static [&'static str],
}

/// More schedules than this count as an incomplete search.
const ITERATIONS_MAX: usize = 20_000_000;

/// Runs on plain threads.
#[cfg(not(sessile_loom))]
const RUNS: usize = 2_000;

impl Model {
    /// A model with preemption bound 3 and the contract reclaimer. `LOOM_MAX_PREEMPTIONS` overrides the bound.
    pub fn new(name: &'static str) -> Self {
        Self { name, preemptions: 3, real_epoch: false, seen: &[] }
    }

    /// Another preemption bound.
    #[must_use]
    pub fn preemptions(self, preemptions: usize) -> Self {
        Self { preemptions, ..self }
    }

    /// Real crossbeam-epoch instead of the contract reclaimer.
    #[must_use]
    pub fn real_epoch(self) -> Self {
        Self { real_epoch: true, ..self }
    }

    /// Sees the statistics, dates, permits or threads' registry too: the words made in these files, `src/budget.rs`.
    #[must_use]
    pub fn sees(self, seen: &'static [&'static str]) -> Self {
        Self { seen, ..self }
    }

    /// Runs the scenario and reports the search on standard output: one line, also read by `cargo xtask`.
    pub fn check(self, scenario: impl Fn() + Send + Sync + 'static) {
        let iterations = Arc::new(AtomicUsize::new(0));
        let counted = {
            let iterations = Arc::clone(&iterations);
            move || {
                let count = iterations.fetch_add(1, Ordering::SeqCst);
                assert!(count < ITERATIONS_MAX, "the search is incomplete after {count} schedules");
                scenario();
            }
        };
        let start = Instant::now();
        let bound = self.explore(counted);
        let reclaimer = if self.real_epoch { "epoch" } else { "contract" };
        println!(
            "\nmodel {} reclaimer={reclaimer} bound={bound} complete=true iterations={} seconds={:.2}",
            self.name,
            iterations.load(Ordering::SeqCst),
            start.elapsed().as_secs_f64()
        );
        #[cfg(sessile_loom)]
        sessile::internals::sites().iter().for_each(|site| println!("site {site}"));
    }

    /// Returns the bound that was searched to.
    #[cfg(sessile_loom)]
    fn explore(self, scenario: impl Fn() + Send + Sync + 'static) -> usize {
        sessile::internals::choose_real_epoch(self.real_epoch);
        sessile::internals::see(self.seen);
        let mut builder = loom::model::Builder::new();
        let bound = *builder.preemption_bound.get_or_insert(self.preemptions);
        builder.max_duration = None;
        builder.max_permutations = None;
        builder.max_branches = 20_000;
        builder.check(scenario);
        bound
    }

    #[cfg(not(sessile_loom))]
    fn explore(self, scenario: impl Fn() + Send + Sync + 'static) -> &'static str {
        (0..RUNS).for_each(|_| scenario());
        "threads"
    }
}
