//! moka and mini-moka: concurrent maps whose policy replays a log of what happened.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use ::moka::policy::EvictionPolicy;

/// moka as it comes, TinyLFU, or told to be an LRU.
pub struct Moka<V, const LRU: bool>(::moka::sync::Cache<Id, V, Hash>);

/// mini-moka: TinyLFU.
pub struct MiniMoka<V>(::mini_moka::sync::Cache<Id, V, Hash>);

impl<V: Held, const LRU: bool> Moka<V, LRU> {
    fn build(capacity: usize, reserve: usize) -> Self {
        let policy = if LRU { EvictionPolicy::lru() } else { EvictionPolicy::tiny_lfu() };
        let builder = ::moka::sync::Cache::builder().max_capacity(capacity as u64);
        let builder = builder.initial_capacity(reserve).eviction_policy(policy);
        Self(builder.build_with_hasher(hash()))
    }
}

impl<V: Held, const LRU: bool> Store for Moka<V, LRU> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self::build(capacity, capacity)
    }

    fn growing(capacity: usize) -> Self {
        Self::build(capacity, 0)
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
        self.0.run_pending_tasks();
        Some(self.0.entry_count() as usize)
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
