//! moka and mini-moka: concurrent maps whose policy replays a log of what happened.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use ::moka::policy::EvictionPolicy;

/// moka as it comes: TinyLFU.
pub struct TinyLfu<V>(::moka::sync::Cache<Id, V, Hash>);

/// moka told to be an LRU.
pub struct Lru<V>(::moka::sync::Cache<Id, V, Hash>);

/// mini-moka: TinyLFU.
pub struct MiniMoka<V>(::mini_moka::sync::Cache<Id, V, Hash>);

fn build<V: Held>(
    capacity: usize,
    reserve: usize,
    policy: EvictionPolicy,
) -> ::moka::sync::Cache<Id, V, Hash> {
    ::moka::sync::Cache::builder()
        .max_capacity(capacity as u64)
        .initial_capacity(reserve)
        .eviction_policy(policy)
        .build_with_hasher(hash())
}

fn counted<V: Held>(cache: &::moka::sync::Cache<Id, V, Hash>) -> usize {
    cache.run_pending_tasks();
    cache.entry_count() as usize
}

impl<V: Held> Store for TinyLfu<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(build(capacity, capacity, EvictionPolicy::tiny_lfu()))
    }

    fn growing(capacity: usize) -> Self {
        Self(build(capacity, 0, EvictionPolicy::tiny_lfu()))
    }

    fn add(&self, id: &Id, value: V) {
        self.0.insert(*id, value);
    }

    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id))
    }

    fn take(&self, id: &Id) -> bool {
        used(self.0.remove(id))
    }

    fn stored(&self) -> Option<usize> {
        Some(counted(&self.0))
    }
}

impl<V: Held> Store for Lru<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(build(capacity, capacity, EvictionPolicy::lru()))
    }

    fn growing(capacity: usize) -> Self {
        Self(build(capacity, 0, EvictionPolicy::lru()))
    }

    fn add(&self, id: &Id, value: V) {
        self.0.insert(*id, value);
    }

    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id))
    }

    fn take(&self, id: &Id) -> bool {
        used(self.0.remove(id))
    }

    fn stored(&self) -> Option<usize> {
        Some(counted(&self.0))
    }
}

impl<V: Held> Store for MiniMoka<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let builder = ::mini_moka::sync::Cache::builder().max_capacity(capacity as u64);
        Self(builder.initial_capacity(capacity).build_with_hasher(hash()))
    }

    fn growing(capacity: usize) -> Self {
        let builder = ::mini_moka::sync::Cache::builder().max_capacity(capacity as u64);
        Self(builder.build_with_hasher(hash()))
    }

    fn add(&self, id: &Id, value: V) {
        self.0.insert(*id, value);
    }

    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id))
    }

    /// It has no removal that returns the value.
    fn take(&self, id: &Id) -> bool {
        let found = self.0.get(id);
        self.0.invalidate(id);
        used(found)
    }

    fn remove(&self, id: &Id) -> bool {
        self.0.invalidate(id);
        true
    }

    fn stored(&self) -> Option<usize> {
        ::mini_moka::sync::ConcurrentCacheExt::sync(&self.0);
        Some(self.0.entry_count() as usize)
    }
}
