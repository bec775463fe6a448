//! What is asked of a thread, and what it did.

use crate::throttle::Throttle;
use crate::workloads::Kernel;
use hdrhistogram::Histogram;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// One run of all threads over one store.
#[derive(Clone)]
pub struct Job {
    /// What to do.
    pub kernel: Kernel,
    /// The sessions that the store holds.
    pub capacity: u64,
    /// The threads.
    pub threads: u64,
    /// Sessions (pairs of sessions under `Tls13`) that each thread has added before.
    pub first: u64,
    /// Operations for each thread.
    pub ops: u64,
    /// Of the random numbers.
    pub seed: u64,
    /// The clients of the zipf lookups, see `workloads::popularity`.
    pub popularity: Arc<[u32]>,
    /// Keeps the threads together.
    pub throttle: Arc<Throttle>,
}

/// What one thread did in one run.
#[derive(Clone, Default)]
pub struct Sample {
    /// Without the time that the thread was kept from its processor.
    pub nanos: u64,
    /// The time that it was kept from it.
    pub delayed_nanos: u64,
    /// Operations.
    pub ops: u64,
    /// Lookups and takes.
    pub lookups: u64,
    /// Those that found their session.
    pub hits: u64,
    /// Of the single operations, where the kernel takes their time.
    pub latency: Option<Histogram<u64>>,
}

/// How long the calling thread could have run and was not let, since it started. Zero where the
/// system does not tell.
pub(crate) fn time_delayed() -> Duration {
    let delayed = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    };
    Duration::from_nanos(delayed().unwrap_or(0))
}
