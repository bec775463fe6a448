//! Who runs a closure of a caller's under a guard: that may take any time, unlike the operations
//! themselves.
#![forbid(unsafe_code)]

use crate::sync::Tally;

/// How many closures run under guards of one thread. It is the thread's own to write; others look.
#[derive(Debug, Default)]
pub(super) struct Closures(Tally);

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
