//! rustls's own store, which keeps byte strings: a hit copies them.

use crate::ids::Id;
use crate::store::{Hash, Lifetime, Payload, Store, Value, hash, used};
use ::lru::LruCache;
use ::rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

/// An encoded session.
impl Value for Vec<u8> {
    fn make(id: &Id, _lifetime: Lifetime) -> Self {
        vec![id.bytes()[0]; size_of::<Payload>()]
    }
}

/// `ServerSessionMemoryCache`.
pub struct Memory(Arc<ServerSessionMemoryCache>);

impl Store for Memory {
    type Value = Vec<u8>;
    const EVICTS: bool = true;
    const SEARCHES: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(ServerSessionMemoryCache::new(capacity))
    }

    fn add(&self, id: &Id, value: Vec<u8>) {
        self.0.put(id.bytes().to_vec(), value);
    }

    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id.bytes()))
    }

    fn take(&self, id: &Id) -> bool {
        used(self.0.take(id.bytes()))
    }
}

/// Sixteen stores, chosen by the first byte of the id, as g3 shards the stores it gives to rustls.
const SHARDS: usize = 16;

fn shard(id: &Id) -> usize {
    usize::from(id.bytes()[0]) % SHARDS
}

/// Sixteen of `ServerSessionMemoryCache`, as g3 had it in 2023.
pub struct Sharded(Vec<Arc<ServerSessionMemoryCache>>);

impl Store for Sharded {
    type Value = Vec<u8>;
    const EVICTS: bool = true;
    const SEARCHES: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let shard = || ServerSessionMemoryCache::new(capacity.div_ceil(SHARDS));
        Self(std::iter::repeat_with(shard).take(SHARDS).collect())
    }

    fn add(&self, id: &Id, value: Vec<u8>) {
        self.0[shard(id)].put(id.bytes().to_vec(), value);
    }

    fn get(&self, id: &Id) -> bool {
        used(self.0[shard(id)].get(id.bytes()))
    }

    fn take(&self, id: &Id) -> bool {
        used(self.0[shard(id)].take(id.bytes()))
    }
}

type Lru = LruCache<Vec<u8>, Vec<u8>, Hash>;

/// Sixteen of `Mutex<LruCache>` over byte strings, as g3 has it since.
pub struct ShardedLru(Vec<Mutex<Lru>>);

impl ShardedLru {
    fn lock(&self, id: &Id) -> MutexGuard<'_, Lru> {
        self.0[shard(id)].lock().expect("no panic inside")
    }
}

impl Store for ShardedLru {
    type Value = Vec<u8>;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity.div_ceil(SHARDS)).expect("a store for nothing");
        let shard = || Mutex::new(LruCache::with_hasher(capacity, hash()));
        Self(std::iter::repeat_with(shard).take(SHARDS).collect())
    }

    fn add(&self, id: &Id, value: Vec<u8>) {
        let key = id.bytes().to_vec();
        let displaced = self.lock(id).push(key, value);
        drop(displaced);
    }

    fn get(&self, id: &Id) -> bool {
        let found = self.lock(id).get(id.bytes().as_slice()).cloned();
        used(found)
    }

    fn take(&self, id: &Id) -> bool {
        let found = self.lock(id).pop(id.bytes().as_slice());
        used(found)
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.iter().map(|shard| shard.lock().expect("no panic inside").len()).sum())
    }
}
