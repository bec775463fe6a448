//! A store without its type, and what is asked of it.

use crate::allocator::bytes_kept;
use crate::traces::{Event, HitCount};
use std::sync::Arc;
use stores::ids::Id;
use stores::store::{Lifetime, Store, Value};
use stores::workloads;
use stores::{Job, Sample};

/// What a candidate is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sessile as it comes.
    Subject,
    /// Sessile in another setting: in the traces only.
    Variant,
    /// A real store.
    Peer,
    /// A direct-index table that does what a store must: protect what it returns, free what it
    /// removes.
    Floor,
    /// The same without a count on what it returns.
    UncountedFloor,
    /// Memory alone; lookups only.
    LookupFloor,
    /// The cost of the measurement.
    Harness,
}

/// How a store starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Prepared for its capacity.
    Sized,
    /// As small as it can be.
    Growing,
}

/// A store that takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// See [`Store::EVICTS`].
    pub(crate) evicts: bool,
    /// See [`Store::SEARCHES`].
    pub(crate) searches: bool,
    /// Whether it can sweep.
    pub(crate) flushes: fn() -> bool,
    build: fn(usize, Start) -> Arc<dyn DynStore>,
}

impl Candidate {
    pub(crate) fn new<S: Store>(name: &'static str, role: Role) -> Self {
        let build = |capacity, start| -> Arc<dyn DynStore> {
            match start {
                Start::Sized => Arc::new(S::with_capacity(capacity)),
                Start::Growing => Arc::new(S::growing(capacity)),
            }
        };
        let flushes = || S::with_capacity(64).flush(0).is_some();
        Self { name, role, evicts: S::EVICTS, searches: S::SEARCHES, flushes, build }
    }

    /// An empty store.
    pub(crate) fn build(&self, capacity: usize, start: Start) -> Arc<dyn DynStore> {
        (self.build)(capacity, start)
    }
}

/// A store that runs are run on.
pub(crate) trait DynStore: Send + Sync {
    fn run(&self, job: &Job, thread: u64) -> Sample;

    /// Replays a trace from one thread.
    fn replay(&self, trace: &[Event]) -> HitCount;

    /// Adds the sessions with the numbers below `capacity`.
    fn fill(&self, capacity: u64);

    fn stored(&self) -> Option<usize>;

    /// The bytes that a session of its kind asks for; those of Sessile have theirs from chunks.
    fn session_bytes(&self) -> i64;
}

impl<S: Store> DynStore for S {
    fn run(&self, job: &Job, thread: u64) -> Sample {
        workloads::run(self, job, thread)
    }

    fn replay(&self, trace: &[Event]) -> HitCount {
        crate::traces::replay(self, trace)
    }

    fn fill(&self, capacity: u64) {
        workloads::fill(self, capacity);
    }

    fn stored(&self) -> Option<usize> {
        Store::stored(self)
    }

    fn session_bytes(&self) -> i64 {
        bytes_kept(|| S::Value::make(&Id::of(0), Lifetime::Unset)).1
    }
}
