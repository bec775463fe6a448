//! How large a store is: it begins small, and grows with its sessions up to the size that was asked
//! for. A program can have a thousand contexts, of which few see many sessions.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sessile_openssl::ServerStore;
use sessile_openssl::sessile::Capacity;

/// The size that a store begins with, unless a smaller one is asked for.
const FIRST: usize = 256;

/// What it grows by, when it is half full.
const FACTOR: usize = 4;

/// The size that was asked for; 0 is any number of sessions.
#[derive(Debug)]
pub(crate) struct Size {
    asked: AtomicUsize,
    /// Held while the table's is changed.
    changing: Mutex<()>,
}

impl Size {
    pub(crate) fn new(asked: usize) -> Self {
        Self { asked: AtomicUsize::new(asked), changing: Mutex::new(()) }
    }

    pub(crate) fn asked(&self) -> usize {
        // ORDERING: Relaxed: a number.
        self.asked.load(Ordering::Relaxed)
    }

    /// What a store is built for.
    pub(crate) fn first(&self) -> Capacity {
        match self.asked() {
            0 => Capacity::Unbounded,
            asked => Capacity::Sessions(asked.min(FIRST)),
        }
    }

    /// Asks for another size. A store that is larger evicts before this returns. Answers the former
    /// one; `None` if there is no memory, and nothing has changed.
    pub(crate) fn ask(&self, store: &ServerStore, asked: usize) -> Option<usize> {
        self.change(|| {
            let (former, present) = (self.asked(), store.cache_size());
            let is_grown_into = asked != 0 && (1..asked).contains(&present);
            if !is_grown_into {
                store.set_cache_size(asked).ok()?;
            }
            // ORDERING: Relaxed: a number, which is changed under the lock.
            self.asked.store(asked, Ordering::Relaxed);
            Some(former)
        })
    }

    /// Lets a store grow that a session was added to.
    pub(crate) fn grow(&self, store: &ServerStore) {
        if !self.is_due(store) {
            return;
        }
        self.change(|| {
            if self.is_due(store) {
                let next = store.cache_size().saturating_mul(FACTOR).min(self.asked());
                // Without memory for more it stays as it is, and evicts.
                let _ = store.set_cache_size(next);
            }
        });
    }

    fn is_due(&self, store: &ServerStore) -> bool {
        let present = store.cache_size();
        (1..self.asked()).contains(&present) && store.cache().len() >= present / 2
    }

    fn change<R>(&self, change: impl FnOnce() -> R) -> R {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        change()
    }
}
