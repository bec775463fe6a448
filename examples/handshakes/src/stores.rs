//! The session stores of rustls that are compared, and a decorator that times any of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use sessile::{Context, Handshake, Secret, Session};
use sessile_rustls::ServerStore;
use tokio_rustls::TlsAcceptor;

use crate::backend::{Errand, Identity, Kind, SITE, Store};
use crate::driver::{Load, WORKERS};
use crate::figures::{Figures, LONGEST_NANOSECONDS, Timing};
use crate::server::{Acceptor, Tls};

/// One store under test: what rustls talks to, and where the figures come from afterwards.
pub(crate) struct RustlsStore {
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

/// Seconds by which an errand dates sessions back: more than any of them lives.
const LONG_AGO: Duration = Duration::from_secs(1_000_000);

impl RustlsStore {
    pub(crate) fn new(kind: Kind, capacity: usize) -> Result<Self> {
        let (own, sessions): (Own, Arc<dyn StoresServerSessions>) = match kind {
            Kind::Libssl => bail!("{kind} is no store of rustls"),
            Kind::Sessile => {
                let store = ServerStore::new(capacity)?;
                let sessions = store.for_context(Context::digest(SITE));
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
}

impl Store for RustlsStore {
    /// Stores other than Sessile know no sites.
    fn acceptor(&self, identity: &Identity, versions: &[Tls], site: [&str; 2]) -> Result<Acceptor> {
        let versions: Vec<_> = versions.iter().map(|tls| tls.version()).collect();
        let key = PrivatePkcs8KeyDer::from(identity.key.clone());
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.clone()], key.into())?;
        config.session_storage = match &self.own {
            Own::Sessile(store) if site != SITE => store.for_context(Context::digest(site)),
            _ => Arc::<Timed>::clone(&self.timed),
        };
        Ok(Acceptor::Rustls(TlsAcceptor::from(Arc::new(config))))
    }

    fn run(&self, errand: Errand) {
        let Own::Sessile(store) = &self.own else { return };
        let cache = store.cache();
        match errand {
            Errand::Forget => _ = cache.clear(),
            Errand::Expire => {
                for session in cache.iter() {
                    let created = session.created_at().unwrap_or_default();
                    session.set_created_at(created - LONG_AGO);
                }
            }
            Errand::Replace => {
                for old in cache.iter() {
                    let builder = Session::<Secret>::builder(old.id()).context(old.context());
                    let copy = builder.protocol(old.protocol()).build(Secret::from(old.to_vec()));
                    // One that was taken meanwhile comes back; nobody offers it again.
                    let _ = cache.add(copy);
                }
            }
        }
    }

    fn record(&self, event: Handshake) {
        if let Own::Sessile(store) = &self.own {
            store.cache().record(event);
        }
    }

    /// Measured in the run itself.
    fn timing(&self, _load: &Load, _tls: Tls, each: u64) -> Result<Timing> {
        let calls = self.timed.calls();
        Ok(Timing::of(&calls.nanoseconds, calls.total_nanoseconds, each * WORKERS as u64))
    }

    fn figures(&self) -> Figures {
        let calls = self.timed.calls().clone();
        let own = match &self.own {
            Own::Sessile(store) => Some(store.stats()),
            Own::Rustls | Own::Moka(_) => None,
        };
        let sessions = match &self.own {
            Own::Moka(store) => Some(store.len()),
            Own::Sessile(_) | Own::Rustls => own.as_ref().map(|stats| stats.number),
        };
        let mut figures = own.as_ref().map_or_else(Figures::default, Figures::of_sessile);
        figures.capacity = self.capacity;
        figures.puts = calls.puts;
        figures.refused = calls.refused;
        figures.lookups = calls.lookups;
        figures.hits = calls.hits;
        figures.sessions = sessions;
        figures
    }
}

/// Times and counts the calls to any store. Two clock readings are part of each time, some 50 ns,
/// and so is the wait of a thread that loses its processor in a call.
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
        let calls =
            Calls { nanoseconds, total_nanoseconds: 0, puts: 0, refused: 0, lookups: 0, hits: 0 };
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
