//! The threads that do the work, and the distance between them.

use crate::dyn_store::DynStore;
use quanta::Instant;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use stores::{Job, Sample};

type Task = Arc<dyn Fn(u64) -> Sample + Send + Sync>;

/// Persistent threads, each on a processor of its own where there are enough.
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

struct Worker {
    /// Taken when the workers are dismissed.
    tasks: Option<Sender<Task>>,
    samples: Receiver<Sample>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn new(threads: usize) -> Self {
        let processors = core_affinity::get_core_ids().unwrap_or_default();
        // One thread goes where the scheduler finds room; several must not share a processor.
        let pins = threads > 1 && threads <= processors.len();
        let workers = (0..threads).map(|thread| {
            let processor = pins.then(|| processors[thread]);
            Worker::hire(thread as u64, processor)
        });
        Self { workers: workers.collect() }
    }

    pub(crate) fn threads(&self) -> u64 {
        self.workers.len() as u64
    }

    /// Whether there are more threads than processors.
    pub(crate) fn is_oversubscribed(&self) -> bool {
        thread::available_parallelism()
            .is_ok_and(|processors| self.workers.len() > processors.get())
    }

    /// Runs a job on all threads, started together.
    pub(crate) fn run(&self, store: &Arc<dyn DynStore>, job: Job) -> Vec<Sample> {
        let store = Arc::clone(store);
        self.run_task(move |thread| store.run(&job, thread))
    }

    fn run_task(&self, work: impl Fn(u64) -> Sample + Send + Sync + 'static) -> Vec<Sample> {
        let threads = self.workers.len();
        let arrived = AtomicUsize::new(0);
        let task: Task = Arc::new(move |thread| {
            // ORDERING: Relaxed: a gate, it publishes nothing.
            arrived.fetch_add(1, Ordering::Relaxed);
            let mut spins = 0_u32;
            while arrived.load(Ordering::Relaxed) < threads {
                spins += 1;
                if spins.is_multiple_of(1024) { thread::yield_now() } else { spin_loop() }
            }
            work(thread)
        });
        for worker in &self.workers {
            let sent = worker.tasks.as_ref().map(|tasks| tasks.send(Arc::clone(&task)));
            assert!(matches!(sent, Some(Ok(()))), "a worker lives as long as all");
        }
        self.workers.iter().map(|worker| worker.samples.recv().expect("no run panics")).collect()
    }

    /// The median round trip of a cache line between the first two threads, in nanoseconds.
    pub(crate) fn round_trip_nanos(&self) -> Option<f64> {
        const TRIPS: u64 = 500;
        const BATCHES: u64 = 15;
        if self.workers.len() < 2 || self.is_oversubscribed() {
            return None;
        }
        let ball = AtomicU64::new(0);
        let samples = self.run_task(move |thread| {
            let mut batches = Vec::new();
            for batch in 0..BATCHES {
                let start = Instant::now();
                for trip in batch * TRIPS..(batch + 1) * TRIPS {
                    match thread {
                        0 => exchange(&ball, 2 * trip, 2 * trip + 1),
                        1 => exchange(&ball, 2 * trip + 1, 2 * trip + 2),
                        _ => {}
                    }
                }
                batches.push(start.elapsed().as_nanos() as u64);
            }
            batches.sort_unstable();
            Sample { nanos: batches[batches.len() / 2], ops: TRIPS, ..Sample::default() }
        });
        samples.first().map(|sample| sample.nanos as f64 / sample.ops as f64)
    }
}

/// Waits for `from`, answers with `to`.
fn exchange(ball: &AtomicU64, from: u64, to: u64) {
    // ORDERING: Relaxed: only the transfer of the line matters.
    while ball.load(Ordering::Relaxed) != from {
        spin_loop();
    }
    ball.store(to, Ordering::Relaxed);
}

impl Worker {
    fn hire(thread: u64, processor: Option<core_affinity::CoreId>) -> Self {
        let (tasks, inbox) = channel::<Task>();
        let (outbox, samples) = channel();
        let thread = thread::spawn(move || {
            if let Some(processor) = processor {
                core_affinity::set_for_current(processor);
            }
            for task in inbox {
                let sample = task(thread);
                // The store must not die on a worker in the middle of the next run.
                drop(task);
                if outbox.send(sample).is_err() {
                    break;
                }
            }
        });
        Self { tasks: Some(tasks), samples, thread: Some(thread) }
    }
}

impl Drop for Worker {
    /// Waits for the thread: what its thread-local storage holds back is freed before anything else
    /// is measured.
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
