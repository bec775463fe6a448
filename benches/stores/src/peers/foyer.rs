//! foyer's in-memory cache: locked shards, intrusive lists, one of several policies.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use foyer_memory::{Cache, CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};

/// foyer as S3-FIFO, or as LRU.
pub struct Foyer<V: Held, const LRU: bool>(Cache<Id, V, Hash>);

impl<V: Held, const LRU: bool> Store for Foyer<V, LRU> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let policy: EvictionConfig =
            if LRU { LruConfig::default().into() } else { S3FifoConfig::default().into() };
        let builder = CacheBuilder::new(capacity).with_eviction_config(policy);
        Self(builder.with_hash_builder(hash()).build())
    }

    fn add(&self, id: &Id, value: V) {
        drop(self.0.insert(*id, value));
    }

    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id).map(|entry| entry.value().clone()))
    }

    fn read(&self, id: &Id) -> bool {
        self.0.get(id).map(|entry| entry.value().look_at()).is_some()
    }

    fn take(&self, id: &Id) -> bool {
        used(self.0.remove(id).map(|entry| entry.value().clone()))
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.entries())
    }
}
