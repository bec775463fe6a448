//! One model: a scenario on the cache or a part of it.

use crate::search::{self, Searched};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A scenario's name and how far it is searched.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(sessile_loom), allow(dead_code, reason = "plain threads run what is there"))]
pub struct Model {
    pub(crate) name: &'static str,
    /// The preemption bound, unless `LOOM_MAX_PREEMPTIONS` sets another.
    pub(crate) preemptions: usize,
    /// The bound where `SESSILE_NIGHT` is set.
    pub(crate) night: usize,
    pub(crate) real_epoch: bool,
    /// The files whose words on request are seen.
    pub(crate) seen: &'static [&'static str],
    /// Why there is but one schedule, if there is.
    pub(crate) single: Option<&'static str>,
}

impl Model {
    /// A model with preemption bound 3 and the contract reclaimer. `LOOM_MAX_PREEMPTIONS` overrides
    /// the bound.
    pub fn new(name: &'static str) -> Self {
        Self { name, preemptions: 3, night: 3, real_epoch: false, seen: &[], single: None }
    }

    /// Another preemption bound.
    #[must_use]
    pub fn preemptions(self, preemptions: usize) -> Self {
        Self { preemptions, night: preemptions, ..self }
    }

    /// A larger bound for `cargo xtask verify --long`: for a model that takes a minute by it, and
    /// is not the one that an ordering or a seeded bug needs it for.
    #[must_use]
    pub fn at_night(self, night: usize) -> Self {
        Self { night, ..self }
    }

    /// Real crossbeam-epoch instead of the contract reclaimer.
    #[must_use]
    pub fn real_epoch(self) -> Self {
        Self { real_epoch: true, ..self }
    }

    /// Sees the statistics, dates, permits or threads' registry too: the words made in these files,
    /// `src/cache/budget/permits.rs`.
    #[must_use]
    pub fn tracks(self, seen: &'static [&'static str]) -> Self {
        Self { seen, ..self }
    }

    /// There is but one schedule, for this reason. Without one, a search of a single schedule
    /// fails; with one, a search of more.
    #[must_use]
    pub fn single_schedule(self, reason: &'static str) -> Self {
        Self { single: Some(reason), ..self }
    }

    /// Runs the scenario and reports the search, in one line and those of its sites, on standard
    /// output and at the end of the file that `SESSILE_REPORT` names, where `cargo xtask` reads it.
    ///
    /// # Panics
    /// As [`search`](Self::search).
    pub fn check(self, scenario: impl Fn() + Send + Sync + 'static) {
        let searched = self.search(scenario);
        let mut report = format!(
            "model {} reclaimer={} bound={} complete=true iterations={} seconds={:.2}\n",
            self.name,
            if self.real_epoch { "epoch" } else { "contract" },
            searched.bound(),
            searched.schedules,
            searched.seconds
        );
        searched.sites.iter().for_each(|site| report += &format!("site {site}\n"));
        print!("\n{report}");
        keep(&report);
    }

    /// Runs the scenario.
    ///
    /// # Panics
    /// In the first schedule that does not hold, and when the search is incomplete or of a single
    /// schedule.
    pub fn search(self, scenario: impl Fn() + Send + Sync + 'static) -> Searched {
        search::run(self, scenario)
    }
}

/// Adds a report to the file that is asked for, whole: models that run beside each other write to
/// one file.
fn keep(report: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let Some(path) = std::env::var_os("SESSILE_REPORT").map(PathBuf::from) else { return };
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(report.as_bytes()));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
