//! Where threads meet, to leave together within a few dozen nanoseconds: they spin, and yield when
//! there are more of them than cores. A thread that panics breaks the gate, so that nobody waits
//! for it.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::yield_now;

const SPINS_PER_YIELD: u32 = 128;

/// Waits without sleeping, since sleep would take microseconds to end.
pub(super) fn spin_until(is_over: impl Fn() -> bool) {
    let mut spins = 0_u32;
    while !is_over() {
        spins += 1;
        if spins.is_multiple_of(SPINS_PER_YIELD) { yield_now() } else { spin_loop() }
    }
}

pub(super) struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    is_broken: AtomicBool,
}

/// One of the threads that meet.
pub(super) struct Member<'g>(&'g Gate);

impl Gate {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), is_broken: AtomicBool::new(false) }
    }

    pub(super) fn member(&self) -> Member<'_> {
        Member(self)
    }
}

impl Member<'_> {
    /// Waits for all threads to come to their `meeting`th meeting, counted from 0. False when one
    /// never will.
    pub(super) fn meet(&self, meeting: usize) -> bool {
        let gate = self.0;
        gate.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (meeting + 1) * gate.threads;
        let is_complete = || gate.arrived.load(Ordering::Acquire) >= all;
        spin_until(|| is_complete() || gate.is_broken.load(Ordering::Relaxed));
        is_complete()
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_broken.store(true, Ordering::Relaxed);
        }
    }
}
