//! Threads that race, watch and disturb.
#![forbid(unsafe_code)]

use std::hint::spin_loop;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle, yield_now};

const SPINS_PER_YIELD: u32 = 128;

const DISTURBANCES_PER_TURN: u32 = 16;

/// Runs `f` on so many threads, which start together; returns what they return in order.
///
/// # Panics
/// When a thread panics.
pub fn race<R: Send>(threads: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let run = |thread| {
            barrier.wait();
            f(thread)
        };
        ended((0..threads).map(|thread| scope.spawn(move || run(thread))).collect())
    })
}

/// Waits for threads to the end of their teardown, in which they pin for the last time. A scope
/// alone does not. Returns what they returned; a panic goes on here.
pub fn ended<R>(threads: Vec<ScopedJoinHandle<'_, R>>) -> Vec<R> {
    let join =
        |one: ScopedJoinHandle<'_, R>| one.join().unwrap_or_else(|panic| resume_unwind(panic));
    threads.into_iter().map(join).collect()
}

/// Waits without sleeping, since sleep would take microseconds to end. Yields now and then: there
/// may be more threads than cores.
pub fn spin_until(is_over: impl Fn() -> bool) {
    let mut spins = 0_u32;
    while !is_over() {
        spins += 1;
        if spins.is_multiple_of(SPINS_PER_YIELD) { yield_now() } else { spin_loop() }
    }
}

/// Where threads meet, to leave together within a few dozen nanoseconds: they spin.
#[derive(Debug)]
pub struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    is_broken: AtomicBool,
}

/// One of the threads that meet. When it panics the others do not wait for it.
#[derive(Debug)]
pub struct Member<'g>(&'g Gate);

impl Gate {
    /// A gate for so many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), is_broken: AtomicBool::new(false) }
    }

    /// One of its threads.
    pub fn member(&self) -> Member<'_> {
        Member(self)
    }
}

impl Member<'_> {
    /// Waits for all threads to come to their `round`th meeting, counted from 0. False when one
    /// never will.
    #[must_use]
    pub fn meet(&self, round: usize) -> bool {
        let gate = self.0;
        gate.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (round + 1) * gate.threads;
        let is_complete = || gate.arrived.load(Ordering::Acquire) >= all;
        spin_until(|| is_complete() || gate.is_broken.load(Ordering::Relaxed));
        is_complete()
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.is_broken.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs `look` over and over on a thread of its own while `work` runs, once at least.
///
/// # Panics
/// When one of the two does.
pub fn watched<R>(look: impl Fn() + Sync, work: impl FnOnce() -> R) -> R {
    let watch = |_, done: &AtomicBool| {
        look();
        while !done.load(Ordering::Acquire) {
            look();
        }
    };
    beside(1, watch, work)
}

/// Runs `work` while other threads run `disturb` over and over, each with its own random numbers.
/// They have begun by then.
///
/// # Panics
/// When one of them does.
pub fn disturbed<R>(
    threads: u64,
    disturb: impl Fn(&mut fastrand::Rng) + Sync,
    work: impl FnOnce() -> R,
) -> R {
    let begun = Barrier::new(threads as usize + 1);
    let run = |seed, done: &AtomicBool| {
        let mut random = fastrand::Rng::with_seed(seed);
        begun.wait();
        while !done.load(Ordering::Acquire) {
            (0..DISTURBANCES_PER_TURN).for_each(|_| disturb(&mut random));
            // Few processors: what is disturbed must get its turn, too.
            yield_now();
        }
    };
    beside(threads, run, || {
        begun.wait();
        work()
    })
}

/// Runs `work` while other threads run until they are told that it is done.
fn beside<R>(threads: u64, run: impl Fn(u64, &AtomicBool) + Sync, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (done, run) = (&done, &run);
        let others = (0..threads).map(|thread| scope.spawn(move || run(thread, done))).collect();
        let end = End(done);
        let result = work();
        drop(end);
        ended(others);
        result
    })
}

/// Says that the work is done, even if it ends in a panic.
#[derive(Debug)]
pub struct End<'d>(pub &'d AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
