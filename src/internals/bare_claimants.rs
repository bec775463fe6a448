//! The lending of claimant numbers alone.

use crate::raw::Claimants;
use std::fmt;

/// Numbers for threads that have none of their own.
pub struct BareClaimants(Claimants);

impl BareClaimants {
    /// Nothing is lent.
    pub fn new() -> Self {
        Self(Claimants::new())
    }

    /// Runs `f` with a number that nobody else has meanwhile.
    pub fn with_lent<R>(&self, f: impl FnOnce(usize) -> R) -> Option<R> {
        let claimant = self.0.number(usize::MAX)?;
        Some(f(claimant.number))
    }
}

impl Default for BareClaimants {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BareClaimants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BareClaimants(..)")
    }
}
