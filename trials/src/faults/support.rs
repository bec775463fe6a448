//! What the families share beside the test kit: panics on demand, a watchdog.
#![forbid(unsafe_code)]

use super::outcome::panic_text;
use anyhow::{Context, Result, anyhow};
use std::cell::Cell;
use std::env;
use std::panic::resume_unwind;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use testkit::Ledger;

/// Where user code runs inside an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    OnAdded,
    OnRemoved,
    OnMiss,
    Weigher,
    Clock,
    Reader,
    Drop,
}

impl Point {
    pub(crate) const ALL: [Self; 7] = [
        Self::OnAdded,
        Self::OnRemoved,
        Self::OnMiss,
        Self::Weigher,
        Self::Clock,
        Self::Reader,
        Self::Drop,
    ];
}

/// Makes this thread panic when it comes to a point for the `passes + 1`st time.
pub(crate) struct PanicTrigger;

thread_local! {
    static TRIGGER: Cell<Option<(Point, u32)>> = const { Cell::new(None) };
}

/// What an injected panic carries.
pub(crate) struct Injected;

impl PanicTrigger {
    pub(crate) fn arm(point: Point, passes: u32) {
        TRIGGER.set(Some((point, passes)));
    }

    /// Disarms it; true if it has fired.
    pub(crate) fn disarm() -> bool {
        TRIGGER.take().is_none()
    }

    /// Called by user code at each point. Unwinds without the panic message, which would only be
    /// noise.
    pub(crate) fn pass(point: Point) {
        let Ok(Some((armed, passes))) = TRIGGER.try_with(Cell::get) else { return };
        if armed == point && !thread::panicking() {
            TRIGGER.set(passes.checked_sub(1).map(|passes| (armed, passes)));
            if passes == 0 {
                resume_unwind(Box::new(Injected));
            }
        }
    }
}

/// A ledger whose payloads may trigger a panic when they are dropped.
pub(crate) fn ledger_with_trigger() -> Arc<Ledger> {
    Ledger::with_drop_hook(|| PanicTrigger::pass(Point::Drop))
}

/// Runs `f` on a thread of its own; an error when it is not done in time, and the thread is then
/// left behind.
pub(crate) fn within(
    limit: Duration,
    f: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<()> {
    let (done, is_done) = mpsc::channel();
    let running = thread::spawn(move || {
        let result = f();
        // Nobody listens any more after the limit.
        let _ = done.send(());
        result
    });
    if is_done.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
        return Err(anyhow!("not done after {limit:?}"));
    }
    running.join().unwrap_or_else(|panic| Err(anyhow!("panicked: {}", panic_text(&*panic))))
}

/// Runs this program as a child of its own, which is to do what these words say.
pub(crate) fn run_child(words: &[&str]) -> Result<Output> {
    let mut child = Command::new(env::current_exe()?);
    // A stack trace of each abort would cost a tenth of a second, and a child says where it was.
    child.args(["faults", "--child"]).args(words).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    child.output().context("cannot start a child")
}

/// Repeats `round` until the time is up, at least once.
pub(crate) fn repeat(time: Duration, mut round: impl FnMut(u64)) {
    let started = Instant::now();
    for nth in 0.. {
        round(nth);
        if started.elapsed() >= time {
            return;
        }
    }
}

/// The middle of what was measured; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{PanicTrigger, Point, median, within};
    use std::panic::catch_unwind;
    use std::time::Duration;

    #[test]
    fn the_trigger_fires_once_at_its_point() {
        PanicTrigger::arm(Point::Clock, 1);
        PanicTrigger::pass(Point::Weigher);
        PanicTrigger::pass(Point::Clock);
        assert!(catch_unwind(|| PanicTrigger::pass(Point::Clock)).is_err());
        PanicTrigger::pass(Point::Clock);
        assert!(PanicTrigger::disarm());
        PanicTrigger::arm(Point::Clock, 0);
        assert!(!PanicTrigger::disarm());
    }

    #[test]
    fn the_watchdog_bites() {
        let long = Duration::from_secs(600);
        assert!(within(long, || Ok(())).is_ok());
        assert!(within(long, || anyhow::bail!("an error")).is_err());
        let (_never, is_told) = std::sync::mpsc::channel();
        let hangs = move || Ok(is_told.recv()?);
        assert!(within(Duration::from_millis(20), hangs).is_err());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
