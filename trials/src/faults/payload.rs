//! A payload that keeps books about itself.
#![forbid(unsafe_code)]

use super::support::{Fuse, Point, id};
use sessile::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts payloads that were made and freed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    made: AtomicU64,
    freed: AtomicU64,
    /// Freed twice, or read afterwards.
    wrong: AtomicU64,
}

impl Ledger {
    pub(crate) fn session(self: &Arc<Self>, number: u64) -> Session<Payload> {
        Session::new(id(number), self.payload(number))
    }

    pub(crate) fn payload(self: &Arc<Self>, number: u64) -> Payload {
        self.made.fetch_add(1, Ordering::Relaxed);
        Payload { number, is_freed: AtomicBool::new(false), ledger: Arc::clone(self) }
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn alive(&self) -> u64 {
        let freed = self.freed.load(Ordering::SeqCst);
        self.made.load(Ordering::SeqCst) - freed
    }

    pub(crate) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Payload {
    number: u64,
    is_freed: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Payload {
    pub(crate) fn number(&self) -> u64 {
        self.ledger
            .wrong
            .fetch_add(u64::from(self.is_freed.load(Ordering::Relaxed)), Ordering::Relaxed);
        self.number
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let again = self.is_freed.swap(true, Ordering::Relaxed);
        self.ledger.wrong.fetch_add(u64::from(again), Ordering::Relaxed);
        self.ledger.freed.fetch_add(1, Ordering::SeqCst);
        Fuse::pass(Point::Drop);
    }
}
