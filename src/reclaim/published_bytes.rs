//! How much of a limbo's garbage is in the domain's total.
#![forbid(unsafe_code)]

use crate::sync::Ordering;
use crate::sync::on_request::AtomicU64;

/// Bytes, and in the upper bits how often they were changed: a number that comes back must not look
/// unchanged.
///
/// Anybody may publish what is pending. A thread that read it, slept, and published the old number
/// would take back what others have published.
#[derive(Debug, Default)]
pub(super) struct PublishedBytes(AtomicU64);

const BYTES_BITS: u32 = 48;
const BYTES: u64 = (1 << BYTES_BITS) - 1;

impl PublishedBytes {
    pub(super) fn bytes(&self) -> u64 {
        // ORDERING: Relaxed: a statistic.
        self.0.load(Ordering::Relaxed) & BYTES
    }

    /// Publishes what is pending, and returns the change. Each change is returned to one caller.
    pub(super) fn publish(&self, pending: impl Fn() -> u64) -> i64 {
        // ORDERING: Acquire: what is pending is read after this; pairs with the exchange. Model:
        // `limbo_published`.
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let bytes = pending().min(BYTES);
            let next = (seen & !BYTES).wrapping_add(1 << BYTES_BITS) | bytes;
            // ORDERING: Release: whoever publishes next reads no older a number than this one;
            // pairs with the load. Acquire on failure: as there. Model: `limbo_published`.
            match self.0.compare_exchange(seen, next, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return bytes.wrapping_sub(seen & BYTES) as i64,
                Err(newer) => seen = newer,
            }
        }
    }
}
