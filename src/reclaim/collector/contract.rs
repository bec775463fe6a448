//! The eagerest reclaimer that keeps the contract of epoch reclamation; models only.
//!
//! A deferred function runs at the moment the last guard that existed when it was deferred goes.
//! The books are kept under a `std` mutex, invisible to the model; the ordering that the contract
//! promises is carried by one read-modify-write of a modelled atomic in each call. It is stronger
//! than an epoch scheme between two pins, which is why the models of the count also run on real
//! crossbeam-epoch.

use crate::sync::search;
#[cfg(sessile_shuttle)]
use crate::sync::{AtomicUsize, Ordering};
#[cfg(sessile_loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Deferred = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
pub(crate) struct Collector(Arc<Shared>);

pub(crate) struct ThreadHandle(Arc<Shared>);

pub(crate) struct EpochGuard {
    shared: Arc<Shared>,
    number: u64,
}

struct Shared {
    /// Carries every ordering edge of the contract.
    edge: AtomicUsize,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    next: u64,
    active: BTreeSet<u64>,
    waiting: Vec<(BTreeSet<u64>, Deferred)>,
}

/// Whether the search under way wants this reclaimer.
pub(crate) fn is_chosen() -> bool {
    !search::switches().real_epoch
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { edge: AtomicUsize::new(0), books: Mutex::default() }))
    }

    pub(crate) fn register(&self) -> ThreadHandle {
        ThreadHandle(Arc::clone(&self.0))
    }
}

impl ThreadHandle {
    pub(crate) fn pin(&self) -> EpochGuard {
        self.0.edge.fetch_add(1, Ordering::AcqRel);
        let mut books = self.0.books();
        let number = books.next;
        books.next += 1;
        books.active.insert(number);
        EpochGuard { shared: Arc::clone(&self.0), number }
    }
}

impl EpochGuard {
    pub(crate) fn defer(&self, f: impl FnOnce() + Send + 'static) {
        self.shared.edge.fetch_add(1, Ordering::AcqRel);
        let mut books = self.shared.books();
        let waits_for = books.active.clone();
        books.waiting.push((waits_for, Box::new(f)));
    }
}

impl Drop for EpochGuard {
    fn drop(&mut self) {
        self.shared.edge.fetch_add(1, Ordering::AcqRel);
        for deferred in self.shared.leave(self.number) {
            deferred();
        }
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a guard went and returns what nobody is waited for any more.
    fn leave(&self, number: u64) -> Vec<Deferred> {
        let mut books = self.books();
        books.active.remove(&number);
        for (waits_for, _) in &mut books.waiting {
            waits_for.remove(&number);
        }
        let (ready, waiting) =
            books.waiting.drain(..).partition(|(waits_for, _)| waits_for.is_empty());
        books.waiting = waiting;
        let ready: Vec<(BTreeSet<u64>, Deferred)> = ready;
        ready.into_iter().map(|(_, deferred)| deferred).collect()
    }
}
