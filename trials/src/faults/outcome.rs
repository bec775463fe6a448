//! Attempts and figures: what was tried, what held, and what did not.
#![forbid(unsafe_code)]

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The attempts at one kind of fault.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    name: &'static str,
    tried: u64,
    passed: u64,
    /// What was measured on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// The first few attempts that did not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<String>,
}

const FAILURES_SHOWN: usize = 12;

impl Outcome {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, tried: 0, passed: 0, notes: Vec::new(), failures: Vec::new() }
    }

    /// Makes an attempt, which holds if it neither fails nor panics.
    pub(crate) fn attempt(&mut self, what: impl Display, attempt: impl FnOnce() -> Result<()>) {
        self.tried += 1;
        let result = catch_unwind(AssertUnwindSafe(attempt));
        match result.unwrap_or_else(|panic| Err(anyhow!("panicked: {}", panic_text(&*panic)))) {
            Ok(()) => self.passed += 1,
            Err(error) if self.failures.len() < FAILURES_SHOWN => {
                self.failures.push(format!("{what}: {error:#}"));
            }
            Err(_) => {}
        }
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn holds(&self) -> bool {
        self.tried == self.passed && self.tried > 0
    }
}

/// What a panic says, if it says anything.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

/// The most garbage that a stalled reader held back.
#[derive(Debug, Default, Serialize)]
pub(crate) struct GarbageFigures {
    pub(crate) limit_bytes: u64,
    pub(crate) max_bytes_seen: u64,
    pub(crate) workloads: Vec<WorkloadFigures>,
}

/// The same for one workload.
#[derive(Debug, Serialize)]
pub(crate) struct WorkloadFigures {
    pub(crate) name: String,
    pub(crate) threads: usize,
    pub(crate) max_bytes_seen: u64,
    pub(crate) block_bytes: u64,
}

/// Milliseconds from the end of a removal to the wiping of the payload.
#[derive(Debug, Default, Serialize)]
pub(crate) struct WipeFigures {
    #[serde(flatten)]
    pub(crate) all: Delays,
    /// By situation.
    #[serde(flatten)]
    pub(crate) parts: BTreeMap<&'static str, Delays>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Delays {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) samples: u64,
}

impl Display for Delays {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, max, samples } = self;
        write!(f, "p50 {p50:.3}  p99 {p99:.3}  max {max:.3}  ({samples} samples)")
    }
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Of all families.
    #[serde(skip)]
    pub(crate) is_whole: bool,
    pub(crate) faults: Vec<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) garbage: Option<GarbageFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wipe_ms: Option<WipeFigures>,
    pub(crate) seconds: f64,
}

impl crate::Report for Figures {
    fn summary(&self) -> String {
        let sum = |count: fn(&Outcome) -> u64| self.faults.iter().map(count).sum::<u64>();
        let (tried, passed) = (sum(|outcome| outcome.tried), sum(|outcome| outcome.passed));
        let mut summary =
            format!("{passed} of {tried} faults of {} kinds borne", self.faults.len());
        if let Some(garbage) = &self.garbage {
            let (most, limit) = (garbage.max_bytes_seen, garbage.limit_bytes);
            summary += &format!("; garbage at most {most} of {limit} bytes");
        }
        if let Some(WipeFigures { all: Delays { p50, p99, .. }, .. }) = &self.wipe_ms {
            summary += &format!("; wiped after {p50:.1} ms, 99 % within {p99:.1} ms");
        }
        summary
    }

    /// An error when anything did not hold, or was not measured.
    fn verdict(&self) -> Result<()> {
        let failed = self.faults.iter().filter(|outcome| !outcome.holds());
        let failed: Vec<_> = failed.map(|outcome| outcome.name).collect();
        ensure!(failed.is_empty(), "did not hold: {}", failed.join(", "));
        if let Some(garbage) = &self.garbage {
            let (most, limit) = (garbage.max_bytes_seen, garbage.limit_bytes);
            ensure!(most <= limit, "garbage reached {most} bytes, the limit is {limit}");
        }
        if self.is_whole {
            ensure!(!self.faults.is_empty(), "no fault was tried");
            ensure!(self.garbage.is_some(), "garbage was not measured");
            ensure!(self.wipe_ms.is_some(), "the time to wipe was not measured");
        }
        Ok(())
    }
}

impl Figures {
    pub(crate) fn print(&self) {
        println!("{:<34} {:>9} {:>9}", "fault", "tried", "passed");
        for outcome in &self.faults {
            let mark = if outcome.holds() { "" } else { "  FAILED" };
            println!("{:<34} {:>9} {:>9}{mark}", outcome.name, outcome.tried, outcome.passed);
            outcome.notes.iter().for_each(|note| println!("    {note}"));
            outcome.failures.iter().for_each(|failure| println!("    failed: {failure}"));
        }
        if let Some(garbage) = &self.garbage {
            println!(
                "garbage: limit {} bytes, most seen {}",
                garbage.limit_bytes, garbage.max_bytes_seen
            );
            for one in &garbage.workloads {
                println!(
                    "    {:<26} {} threads: {:>9} bytes",
                    one.name, one.threads, one.max_bytes_seen
                );
            }
        }
        if let Some(wipe) = &self.wipe_ms {
            println!("wiped after (ms):   {}", wipe.all);
            wipe.parts.iter().for_each(|(name, part)| println!("    {name:<15} {part}"));
        }
        println!("{:.1} s", self.seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, GarbageFigures, Outcome, WipeFigures};
    use crate::Report as _;
    use anyhow::bail;

    fn figures(outcome: Outcome, max_bytes_seen: u64) -> Figures {
        let garbage = GarbageFigures { limit_bytes: 100, max_bytes_seen, workloads: Vec::new() };
        let (garbage, wipe_ms) = (Some(garbage), Some(WipeFigures::default()));
        Figures { is_whole: true, faults: vec![outcome], garbage, wipe_ms, ..Figures::default() }
    }

    #[test]
    fn an_attempt_fails_by_error_and_by_panic() {
        let mut outcome = Outcome::new("one");
        outcome.attempt("holds", || Ok(()));
        outcome.attempt("errs", || bail!("no"));
        outcome.attempt("panics", || std::panic::resume_unwind(Box::new("ouch")));
        assert_eq!((outcome.tried, outcome.passed), (3, 1));
        assert_eq!(outcome.failures, ["errs: no", "panics: panicked: ouch"]);
        assert!(figures(outcome, 0).verdict().is_err());
    }

    #[test]
    fn the_verdict_minds_the_garbage_and_wants_attempts() {
        assert!(
            figures(Outcome::new("none"), 0).verdict().is_err(),
            "nothing tried is nothing shown"
        );
        for (most, holds) in [(100, true), (101, false)] {
            let mut outcome = Outcome::new("one");
            outcome.attempt("holds", || Ok(()));
            assert_eq!(figures(outcome, most).verdict().is_ok(), holds);
        }
    }

    #[test]
    fn what_was_not_measured_fails() {
        let whole = || {
            let mut outcome = Outcome::new("one");
            outcome.attempt("holds", || Ok(()));
            figures(outcome, 0)
        };
        assert!(whole().verdict().is_ok());
        assert!(Figures { faults: Vec::new(), ..whole() }.verdict().is_err());
        assert!(Figures { garbage: None, ..whole() }.verdict().is_err());
        assert!(Figures { wipe_ms: None, ..whole() }.verdict().is_err());
        assert!(Figures { wipe_ms: None, is_whole: false, ..whole() }.verdict().is_ok());
    }
}
