//! Bytes and garbage alone: what the limit on garbage rests on where sessions are weighed.

use crate::cache::Bytes;
use crate::sync::SingleWriterCounter;

/// Bytes that are used, announced, or garbage of one of two threads.
pub struct BareBytes {
    bytes: Bytes,
    garbage: [SingleWriterCounter; 2],
}

impl BareBytes {
    /// So many bytes are used.
    pub fn new(used: usize) -> Self {
        let bytes = Bytes::new(usize::MAX);
        assert!(bytes.try_take(used));
        Self { bytes, garbage: Default::default() }
    }

    /// What a replacement does: it makes garbage of `n` bytes if no more than `limit` come
    /// together.
    pub fn replace(&self, thread: usize, n: usize, limit: usize) -> bool {
        self.bytes.announce(n);
        let is_admitted = self.sum() <= limit;
        if is_admitted {
            self.garbage[thread].add(n as u64);
        }
        self.bytes.settle(n);
        is_admitted
    }

    /// What an eviction does.
    pub fn evict(&self, thread: usize, n: usize) {
        self.garbage[thread].add(n as u64);
        self.bytes.give(n);
    }

    /// What an `add` adds up, in its order.
    pub fn sum(&self) -> usize {
        let announced = self.bytes.announced();
        let used = self.bytes.used();
        announced + used + self.garbage()
    }

    /// What is garbage.
    pub fn garbage(&self) -> usize {
        self.garbage.iter().map(|tally| tally.get() as usize).sum()
    }
}
