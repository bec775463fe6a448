//! foyer's in-memory cache: locked shards, intrusive lists, one of several policies.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use foyer_memory::{Cache, CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};

/// foyer as S3-FIFO.
pub struct S3Fifo<V: Held>(Cache<Id, V, Hash>);

/// foyer as LRU.
pub struct Lru<V: Held>(Cache<Id, V, Hash>);

fn build<V: Held>(capacity: usize, policy: EvictionConfig) -> Cache<Id, V, Hash> {
    CacheBuilder::new(capacity).with_eviction_config(policy).with_hash_builder(hash()).build()
}

fn get<V: Held>(cache: &Cache<Id, V, Hash>, id: &Id) -> bool {
    used(cache.get(id).map(|entry| entry.value().clone()))
}

fn read<V: Held>(cache: &Cache<Id, V, Hash>, id: &Id) -> bool {
    cache.get(id).map(|entry| entry.value().look_at()).is_some()
}

fn take<V: Held>(cache: &Cache<Id, V, Hash>, id: &Id) -> bool {
    used(cache.remove(id).map(|entry| entry.value().clone()))
}

impl<V: Held> Store for S3Fifo<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(build(capacity, S3FifoConfig::default().into()))
    }

    fn add(&self, id: &Id, value: V) {
        drop(self.0.insert(*id, value));
    }

    fn get(&self, id: &Id) -> bool {
        get(&self.0, id)
    }

    fn read(&self, id: &Id) -> bool {
        read(&self.0, id)
    }

    fn take(&self, id: &Id) -> bool {
        take(&self.0, id)
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.entries())
    }
}

impl<V: Held> Store for Lru<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(build(capacity, LruConfig::default().into()))
    }

    fn add(&self, id: &Id, value: V) {
        drop(self.0.insert(*id, value));
    }

    fn get(&self, id: &Id) -> bool {
        get(&self.0, id)
    }

    fn read(&self, id: &Id) -> bool {
        read(&self.0, id)
    }

    fn take(&self, id: &Id) -> bool {
        take(&self.0, id)
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.entries())
    }
}
