//! The tier as the program sees it.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, RedisError};
use sessile::{Context, Hooks, Protocol, Session, SessionCache, SessionId};
use tokio::sync::{mpsc, oneshot};

use crate::desk::{Desk, Inbox};
use crate::error::TierError;
use crate::hello::Offer;
use crate::hooks::{hooks_of, wait_for};
use crate::keys::KeyRing;
use crate::link::Link;
use crate::options::Options;
use crate::payload::Payload;
use crate::peers;
use crate::place::{Place, TierKey, Uses};
use crate::reader;
use crate::stats::TierStats;
use crate::waiter::Waiter;
use crate::wire::Wire;
#[cfg(feature = "cluster")]
use crate::wire::cluster::Cluster;
use crate::writer::Writer;

/// Builds a [`Tier`]: [`Tier::builder`].
#[must_use]
pub struct TierBuilder<T> {
    ring: KeyRing,
    options: Options<T>,
}

impl<T: Payload> TierBuilder<T> {
    /// What all names in the tier begin with; `sessile:` unless set. Nodes share sessions if they
    /// have the same prefix and a key.
    pub fn prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// How often a session may be resumed. Unless set: TLS 1.2 many times, everything else once.
    ///
    /// sessile-rustls stores sessions without a protocol, so it needs
    /// [`is_tls12`] here; a store that is `reusable` needs [`Uses::Many`] for all.
    ///
    /// [`is_tls12`]: https://docs.rs/sessile-rustls/latest/sessile_rustls/fn.is_tls12.html
    pub fn uses(mut self, uses: impl Fn(&Session<T>) -> Uses + Send + Sync + 'static) -> Self {
        self.options.uses = Box::new(uses);
        self
    }

    /// Whether a session for one use is resumed once over all nodes; off unless set.
    ///
    /// Relaxed (off), the node that made a session keeps it, and the tier gets a copy: the session
    /// may be resumed once by that node, and once by all others together. Strict (on), the session
    /// leaves the cache when it is written, so it lies in one place at any time, and
    /// every resumption fetches it, also one by the node that made it. While the tier is down,
    /// sessions stay in the cache of the node that made them.
    pub fn strict(mut self, is_strict: bool) -> Self {
        self.options.is_strict = is_strict;
        self
    }

    /// For servers with a thread for each connection: lets a lookup of the cache that misses wait
    /// for the tier, `budget` at most. Unless set, lookups never wait, and find in the tier what
    /// was [prefetched](Tier::prefetch).
    pub fn wait_on_miss(mut self, budget: Duration) -> Self {
        self.options.wait = Some(budget);
        self
    }

    /// By how much clocks of nodes may differ: two seconds unless set. A session that is dated in
    /// the future by no more than this is taken as made now.
    pub fn clock_tolerance(mut self, tolerance: Duration) -> Self {
        self.options.tolerance = tolerance;
        self
    }

    /// The most changes that wait to be written: 65 536 unless set, at least 1. When they are more,
    /// all that the node wrote and holds is compared with the tier afterwards.
    pub fn queue(mut self, changes: usize) -> Self {
        self.options.queue = changes.max(1);
        self
    }

    /// For how long a fetched session waits for the handshake that it was fetched for: ten seconds
    /// unless set. A session for one use is given back to the tier then.
    pub fn arrival_timeout(mut self, timeout: Duration) -> Self {
        self.options.arrival_span = timeout;
        self
    }

    /// For how long a key that the tier does not have is not asked again: one second unless set,
    /// and up to twice as long.
    pub fn negative_timeout(mut self, timeout: Duration) -> Self {
        self.options.missing_span = timeout;
        self
    }

