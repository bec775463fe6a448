//! The right to move alone, of a migration that has nothing to move.

use crate::cache::Mover;
use std::fmt;

/// A mover without tables.
pub struct BareMover(Mover);

impl BareMover {
    /// Nothing is wanted.
    pub fn new() -> Self {
        Self(Mover::new(0))
    }

    /// Wants a size and moves to it, unless another thread does.
    pub fn resize(&self) {
        self.0.want();
        while self.0.try_begin() {
            self.0.unwant();
            self.0.end();
            if !self.0.is_still_wanted() {
                return;
            }
        }
    }

    /// Whether every size that was wanted was looked at.
    pub fn is_settled(&self) -> bool {
        !self.0.is_still_wanted()
    }
}

impl Default for BareMover {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BareMover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BareMover(..)")
    }
}
