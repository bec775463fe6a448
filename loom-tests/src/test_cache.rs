//! What a scenario on the whole cache starts from.

use crate::search::End;
use crate::thread::{self, JoinHandle};
use crate::{id, quiet};
use sessile::{Added, Rejected, Session, SessionCache, SessionCacheBuilder};
use std::sync::Arc;
use testkit::{Ledger, Payload, add_patiently, store};

/// A cache and the ledger of what is put into it, shared by the threads of a scenario.
#[derive(Clone, Debug)]
pub struct TestCache {
    /// Dropped before the rest: a search that fails leaves the cache as it is.
    _end: End,
    /// The cache.
    pub cache: Arc<SessionCache<Payload>>,
    ledger: Arc<Ledger>,
}

impl TestCache {
    /// An empty cache for so many sessions.
    pub fn new(capacity: usize) -> Self {
        Self::built(|builder| builder.capacity(capacity))
    }

    /// The same of a cache that is built in another way.
    ///
    /// # Panics
    /// When a setting is not valid.
    pub fn built(
        set: impl FnOnce(SessionCacheBuilder<Payload>) -> SessionCacheBuilder<Payload>,
    ) -> Self {
        let cache = set(quiet()).build().expect("valid settings");
        Self { _end: End, cache: Arc::new(cache), ledger: Ledger::new() }
    }

    /// A cache for four sessions, one set in a model, which holds session 1 under key 1.
    pub fn stored() -> Self {
        let test = Self::new(4);
        test.insert(1, 1);
        test
    }

    /// A cache that is full of the sessions 1, 2 … under keys of the same numbers.
    ///
    /// # Panics
    /// When one is refused.
    pub fn full(capacity: u8) -> Self {
        let test = Self::new(capacity.into());
        (1..=capacity).for_each(|n| test.insert(n, n.into()));
        test
    }

    /// As [`stored`](Self::stored), with a handle of the session.
    ///
    /// # Panics
    /// When there is no room.
    pub fn with_handle() -> (Self, Session<Payload>) {
        let test = Self::new(4);
        let session = test.session(1, 1);
        store(&test.cache, session.clone());
        (test, session)
    }

    /// A new session under a key.
    pub fn session(&self, key: u8, number: u64) -> Session<Payload> {
        Session::new(id(key), self.ledger.payload(number))
    }

    /// Adds a new session. In a search every refusal is an answer; plain threads lose processors.
    pub fn add(&self, key: u8, number: u64) -> Result<Added<Payload>, Rejected<Payload>> {
        let session = self.session(key, number);
        match cfg!(sessile_loom) {
            true => self.cache.add(session),
            false => add_patiently(&self.cache, session),
        }
    }

    /// Adds a new session under an absent key.
    ///
    /// # Panics
    /// When the key was not absent.
    pub fn insert(&self, key: u8, number: u64) {
        let added = self.add(key, number);
        assert!(matches!(added, Ok(Added::Inserted)), "session {number}: {added:?}");
    }

    /// The number of the session under a key.
    pub fn get(&self, key: u8) -> Option<u64> {
        self.cache.get(&id(key)).map(|session| session.number())
    }

    /// Takes the session under a key and tells its number.
    pub fn take(&self, key: u8) -> Option<u64> {
        self.cache.take(&id(key)).map(|session| session.number())
    }

    /// The same, and collects.
    pub fn take_and_collect(&self, key: u8) -> Option<u64> {
        let taken = self.take(key);
        self.cache.collect();
        taken
    }

    /// Runs `f` on another thread.
    pub fn spawn<R: 'static + Send>(
        &self,
        f: impl FnOnce(Self) -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let test = self.clone();
        thread::spawn(move || f(test))
    }

    /// Runs `f` on another thread while this one changes the capacity.
    ///
    /// # Panics
    /// When `f` does, or the capacity is not valid.
    pub fn beside_resize<R: 'static + Send>(
        &self,
        capacity: usize,
        f: impl FnOnce(Self) -> R + Send + 'static,
    ) -> R {
        let other = self.spawn(f);
        self.cache.set_capacity(capacity).expect("a valid capacity");
        other.join().expect("the thread holds")
    }

    /// Adds sessions 1 and 2 under one absent key, on two threads of which this one changes the
    /// capacity first: one inserts, the other replaces. The number of the one that stays.
    ///
    /// # Panics
    /// When it is not so.
    pub fn add_twice_beside_resize(&self, key: u8, capacity: usize) -> u64 {
        let other = self.spawn(move |test| replaced(test.add(key, 2)));
        self.cache.set_capacity(capacity).expect("a valid capacity");
        let here = replaced(self.add(key, 1));
        let there = other.join().expect("the thread holds");
        assert!(here.is_none() ^ there.is_none(), "{here:?} and {there:?}");
        if here.is_none() { 2 } else { 1 }
    }

    /// The numbers of what is stored, in order.
    pub fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<_> =
            self.cache.snapshot().iter().map(|session| session.number()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Demands that the cache holds just these sessions and that its books balance.
    ///
    /// # Panics
    /// When it is not so.
    pub fn assert_stored(&self, numbers: &[u64]) {
        assert_eq!(self.numbers(), numbers);
        let stats = self.cache.stats();
        let left = stats.removed + stats.taken + stats.evicted + stats.expired + stats.flushed;
        assert_eq!(stats.added - left, numbers.len() as u64, "{stats:?}");
        assert_eq!(self.cache.len(), numbers.len());
    }

    /// As [`assert_stored`](Self::assert_stored), and that everything else is freed, which nobody
    /// else may hold. For the contract reclaimer: an epoch may wait for a thread that has not quite
    /// exited.
    ///
    /// # Panics
    /// When it is not so.
    pub fn assert_holds(&self, numbers: &[u64]) {
        self.assert_stored(numbers);
        self.cache.collect();
        assert_eq!(self.ledger.alive(), numbers.len(), "what left is freed");
    }

    /// Drops the cache and demands that nothing is left.
    ///
    /// # Panics
    /// When something is.
    pub fn end(self) {
        let Self { cache, ledger, .. } = self;
        drop(cache);
        assert_eq!(ledger.alive(), 0, "the cache is gone and a session is not");
    }
}

/// The number of the session that an add replaced, or nothing when it inserted.
///
/// # Panics
/// When it did neither.
pub fn replaced(added: Result<Added<Payload>, Rejected<Payload>>) -> Option<u64> {
    match added {
        Ok(Added::Inserted) => None,
        Ok(Added::Replaced(old)) => Some(old.number()),
        other => panic!("an add of a new object inserts or replaces, not {other:?}"),
    }
}
