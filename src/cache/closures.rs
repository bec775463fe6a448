//! Who runs a closure of a caller's under a guard: that may take any time, unlike the operations themselves.
#![forbid(unsafe_code)]

use crate::sync::untracked::{AtomicUsize, Ordering};

/// How many closures run under guards of one thread. It is the thread's own to write; others look.
#[derive(Debug, Default)]
pub(super) struct Closures(AtomicUsize);

/// A closure that runs.
pub(super) struct Running<'c>(&'c Closures);

// ORDERING: Relaxed throughout: a hint. Whoever does not see it yet waits a little for nothing.

impl Closures {
    #[inline]
    pub(super) fn begin(&self) -> Running<'_> {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Running(self)
    }

    pub(super) fn is_any_running(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Running<'_> {
    #[inline]
    fn drop(&mut self) {
        let Closures(running) = self.0;
        running.store(running.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }
}
