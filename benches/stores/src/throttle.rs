//! Keeps threads together.
//!
//! A thread that loses its processor to somebody else would fall behind by thousands of sessions,
//! and what the others look up of it would not exist yet. Threads therefore publish now and then
//! how far they are, and whoever is too far ahead waits, which does not count as time of the store.

use crossbeam_utils::CachePadded;
use quanta::Instant;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How far each thread is in one run.
pub struct Throttle {
    done: Box<[CachePadded<AtomicU64>]>,
    is_over: AtomicBool,
}

impl Throttle {
    /// For so many threads, none of which has begun.
    pub fn new(threads: u64) -> Self {
        Self {
            done: (0..threads).map(|_| CachePadded::default()).collect(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Publishes that `thread` has done `done` operations, and waits while another one is more than
    /// `lead` behind.
    pub fn wait(&self, thread: u64, done: u64, lead: u64) -> Duration {
        // ORDERING: Relaxed: a hint, it publishes nothing.
        self.done[thread as usize].store(done, Ordering::Relaxed);
        let is_ahead = || {
            self.done.iter().any(|other| other.load(Ordering::Relaxed).saturating_add(lead) < done)
        };
        if !is_ahead() {
            return Duration::ZERO;
        }
        let start = Instant::now();
        while is_ahead() {
            spin_loop();
            std::thread::yield_now();
        }
        start.elapsed()
    }

    /// Tells the other threads that what they accompany has ended.
    pub fn end(&self) {
        // ORDERING: Relaxed: a hint.
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub fn is_over(&self) -> bool {
        // ORDERING: Relaxed: a hint.
        self.is_over.load(Ordering::Relaxed)
    }
}
