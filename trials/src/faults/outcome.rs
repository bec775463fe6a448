//! Attempts and figures: what was tried, what held, and what did not.
#![forbid(unsafe_code)]

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;
use std::fmt::Display;
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
    pub(crate) busy: Delays,
    pub(crate) idle_thread: Delays,
    pub(crate) collected: Delays,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Delays {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) samples: u64,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) faults: Vec<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) garbage: Option<GarbageFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wipe_ms: Option<WipeFigures>,
    pub(crate) seconds: f64,
}

impl Figures {
    /// An error when anything did not hold.
    pub(crate) fn verdict(&self) -> Result<()> {
        let failed: Vec<_> = self
            .faults
            .iter()
            .filter(|outcome| !outcome.holds())
            .map(|outcome| outcome.name)
            .collect();
        ensure!(failed.is_empty(), "did not hold: {}", failed.join(", "));
        if let Some(garbage) = &self.garbage {
            let (most, limit) = (garbage.max_bytes_seen, garbage.limit_bytes);
            ensure!(most <= limit, "garbage reached {most} bytes, the limit is {limit}");
        }
        Ok(())
    }

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
            let parts = [
                ("wiped after (ms)", &wipe.all),
                ("    busy", &wipe.busy),
                ("    idle thread", &wipe.idle_thread),
                ("    collect()", &wipe.collected),
            ];
            for (name, one) in parts {
                let Delays { p50, p99, max, samples } = one;
                println!(
                    "{name:<20} p50 {p50:.3}  p99 {p99:.3}  max {max:.3}  ({samples} samples)"
                );
            }
        }
        println!("{:.1} s", self.seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, GarbageFigures, Outcome};
    use anyhow::bail;

    fn figures(outcome: Outcome, max_bytes_seen: u64) -> Figures {
        let garbage = GarbageFigures { limit_bytes: 100, max_bytes_seen, workloads: Vec::new() };
        Figures { faults: vec![outcome], garbage: Some(garbage), ..Figures::default() }
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
}
