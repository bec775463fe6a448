//! foyer's in-memory cache: locked shards, intrusive lists, one of several policies.

use crate::ids::Id;
use crate::store::{Hash, Session, Store, look_at, used};
use foyer_memory::{Cache, CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};

/// foyer as S3-FIFO.
pub(crate) struct S3Fifo(Cache<Id, Session, Hash>);

/// foyer as LRU.
pub(crate) struct Lru(Cache<Id, Session, Hash>);

fn build(capacity: usize, policy: EvictionConfig) -> Cache<Id, Session, Hash> {
    CacheBuilder::new(capacity).with_eviction_config(policy).with_hash_builder(Hash::new()).build()
}

fn get(cache: &Cache<Id, Session, Hash>, id: &Id) -> bool {
    used(cache.get(id).map(|entry| entry.value().clone()))
}

fn read(cache: &Cache<Id, Session, Hash>, id: &Id) -> bool {
    cache.get(id).map(|entry| look_at(entry.value())).is_some()
}

fn take(cache: &Cache<Id, Session, Hash>, id: &Id) -> bool {
    used(cache.remove(id).map(|entry| entry.value().clone()))
}

impl Store for S3Fifo {
    type Value = Session;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(build(capacity, S3FifoConfig::default().into()))
    }

    fn add(&self, id: &Id, value: Session) {
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

    fn len(&self) -> Option<usize> {
        Some(self.0.entries())
    }
}

impl Store for Lru {
    type Value = Session;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(build(capacity, LruConfig::default().into()))
    }

    fn add(&self, id: &Id, value: Session) {
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

    fn len(&self) -> Option<usize> {
        Some(self.0.entries())
    }
}
