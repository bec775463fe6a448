//! A decorator that times and counts what rustls asks of any store, by handshake.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use hdrhistogram::Histogram;
use rustls::ServerConfig;
use rustls::server::StoresServerSessions;
use tokio_rustls::TlsAcceptor;

use crate::figures::LONGEST_NANOSECONDS;

/// Gives each connection a view of the store that adds up what its calls took.
#[derive(Clone)]
pub(crate) struct TimedAcceptor {
    pub(crate) config: Arc<ServerConfig>,
    /// Without it the configuration's own store is asked, unmeasured.
    pub(crate) timed: Option<Arc<Timed>>,
}

impl TimedAcceptor {
    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let Some(timed) = &self.timed else { return Arc::clone(&self.config).into() };
        let mut config = ServerConfig::clone(&self.config);
        let spent_nanoseconds = AtomicU64::new(0);
        config.session_storage = Arc::new(Visit { timed: Arc::clone(timed), spent_nanoseconds });
        Arc::new(config).into()
    }
}

/// A store and what its calls took. Two clock readings are part of each call's time, some 50 ns,
/// and so is the wait of a thread that loses its processor in a call.
#[derive(Debug)]
pub(crate) struct Timed {
    inner: Arc<dyn StoresServerSessions>,
    calls: Mutex<Calls>,
}

/// What was measured so far.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    /// Nanoseconds of all calls of a handshake.
    pub(crate) handshakes: Histogram<u64>,
    pub(crate) total_nanoseconds: u64,
    pub(crate) puts: u64,
    pub(crate) refused: u64,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
}

impl Timed {
    pub(crate) fn new(inner: Arc<dyn StoresServerSessions>) -> Result<Self> {
        let handshakes = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3)?;
        let calls =
            Calls { handshakes, total_nanoseconds: 0, puts: 0, refused: 0, lookups: 0, hits: 0 };
        Ok(Self { inner, calls: Mutex::new(calls) })
    }

    pub(crate) fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store as one connection sees it.
#[derive(Debug)]
struct Visit {
    timed: Arc<Timed>,
    spent_nanoseconds: AtomicU64,
}

impl Visit {
    /// Makes a call, then notes it; the notes are no part of the time.
    fn time<R>(
        &self,
        call: impl FnOnce(&dyn StoresServerSessions) -> R,
        note: impl FnOnce(&mut Calls, &R),
    ) -> R {
        let start = Instant::now();
        let answer = call(&*self.timed.inner);
        let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // ORDERING: Relaxed: one connection's calls are made by one task.
        self.spent_nanoseconds.fetch_add(spent, Ordering::Relaxed);
        let mut calls = self.timed.calls();
        calls.total_nanoseconds += spent;
        note(&mut calls, &answer);
        answer
    }

    fn lookup(
        &self,
        call: impl FnOnce(&dyn StoresServerSessions) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        self.time(call, |calls, found| {
            calls.lookups += 1;
            calls.hits += u64::from(found.is_some());
        })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let spent = *self.spent_nanoseconds.get_mut();
        if spent > 0 {
            self.timed.calls().handshakes.saturating_record(spent);
        }
    }
}

impl StoresServerSessions for Visit {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.time(
            |inner| inner.put(key, value),
            |calls, stored| {
                calls.puts += 1;
                calls.refused += u64::from(!stored);
            },
        )
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lookup(|inner| inner.get(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lookup(|inner| inner.take(key))
    }

    fn can_cache(&self) -> bool {
        self.timed.inner.can_cache()
    }
}
