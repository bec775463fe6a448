//! A counter with one writer.

use super::Ordering;
use super::on_request::AtomicU64;

/// Counts events of one thread; other threads may read it at any time.
///
/// The owner adds by a plain load and store: no locked instruction, no line shared with another
/// writer. The count is exact because there is one writer at a time; ownership passes with the
/// `Local` that holds it.
#[derive(Debug, Default)]
pub(crate) struct SingleWriterCounter(AtomicU64);

impl SingleWriterCounter {
    #[inline]
    pub(crate) fn add(&self, n: u64) -> u64 {
        // ORDERING: Relaxed load: one writer, which reads its own store. Release store: whoever
        // sees this count sees the counts that came before it, so that a sum of additions read
        // before a sum of removals is never too high; pairs with `get`. Model: `capacity_counted`.
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(sum, Ordering::Release);
        sum
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        // ORDERING: Acquire: pairs with the Release in `add`. Model: `capacity_counted`.
        self.0.load(Ordering::Acquire)
    }
}
