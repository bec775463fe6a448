//! quick_cache: locked shards, S3-FIFO-like.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use ::quick_cache::UnitWeighter;
use ::quick_cache::sync::{Cache, DefaultLifecycle};

/// quick_cache with its defaults, but for the hash.
pub struct QuickCache<V>(Cache<Id, V, UnitWeighter, Hash>);

impl<V: Held> Store for QuickCache<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let lifecycle = DefaultLifecycle::default();
        let cache = Cache::with(capacity, capacity as u64, UnitWeighter, hash(), lifecycle);
        cache.reserve(capacity);
        Self(cache)
    }

    fn growing(capacity: usize) -> Self {
        let lifecycle = DefaultLifecycle::default();
        Self(Cache::with(capacity, capacity as u64, UnitWeighter, hash(), lifecycle))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
        self.0.insert(*id, value);
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id))
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        used(self.0.remove(id))
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let before = self.0.len();
        self.0.retain(|_, session| !session.is_expired(now));
        Some(before - self.0.len())
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
