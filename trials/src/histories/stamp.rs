//! When an operation began and ended, without ordering the threads that it is about.
//!
//! A checker needs one thing of the stamps: if A's end is stamped before B's beginning, A returned
//! before B was called. A shared counter that every operation raises would give exactly that, and
//! would hide what it is to show: its exchanges empty the store buffers and hand the cores' work to
//! each other around every operation, so a store that becomes visible only after its operation
//! returned would never be caught. So stamps come from the monotonic clock: reading it writes no
//! memory that is shared, and waits for no store.
//!
//! What the clock may get wrong is bounded and allowed for. Two cores may disagree, and a core may
//! begin a load before it has read the time. [`Stopwatch::new`] hands a stamp from thread to thread
//! twenty thousand times and looks for one that runs backwards; A counts as before B only if more
//! than [`Stopwatch::margin`] lies between them: twice the worst step backwards that was seen, and
//! a hundred nanoseconds, which is more than a core looks ahead. An order that the margin hides
//! makes the check weaker, never wrong. The order within a thread is exact and needs no stamp.

use anyhow::{Result, bail};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use testkit::spin_until;

const HANDOVERS: u64 = 20_000;

/// More than the time in which a core executes ahead of its clock.
const MARGIN_MIN: u64 = 100;

/// A clock that steps back further than this is no clock.
const BACKWARDS_MAX: u64 = 10_000;

/// A clock that all threads share, in nanoseconds since its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch {
    start: Instant,
    margin: u64,
}

impl Stopwatch {
    /// Starts the clock and measures how far the cores' readings disagree.
    pub(super) fn new() -> Result<Self> {
        let mut watch = Self { start: Instant::now(), margin: MARGIN_MIN };
        let backwards = watch.worst_step_backwards();
        if backwards > BACKWARDS_MAX {
            bail!(
                "the monotonic clock ran backwards by {backwards} ns between two threads: no order can be told"
            );
        }
        watch.margin += 2 * backwards;
        Ok(watch)
    }

    #[inline]
    pub(super) fn stamp(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// How far apart two stamps of different threads must be to tell an order.
    pub(super) fn margin(&self) -> u64 {
        self.margin
    }

    fn worst_step_backwards(&self) -> u64 {
        let baton = Baton { turn: AtomicU64::new(0), stamp: AtomicU64::new(0) };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| self.carry(&baton, 1));
            let own = self.carry(&baton, 0);
            other.join().map_or(u64::MAX, |other| other.max(own))
        })
    }

    /// Takes every second turn and compares the stamp handed over with one's own.
    fn carry(&self, baton: &Baton, parity: u64) -> u64 {
        let mut worst = 0;
        for turn in (parity..HANDOVERS).step_by(2) {
            spin_until(|| baton.turn.load(Ordering::Acquire) == turn);
            let now = self.stamp();
            worst = worst.max(baton.stamp.load(Ordering::Relaxed).saturating_sub(now));
            baton.stamp.store(self.stamp(), Ordering::Relaxed);
            baton.turn.store(turn + 1, Ordering::Release);
        }
        worst
    }
}

struct Baton {
    turn: AtomicU64,
    stamp: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_at_least_the_minimum_and_stamps_go_forward() {
        let watch = Stopwatch::new().unwrap();
        assert!(watch.margin() >= MARGIN_MIN);
        let first = watch.stamp();
        assert!(watch.stamp() >= first);
    }
}
