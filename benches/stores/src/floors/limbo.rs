//! Deferred freeing for the floors: a private collector, and per thread a registration and a queue
//! of the dead.
//!
//! Sound by crossbeam's contract alone: a function deferred at some time runs after every guard of
//! the collector that was active then is gone. An object is queued after its unlinking and before
//! the deferral that covers it.

use super::Plain;
use crossbeam_epoch::{Collector, Guard, LocalHandle};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc as Shared, Mutex};
use triomphe::Arc;

/// Retirements that one deferral covers.
const BATCH: u64 = 64;
/// Above this many ripe objects a retirement frees two.
const BACKLOG: u64 = 256;

/// The owner of every thread's queue.
pub(super) struct Limbo {
    serial: u64,
    collector: Collector,
    queues: Mutex<Vec<Shared<Queue>>>,
}

/// The dead of one thread, oldest first, and up to which index they are ripe.
struct Queue {
    dead: RefCell<VecDeque<*const Plain>>,
    popped: Cell<u64>,
    sealed: Cell<u64>,
    ripe: Shared<AtomicU64>,
}

// SAFETY: the cells are touched by the thread that registered the queue, and by the drop of the
// limbo, which has exclusive access to a store that no thread uses any more.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

/// A thread's registration.
struct Lease {
    handle: LocalHandle,
    queue: Shared<Queue>,
}

thread_local! {
    static CURRENT: Cell<(u64, *const Lease)> = const { Cell::new((0, ptr::null())) };
    static LEASES: RefCell<HashMap<u64, Box<Lease>>> = RefCell::default();
}

impl Limbo {
    pub(super) fn new() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        // ORDERING: Relaxed: only uniqueness matters.
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self { serial, collector: Collector::new(), queues: Mutex::default() }
    }

    /// Pins this thread.
    #[inline]
    pub(super) fn pin(&self) -> Pin<'_> {
        let (serial, lease) = CURRENT.get();
        let lease = if serial == self.serial { lease } else { self.select() };
        // SAFETY: leases are boxed and stay in `LEASES` until their thread ends.
        let lease: &Lease = unsafe { &*lease };
        Pin { guard: lease.handle.pin(), queue: &lease.queue }
    }

    #[cold]
    fn select(&self) -> *const Lease {
        LEASES.with_borrow_mut(|leases| {
            let lease: *const Lease =
                &raw const **leases.entry(self.serial).or_insert_with(|| self.lease());
            CURRENT.set((self.serial, lease));
            lease
        })
    }

    fn lease(&self) -> Box<Lease> {
        let queue = Shared::new(Queue {
            dead: RefCell::default(),
            popped: Cell::new(0),
            sealed: Cell::new(0),
            ripe: Shared::default(),
        });
        self.queues.lock().expect("no panic inside").push(Shared::clone(&queue));
        Box::new(Lease { handle: self.collector.register(), queue })
    }
}

impl Drop for Limbo {
    fn drop(&mut self) {
        for queue in self.queues.get_mut().expect("no panic inside") {
            for dead in queue.dead.take() {
                // SAFETY: nobody uses the store any more, and the queue owns one count of each
                // object in it.
                drop(unsafe { Arc::from_raw(dead) });
            }
        }
    }
}

/// An active guard with the queue of its thread.
pub(super) struct Pin<'l> {
    guard: Guard,
    queue: &'l Queue,
}

impl Pin<'_> {
    /// Puts an object to crossbeam's own queue.
    ///
    /// # Safety
    /// `dead` is unlinked, and its table's count becomes the collector's.
    pub(super) unsafe fn defer(&self, dead: *const Plain) {
        // SAFETY: passed on; the function runs when no reader is left.
        unsafe { self.guard.defer_unchecked(move || drop(Arc::from_raw(dead))) };
    }

    /// Queues an object and frees one that is ripe.
    ///
    /// # Safety
    /// As [`defer`](Self::defer).
    pub(super) unsafe fn retire(&self, dead: *const Plain) {
        let queue = self.queue;
        queue.dead.borrow_mut().push_back(dead);
        let end = queue.popped.get() + queue.dead.borrow().len() as u64;
        if end - queue.sealed.get() >= BATCH {
            queue.sealed.set(end);
            let ripe = Shared::clone(&queue.ripe);
            // ORDERING: Release: the ended guards happen before the frees; pairs with the load
            // below.
            self.guard.defer(move || ripe.fetch_max(end, Ordering::Release));
            self.guard.flush();
        }
        // ORDERING: Acquire: pairs with the Release above.
        let ripe = queue.ripe.load(Ordering::Acquire);
        let backlog = ripe.saturating_sub(queue.popped.get());
        let quota = if backlog > BACKLOG { 2 } else { backlog.min(1) };
        for _ in 0..quota {
            let Some(dead) = queue.dead.borrow_mut().pop_front() else { break };
            queue.popped.set(queue.popped.get() + 1);
            // SAFETY: ripe: every guard that could have seen it is gone, and the queue owns a
            // count.
            drop(unsafe { Arc::from_raw(dead) });
        }
    }
}
