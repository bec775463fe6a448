//! Payloads that tell what became of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the payloads it made and those that were dropped. Invisible to loom: it orders nothing.
#[derive(Debug, Default)]
pub struct Ledger {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

/// A payload with a number, which panics when it is dropped twice.
pub struct Entry {
    ledger: Arc<Ledger>,
    number: usize,
    drops: AtomicUsize,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A new payload.
    pub fn entry(self: &Arc<Self>, number: usize) -> Entry {
        self.made.fetch_add(1, Ordering::SeqCst);
        Entry { ledger: Arc::clone(self), number, drops: AtomicUsize::new(0) }
    }

    /// Payloads made and not yet dropped.
    pub fn alive(&self) -> usize {
        self.made.load(Ordering::SeqCst) - self.dropped.load(Ordering::SeqCst)
    }
}

impl Entry {
    /// The number the payload was made with.
    pub fn number(&self) -> usize {
        assert_eq!(
            self.drops.load(Ordering::SeqCst),
            0,
            "payload {} is used after its drop",
            self.number
        );
        self.number
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        assert_eq!(
            self.drops.fetch_add(1, Ordering::SeqCst),
            0,
            "payload {} is dropped twice",
            self.number
        );
        self.ledger.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.number)
    }
}
