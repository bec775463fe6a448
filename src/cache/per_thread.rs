//! What the cache keeps for each thread that uses it.
#![forbid(unsafe_code)]

use super::budget::Spare;
use super::eviction::{SampleCursor, SweepEffort, TickCounter};
use crate::reclaim::State;
use crate::stats::Counters;
use crate::sync::SingleWriterCounter;

/// In this order: by use.
#[derive(Default)]
#[repr(C)]
pub(super) struct PerThread {
    pub(super) closures: Closures,
    pub(super) counters: Counters,
    pub(super) spare: Spare,
    pub(super) tick_counter: TickCounter,
    /// Sessions placed, for the idle sweep; permits not found, for the search for spares.
    pub(super) placements: SingleWriterCounter,
    pub(super) starved: SingleWriterCounter,
    pub(super) sample_cursor: SampleCursor,
    pub(super) sweep_effort: SweepEffort,
}

impl State for PerThread {
    fn leave(&self, heir: &Self) {
        self.spare.leave(&heir.spare);
    }
}

/// Closures of callers that run under guards of one thread: they may take any time, unlike the
/// operations themselves. The number is the thread's own to write; others look.
#[derive(Debug, Default)]
pub(super) struct Closures(SingleWriterCounter);

/// A closure that runs.
pub(super) struct Running<'c>(&'c Closures);

impl Closures {
    #[inline]
    pub(super) fn begin(&self) -> Running<'_> {
        self.0.add(1);
        Running(self)
    }

    /// A hint: whoever does not see it yet waits a little for nothing.
    pub(super) fn is_any_running(&self) -> bool {
        self.0.get() > 0
    }
}

impl Drop for Running<'_> {
    #[inline]
    fn drop(&mut self) {
        // One less: the sum wraps.
        self.0.0.add(u64::MAX);
    }
}
