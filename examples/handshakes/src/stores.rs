//! The session stores that are compared, and a decorator that times any of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use hdrhistogram::Histogram;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use serde::Serialize;
use sessile::{Context, Handshake};
use sessile_rustls::ServerStore;

/// Longer calls are counted as this long in the quantiles.
const LONGEST_NANOSECONDS: u64 = 60_000_000_000;

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Sessile,
    Rustls,
    Moka,
    MokaLru,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sessile => "sessile",
            Self::Rustls => "rustls",
            Self::Moka => "moka",
            Self::MokaLru => "moka-lru",
        })
    }
}

/// One store under test: what rustls talks to, and where the figures come from afterwards.
pub(crate) struct Store {
    capacity: usize,
    timed: Arc<Timed>,
    own: Own,
}

/// What a store can tell about itself.
enum Own {
    Sessile(ServerStore),
    Rustls,
    Moka(Arc<MokaStore>),
}

impl Store {
    pub(crate) fn new(kind: Kind, capacity: usize) -> Result<Self> {
        let (own, sessions): (Own, Arc<dyn StoresServerSessions>) = match kind {
            Kind::Sessile => {
                let store = ServerStore::new(capacity)?;
                let sessions = store.for_context(Context::digest(["localhost", "no client certificate"]));
                (Own::Sessile(store), sessions)
            }
            Kind::Rustls => (Own::Rustls, ServerSessionMemoryCache::new(capacity)),
            Kind::Moka | Kind::MokaLru => {
                let store = Arc::new(MokaStore::new(kind, capacity));
                (Own::Moka(Arc::clone(&store)), store)
            }
        };
        Ok(Self { capacity, timed: Arc::new(Timed::new(sessions)?), own })
    }

    /// For [`rustls::ServerConfig::session_storage`].
    pub(crate) fn sessions(&self) -> Arc<dyn StoresServerSessions> {
        Arc::<Timed>::clone(&self.timed)
    }

    /// Tells stores that count handshakes about one.
    pub(crate) fn record(&self, event: Handshake) {
        if let Own::Sessile(store) = &self.own {
            store.cache().record(event);
        }
    }

    /// Nanoseconds spent in the store's calls, over all threads.
    pub(crate) fn total_nanoseconds(&self) -> u64 {
        self.timed.calls().total_nanoseconds
    }

    /// Nanoseconds within which this share of the calls came back.
    pub(crate) fn call_nanoseconds(&self, quantile: f64) -> u64 {
        self.timed.calls().nanoseconds.value_at_quantile(quantile)
    }

    pub(crate) fn figures(&self) -> Figures {
        let calls = self.timed.calls().clone();
        let own = match &self.own {
            Own::Sessile(store) => Some(store.stats()),
            Own::Rustls | Own::Moka(_) => None,
        };
        let sessions = match &self.own {
            Own::Moka(store) => Some(store.len()),
            Own::Sessile(_) | Own::Rustls => own.as_ref().map(|stats| stats.number),
        };
        Figures {
            capacity: self.capacity,
            puts: calls.puts,
            refused: calls.refused,
            lookups: calls.lookups,
            hits: calls.hits,
            sessions,
            taken: own.as_ref().map(|stats| stats.taken),
            evicted: own.as_ref().map(|stats| stats.evicted),
            expired: own.as_ref().map(|stats| stats.expired),
            context_misses: own.as_ref().map(|stats| stats.context_misses),
            accepted: own.as_ref().map(|stats| stats.accept),
            accepted_good: own.as_ref().map(|stats| stats.accept_good),
            garbage_sessions: own.as_ref().map(|stats| stats.garbage.sessions),
            garbage_bytes: own.as_ref().map(|stats| stats.garbage.bytes),
        }
    }
}

/// Counters of one run. The first five are taken outside the store, the rest only where a store has them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) capacity: usize,
    pub(crate) puts: u64,
    pub(crate) refused: u64,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sessions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evicted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expired: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context_misses: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted_good: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) garbage_sessions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) garbage_bytes: Option<u64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = [
            ("puts", Some(self.puts)),
            ("refused", Some(self.refused)),
            ("lookups", Some(self.lookups)),
            ("hits", Some(self.hits)),
            ("sessions", self.sessions),
            ("taken", self.taken),
            ("evicted", self.evicted),
            ("expired", self.expired),
            ("context misses", self.context_misses),
            ("accepted", self.accepted),
            ("accepted good", self.accepted_good),
            ("garbage sessions", self.garbage_sessions),
            ("garbage bytes", self.garbage_bytes),
        ];
        write!(f, "capacity {}", self.capacity)?;
        counted.iter().try_for_each(|(name, count)| match count {
            Some(count) => write!(f, ", {name} {count}"),
            None => Ok(()),
        })
    }
}

/// Times and counts the calls to any store. Two clock readings are part of each time, some 50 ns, and so is the
/// wait of a thread that loses its processor in a call.
#[derive(Debug)]
struct Timed {
    inner: Arc<dyn StoresServerSessions>,
    calls: Mutex<Calls>,
}

/// What was measured so far.
#[derive(Clone, Debug)]
struct Calls {
    nanoseconds: Histogram<u64>,
    total_nanoseconds: u64,
    puts: u64,
    refused: u64,
    lookups: u64,
    hits: u64,
}

impl Timed {
    fn new(inner: Arc<dyn StoresServerSessions>) -> Result<Self> {
        let nanoseconds = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3)?;
        let calls = Calls { nanoseconds, total_nanoseconds: 0, puts: 0, refused: 0, lookups: 0, hits: 0 };
        Ok(Self { inner, calls: Mutex::new(calls) })
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call, then notes it; the notes are no part of the time.
    fn time<R>(
        &self,
        call: impl FnOnce(&dyn StoresServerSessions) -> R,
        note: impl FnOnce(&mut Calls, &R),
    ) -> R {
        let start = Instant::now();
        let answer = call(&*self.inner);
        let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut calls = self.calls();
        calls.nanoseconds.saturating_record(spent);
        calls.total_nanoseconds += spent;
        note(&mut calls, &answer);
        answer
    }

    fn lookup(&self, call: impl FnOnce(&dyn StoresServerSessions) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.time(call, |calls, found| {
            calls.lookups += 1;
            calls.hits += u64::from(found.is_some());
        })
    }
}

impl StoresServerSessions for Timed {
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
        self.inner.can_cache()
    }
}

/// What one writes on an afternoon: moka behind the trait.
struct MokaStore(moka::sync::Cache<Vec<u8>, Vec<u8>>);

impl MokaStore {
    fn new(kind: Kind, capacity: usize) -> Self {
        let policy = match kind {
            Kind::MokaLru => moka::policy::EvictionPolicy::lru(),
            _ => moka::policy::EvictionPolicy::tiny_lfu(),
        };
        let capacity = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self(moka::sync::Cache::builder().max_capacity(capacity).eviction_policy(policy).build())
    }

    fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }
}

impl fmt::Debug for MokaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MokaStore").finish_non_exhaustive()
    }
}

impl StoresServerSessions for MokaStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.insert(key, value);
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.remove(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
