//! A node: a cache and its tier.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile::{Context, Protocol, Secret, Session, SessionCache, SessionId};
use sessile_redis::hello::Offer;
use sessile_redis::{KeyRing, SealingKey, Tier, TierBuilder};

use crate::server::Server;

/// Longer than a busy machine leaves a thread without a processor.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) type Built = TierBuilder<Secret>;

/// A server that does not answer for a moment is down: for tests that stop one.
pub(crate) fn hasty(tier: Built) -> Built {
    tier.response_timeout(Duration::from_millis(200))
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(SealingKey::from([7; 32]))
}

pub(crate) struct Node {
    pub(crate) cache: Arc<SessionCache<Secret>>,
    pub(crate) tier: Tier<Secret>,
}

impl Node {
    pub(crate) fn new(server: &Server) -> Self {
        Self::with(server, 10_000, |tier| tier)
    }

    pub(crate) fn with(
        server: &Server,
        capacity: usize,
        change: impl FnOnce(Built) -> Built,
    ) -> Self {
        let cache = Arc::new(SessionCache::new(capacity).unwrap());
        let tier = change(Tier::builder(ring()).response_timeout(SOON));
        let tier = tier.attach(&cache, &server.address()).unwrap();
        let node = Self { cache, tier };
        node.wait_until_up();
        node
    }

    pub(crate) fn wait_until_up(&self) {
        wait("the tier is up", || self.tier.stats().is_up);
    }

    pub(crate) fn settle(&self) {
        assert!(self.tier.settle_blocking(SOON), "{:?}", self.tier.stats());
    }

    /// Adds a session for one use, or of TLS 1.2.
    pub(crate) fn add(&self, number: u64, protocol: Protocol) {
        self.cache.add(session(number, protocol)).unwrap();
    }

    pub(crate) fn take(&self, number: u64) -> bool {
        let view = self.cache.view(Context::NONE).protocol(Protocol::TLS1_3);
        view.take(&id(number)).is_some()
    }

    pub(crate) fn get(&self, number: u64) -> bool {
        let view = self.cache.view(Context::NONE).protocol(Protocol::TLS1_2);
        view.get(&id(number)).is_some()
    }

    /// Fetches a ticket. Whether it came.
    pub(crate) fn fetch(&self, number: u64) -> bool {
        self.fetch_within(number, SOON)
    }

    pub(crate) fn fetch_within(&self, number: u64, budget: Duration) -> bool {
        let offer = Offer { session_id: None, tickets: vec![id(number)] };
        self.tier.prefetch_in_blocking(Context::NONE, &offer, budget) == 1
    }

    /// Fetches a TLS 1.2 session. Whether it came.
    pub(crate) fn fetch_old(&self, number: u64) -> bool {
        let offer = Offer { session_id: Some(id(number)), tickets: Vec::new() };
        self.tier.prefetch_in_blocking(Context::NONE, &offer, SOON) == 1
    }
}

pub(crate) fn id(number: u64) -> SessionId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SessionId::from(bytes)
}

pub(crate) fn session(number: u64, protocol: Protocol) -> Session<Secret> {
    let payload = Secret::from(&number.to_be_bytes()[..]);
    Session::<Secret>::builder(id(number)).protocol(protocol).build(payload)
}

/// Waits for what happens in the background.
pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
