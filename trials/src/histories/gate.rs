//! Where threads meet, to leave together within a few dozen nanoseconds: they spin, and yield when there are more of them
//! than cores. A thread that panics breaks the gate, so that nobody waits for it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SPINS_PER_YIELD: u32 = 128;

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
    /// Waits for all threads to come to their `meeting`th meeting, counted from 0. False when one never will.
    pub(super) fn meet(&self, meeting: usize) -> bool {
        let gate = self.0;
        gate.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (meeting + 1) * gate.threads;
        let mut spins = 0_u32;
        while gate.arrived.load(Ordering::Acquire) < all {
            if gate.is_broken.load(Ordering::Relaxed) {
                return false;
            }
            spins += 1;
            if spins.is_multiple_of(SPINS_PER_YIELD) {
                std::thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
        true
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_broken.store(true, Ordering::Relaxed);
        }
    }
}
