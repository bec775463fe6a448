//! The session stores of rustls that are compared.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use sessile::{Context, Handshake, Secret, Session};
use sessile_redis::{Tier, TierBuilder, TierStats, Uses, peek_offer};
use sessile_rustls::{ServerStore, is_tls12};
use tokio::net::TcpStream;

use crate::backend::{Errand, Identity, Kind, Preparation, SITE, Store, filler_ids};
use crate::driver::{Load, WORKERS};
use crate::figures::{Figures, Timing};
use crate::server::{Acceptor, Tls};
use crate::timed::{Calls, Timed, TimedAcceptor};

/// One store under test: what rustls talks to, and where the figures come from afterwards.
pub(crate) struct RustlsStore {
    capacity: usize,
    timed: Arc<Timed>,
    own: Own,
    tier: Option<Tier<Secret>>,
    /// How long a connection waits for its ClientHello, and then for the second tier.
    tier_budget: Duration,
}

/// What a store can tell about itself.
enum Own {
    Sessile(ServerStore),
    Rustls,
    Moka(Arc<MokaStore>),
}

/// The capacity of the store that a `ServerConfig` of rustls has by default.
const RUSTLS_DEFAULT: usize = 256;

/// Without an answer for so long the tier is down: what a tier has unless it is set.
const LEAST_RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Length of what fills a store: that of the sessions that come. Shorter or longer ones would make
/// room in memory that Sessile does not use for these, so that all of theirs would be new.
const FILLER_BYTES: usize = 81;

/// Seconds by which an errand dates sessions back: more than any of them lives.
const LONG_AGO: Duration = Duration::from_secs(1_000_000);

impl RustlsStore {
    /// If it is to be full, it holds sessions of clients that never come back.
    pub(crate) fn new(kind: Kind, capacity: usize, is_full: bool) -> Result<Self> {
        let capacity = if kind == Kind::RustlsDefault { RUSTLS_DEFAULT } else { capacity };
        let (own, sessions): (Own, Arc<dyn StoresServerSessions>) = match kind {
            Kind::Libssl => bail!("{kind} is no store of rustls"),
            Kind::Sessile => {
                let store = ServerStore::new(capacity)?;
                let sessions = store.for_context(Context::digest(SITE));
                (Own::Sessile(store), sessions)
            }
            Kind::RustlsDefault | Kind::Rustls => {
                (Own::Rustls, ServerSessionMemoryCache::new(capacity))
            }
            Kind::Moka | Kind::MokaLru => {
                let store = Arc::new(MokaStore::new(kind, capacity));
                (Own::Moka(Arc::clone(&store)), store)
            }
        };
        if is_full {
            for key in filler_ids().take(capacity) {
                sessions.put(key.to_vec(), vec![0; FILLER_BYTES]);
            }
        }
        if let Own::Moka(store) = &own {
            store.settle();
        }
        Ok(Self {
            capacity,
            timed: Arc::new(Timed::new(sessions)?),
            own,
            tier: None,
            tier_budget: Duration::ZERO,
        })
    }

    /// Puts a second tier behind the store, if it is Sessile.
    pub(crate) fn attach(
        &mut self,
        tier: TierBuilder<Secret>,
        address: &str,
        budget: Duration,
    ) -> Result<()> {
        let Own::Sessile(store) = &self.own else { bail!("a second tier is for Sessile") };
        let tier = tier
            .uses(|session| if is_tls12(session) { Uses::Many } else { Uses::Once })
            .response_timeout(budget.max(LEAST_RESPONSE_TIMEOUT))
            .attach(store.cache(), address)?;
        (self.tier, self.tier_budget) = (Some(tier), budget);
        Ok(())
    }

    /// What the second tier did.
    pub(crate) fn tier_stats(&self) -> Option<TierStats> {
        self.tier.as_ref().map(Tier::stats)
    }

    /// What rustls asked of the store.
    pub(crate) fn calls(&self) -> Calls {
        self.timed.calls().clone()
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
        let timed = match &self.own {
            Own::Sessile(store) if site != SITE => {
                config.session_storage = store.for_context(Context::digest(site));
                None
            }
            _ => Some(Arc::clone(&self.timed)),
        };
        Ok(Acceptor::Rustls(TimedAcceptor { config: Arc::new(config), timed }))
    }

    /// Fetches what the client offers.
    fn prepare<'a>(&'a self, tcp: &'a TcpStream) -> Preparation<'a> {
        Box::pin(async {
            let Some(tier) = &self.tier else { return };
            if let Some(offer) = peek_offer(tcp, self.tier_budget).await {
                tier.prefetch(Context::digest(SITE), &offer, self.tier_budget).await;
            }
        })
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
                    let copy = builder.protocol(old.protocol()).build_bytes(&old);
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
        Ok(Timing::of(&calls.handshakes, calls.total_nanoseconds, each * WORKERS as u64))
    }

    fn figures(&self) -> Figures {
        let calls = self.calls();
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

    /// Does the work that moka has put off.
    fn settle(&self) {
        self.0.run_pending_tasks();
    }

    fn len(&self) -> u64 {
        self.settle();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::crew::{Crew, Until};
    use crate::server::{Server, bind};
    use indicatif::ProgressBar;
    use std::sync::atomic::AtomicBool;

    #[tokio::test]
    async fn what_fills_a_store_is_as_long_as_the_sessions_that_come() {
        let load = Load {
            backend: Backend::Rustls,
            seconds: 1,
            clients: WORKERS,
            capacity: 64,
            is_full: false,
            seed: 1,
            is_stopped: Arc::new(AtomicBool::new(false)),
        };
        for tls in [Tls::V1_2, Tls::V1_3] {
            let store = Arc::new(RustlsStore::new(Kind::Sessile, load.capacity, false).unwrap());
            let (listener, identity) = (bind(("127.0.0.1", 0)).unwrap(), Identity::new().unwrap());
            let served: Arc<dyn Store> = Arc::clone(&store) as _;
            let server = Server::start(listener, served, &identity, &[tls], SITE).unwrap();
            let mut crew = Crew::new(&load, tls, &[server.address], &identity.certificate).unwrap();
            crew.work(Until::Handshakes(2), &ProgressBar::hidden()).await.unwrap();
            let Own::Sessile(own) = &store.own else { unreachable!("it was built") };
            let lengths: Vec<_> = own.cache().iter().map(|session| session.len()).collect();
            assert!(!lengths.is_empty(), "nobody came");
            assert!(lengths.iter().all(|&length| length == FILLER_BYTES), "{tls:?}: {lengths:?}");
        }
    }
}