    /// After how long without an answer the server counts as down: half a second unless set.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.options.response = timeout;
        self
    }

    /// Whether sessions for many uses are published to the other nodes, and what they publish is
    /// stored here; off unless set.
    ///
    /// A client is then resumed by any node without a question to the tier, also while the tier is
    /// down. Each cache holds the sessions of all nodes, up to its capacity. Sessions for one use
    /// are not published: each resumption asks the tier, which gives a session out once.
    pub fn publish(mut self, is_published: bool) -> Self {
        self.options.is_published = is_published;
        self
    }

    /// Makes the server at `address` (`redis://`, `redis+unix://`; `rediss://` with the feature
    /// `tls`) the second tier of a cache, and starts the thread that talks to it. The server need
    /// not be up.
    ///
    /// Replaces the hooks of the cache. One tier for a cache; the cache must not be in two.
    ///
    /// # Errors
    /// [`TierError::Address`] for an address that cannot be parsed, [`TierError::Io`] without a
    /// thread or a runtime.
    pub fn attach(self, cache: &Arc<SessionCache<T>>, address: &str) -> Result<Tier<T>, TierError> {
        self.attach_client(cache, Client::open(address).map_err(TierError::Address)?)
    }

    /// [`attach`](Self::attach) with a client of the program's own: with certificates for TLS, or
    /// credentials.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn attach_client(
        self,
        cache: &Arc<SessionCache<T>>,
        client: Client,
    ) -> Result<Tier<T>, TierError> {
        let (response, listens_to) = (self.options.response, vec![client.clone()]);
        self.start(cache, listens_to, move || Wire::single(client, response))
    }

    /// [`attach`](Self::attach) for a cluster, of which some nodes are named.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    #[cfg(feature = "cluster")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cluster")))]
    pub fn attach_cluster<A: Into<String>>(
        self,
        cache: &Arc<SessionCache<T>>,
        addresses: impl IntoIterator<Item = A>,
    ) -> Result<Tier<T>, TierError> {
        let addresses: Vec<String> = addresses.into_iter().map(Into::into).collect();
        let client = |address: &String| Client::open(address.as_str());
        let clients: Result<Vec<_>, _> = addresses.iter().map(client).collect();
        let cluster = Cluster::new(&addresses, self.options.response);
        let cluster = cluster.map_err(TierError::Address)?;
        self.start(cache, clients.map_err(TierError::Address)?, move || Ok(Wire::Cluster(cluster)))
    }

    /// Starts the thread. `wire` is called in its runtime.
    fn start(
        self,
        cache: &Arc<SessionCache<T>>,
        listens_to: Vec<Client>,
        wire: impl FnOnce() -> Result<Wire, RedisError> + Send + 'static,
    ) -> Result<Tier<T>, TierError> {
        let (desk, inbox) = Desk::new(self.ring, self.options);
        let desk = Arc::new(desk);
        desk.attach(cache);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let works = Arc::clone(&desk);
        thread::Builder::new().name("sessile-redis".into()).spawn(move || {
            if works.options.is_published {
                runtime.spawn(peers::listen(Arc::clone(&works), listens_to));
            }
            let of_work = Arc::clone(&works);
            runtime.spawn(async move {
                if let Ok(wire) = wire() {
                    work(of_work, inbox, wire).await;
                }
            });
            // Ends with an error when the tier is dropped.
            let _ = runtime.block_on(stopped);
            drop(runtime);
            works.is_up.store(false, Ordering::Relaxed);
            works.went_idle.notify_waiters();
        })?;
        cache.set_hooks(hooks_of(&desk));
        Ok(Tier { desk, _stop: stop })
    }
}

impl<T> fmt::Debug for TierBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierBuilder")
            .field("ring", &self.ring)
            .field("strict", &self.options.is_strict)
            .finish_non_exhaustive()
    }
}

/// What the tier's thread does.
async fn work<T: Payload>(desk: Arc<Desk<T>>, inbox: Inbox, wire: Wire) {
    let (response, backoff) = (desk.options.response, desk.options.backoff);
    let flagged = Arc::clone(&desk);
    let link = Link::new(wire, response, backoff, move |is_up| flagged.set_up(is_up));
    let reads = reader::run(Arc::clone(&desk), link.clone(), inbox.questions);
    tokio::spawn(reads);
    Writer::new(desk, link, inbox.changes).run().await;
}

