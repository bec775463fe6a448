//! The resize lock alone, of a migration that has nothing to move.

use crate::raw::ResizeLock;
use std::fmt;

/// A resize lock without tables.
pub struct BareResizeLock(ResizeLock);

impl BareResizeLock {
    /// Nothing is wanted.
    pub fn new() -> Self {
        Self(ResizeLock::new(0))
    }

    /// Wants a size and moves to it, unless another thread does.
    pub fn resize(&self) {
        self.0.request();
        while self.0.try_lock() {
            self.0.clear();
            self.0.unlock();
            if !self.0.is_still_requested() {
                return;
            }
        }
    }

    /// Whether every size that was wanted was looked at.
    pub fn is_settled(&self) -> bool {
        !self.0.is_still_requested()
    }
}

impl Default for BareResizeLock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BareResizeLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BareResizeLock(..)")
    }
}
