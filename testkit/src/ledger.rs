//! Payloads that are counted.
//!
//! All counters are relaxed: counting orders nothing that a sanitizer or a model watches. Read them
//! after the threads that count were joined.
#![forbid(unsafe_code)]

use crate::ids::id;
use anyhow::{Result, ensure};
use sessile::Session;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts what was made and freed.
#[derive(Debug, Default)]
pub struct Ledger {
    made: AtomicUsize,
    freed: AtomicUsize,
    /// Freed twice, or read afterwards.
    wrong: AtomicUsize,
    /// Called by each payload when it has been counted as freed.
    at_drop: Option<fn()>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A ledger whose payloads call `at_drop` when they have been counted as freed.
    pub fn with_drop_hook(at_drop: fn()) -> Arc<Self> {
        Arc::new(Self { at_drop: Some(at_drop), ..Self::empty() })
    }

    /// An empty ledger for a static, which counts by [`note_made`](Self::note_made) and
    /// [`note_freed`](Self::note_freed).
    pub const fn empty() -> Self {
        let (made, freed, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { made, freed, wrong, at_drop: None }
    }

    /// A new payload.
    pub fn payload(self: &Arc<Self>, number: u64) -> Payload {
        self.note_made();
        Payload { number, is_freed: AtomicBool::new(false), ledger: Arc::clone(self) }
    }

    /// A session under the id of its number.
    pub fn session(self: &Arc<Self>, number: u64) -> Session<Payload> {
        Session::new(id(number), self.payload(number))
    }

    /// Counts one as made.
    pub fn note_made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one as freed.
    pub fn note_freed(&self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were made.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// How many were freed.
    pub fn freed(&self) -> usize {
        self.freed.load(Ordering::Relaxed)
    }

    /// How many were made and are not freed.
    ///
    /// # Panics
    /// When a payload was freed twice, or read after its drop: the cache may have caught its panic.
    pub fn alive(&self) -> usize {
        assert_eq!(self.wrong(), 0, "payloads freed twice or read after their drop");
        let freed = self.freed();
        self.made() - freed
    }

    /// Checks how many are alive, and that none was freed twice or read after its drop.
    ///
    /// # Errors
    /// When it is not so.
    pub fn ensure_alive(&self, expected: usize) -> Result<()> {
        let (freed, wrong) = (self.freed(), self.wrong());
        let alive = self.made() - freed;
        ensure!(alive == expected, "{alive} payloads are alive, not {expected}");
        ensure!(wrong == 0, "{wrong} payloads were freed twice or read after their drop");
        Ok(())
    }

    /// How many payloads were freed twice, or read after their drop.
    pub fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }
}

/// A payload with a number, which panics when it is dropped twice or read after its drop.
pub struct Payload {
    number: u64,
    is_freed: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Payload {
    /// The number that it was made with.
    ///
    /// # Panics
    /// When it was dropped.
    pub fn number(&self) -> u64 {
        self.demand(!self.is_freed.load(Ordering::Relaxed), "read after its drop");
        self.number
    }

    fn demand(&self, holds: bool, otherwise: &str) {
        if !holds {
            self.ledger.wrong.fetch_add(1, Ordering::Relaxed);
            panic!("payload {} is {otherwise}", self.number);
        }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.demand(!self.is_freed.swap(true, Ordering::Relaxed), "dropped twice");
        self.ledger.note_freed();
        if let Some(at_drop) = self.ledger.at_drop {
            at_drop();
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({})", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use std::mem::ManuallyDrop;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::Ordering;

    #[test]
    fn a_payload_is_counted() {
        let ledger = Ledger::new();
        let (one, two) = (ledger.payload(1), ledger.payload(2));
        assert_eq!((ledger.made(), ledger.alive(), two.number()), (2, 2, 2));
        drop(one);
        assert_eq!((ledger.made(), ledger.freed(), ledger.alive()), (2, 1, 1));
    }

    #[test]
    fn use_after_a_drop_is_noticed() {
        let ledger = Ledger::new();
        // What a second owner of freed memory would see.
        let mut payload = ManuallyDrop::new(ledger.payload(3));
        payload.is_freed.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| payload.number())).is_err());
        let again = catch_unwind(AssertUnwindSafe(|| {
            drop(ManuallyDrop::into_inner(std::mem::replace(
                &mut payload,
                ManuallyDrop::new(ledger.payload(4)),
            )))
        }));
        assert!(again.is_err());
        assert_eq!(ledger.wrong(), 2);
        assert!(catch_unwind(|| ledger.alive()).is_err());
    }
}