/// A second tier of a cache on Redis or Valkey.
///
/// Holds the thread that talks to the server. When it is dropped, the thread ends, the cache's
/// hooks are removed, and what is not written yet is not written;
/// [`settle_blocking`](Self::settle_blocking) before that waits for it. See the
/// [crate documentation](crate) for an example.
pub struct Tier<T: Payload> {
    desk: Arc<Desk<T>>,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl<T: Payload> Tier<T> {
    /// Starts a tier whose values are sealed by the first key of a ring.
    pub fn builder(ring: KeyRing) -> TierBuilder<T> {
        TierBuilder { ring, options: Options::default() }
    }

    /// Fetches what a client offers to resume, so that the handshake's lookup finds it. Waits for
    /// `budget` at most; what comes later is there for a later lookup. How many sessions came.
    ///
    /// `context` and `protocol` are those under which the store looks: for sessile-rustls the
    /// context that was given to `for_context` and
    /// [`Protocol::UNSPECIFIED`]; [`prefetch_in`](Self::prefetch_in) is for stores that look for
    /// TLS 1.2 and TLS 1.3 sessions under their protocols, as sessile-openssl does.
    ///
    /// A key is asked once however many callers want it. After a budget that ended without an
    /// answer, callers do not wait until the tier has answered something. Never fails: a tier that
    /// is down, or whose answer cannot be used, has no session. What this future has asked for
    /// comes also if it is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled.
    pub async fn prefetch(&self, context: Context, offer: &Offer, budget: Duration) -> usize {
        let keys = keys_of(context, [Protocol::UNSPECIFIED; 2], offer);
        self.fetch(&keys, budget).await
    }

    /// [`prefetch`](Self::prefetch) for a store that looks under the protocol of the connection.
    ///
    /// # Panics
    /// As [`prefetch`](Self::prefetch).
    pub async fn prefetch_in(&self, context: Context, offer: &Offer, budget: Duration) -> usize {
        let keys = keys_of(context, [Protocol::TLS1_2, Protocol::TLS1_3], offer);
        self.fetch(&keys, budget).await
    }

    async fn fetch(&self, keys: &[TierKey], budget: Duration) -> usize {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let is_asked = |key: &&TierKey| self.desk.ask(**key, || Waiter::Task(sender.clone()));
        let mut missing = keys.iter().filter(is_asked).count();
        let mut found = 0;
        let all = async {
            while missing > 0 {
                missing -= 1;
                found += usize::from(answers.recv().await.unwrap_or(false));
            }
        };
        if tokio::time::timeout(budget, all).await.is_err() {
            self.desk.gave_up_on(keys, budget);
        }
        found
    }

    /// [`prefetch`](Self::prefetch) for a thread, which needs no runtime.
    pub fn prefetch_blocking(&self, context: Context, offer: &Offer, budget: Duration) -> usize {
        wait_for(&self.desk, &keys_of(context, [Protocol::UNSPECIFIED; 2], offer), budget)
    }

    /// [`prefetch_in`](Self::prefetch_in) for a thread, which needs no runtime.
    pub fn prefetch_in_blocking(&self, context: Context, offer: &Offer, budget: Duration) -> usize {
        let keys = keys_of(context, [Protocol::TLS1_2, Protocol::TLS1_3], offer);
        wait_for(&self.desk, &keys, budget)
    }

    /// Waits until all changes so far are in the tier, for `budget` at most. Whether they are.
    pub fn settle_blocking(&self, budget: Duration) -> bool {
        let end = Instant::now() + budget;
        while !self.is_settled() {
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Waits until all changes so far are in the tier. It does not end while the server is down.
    pub async fn settle(&self) {
        loop {
            let went_idle = self.desk.went_idle.notified();
            if self.is_settled() {
                return;
            }
            went_idle.await;
        }
    }

    fn is_settled(&self) -> bool {
        // ORDERING: SeqCst: see `Writer::rest`.
        self.desk.is_idle.load(Ordering::SeqCst) && self.desk.pending.is_empty()
    }

    /// Changes the keys: values written from now on are sealed by the first of them.
    pub fn set_keys(&self, ring: KeyRing) {
        self.desk.set_ring(ring);
    }

    /// The counters of the tier.
    pub fn stats(&self) -> TierStats {
        self.desk.stats()
    }
}

impl<T: Payload> Drop for Tier<T> {
    fn drop(&mut self) {
        if let Some(cache) = self.desk.cache() {
            cache.set_hooks(Hooks::new());
        }
    }
}

impl<T: Payload> fmt::Debug for Tier<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The keys of an offer, for the protocols of session ids and of tickets.
fn keys_of(context: Context, [old, new]: [Protocol; 2], offer: &Offer) -> Vec<TierKey> {
    let key = |protocol, id: SessionId, uses| Place { context, protocol, id }.used(uses);
    let mut keys = Vec::new();
    keys.extend(offer.session_id.map(|id| key(old, id, Uses::Many)));
    for id in &offer.tickets {
        keys.push(key(new, *id, Uses::Once));
    }
    keys
}
