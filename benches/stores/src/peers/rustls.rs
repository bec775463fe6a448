//! rustls's own store, which keeps byte strings: a hit copies them.

use crate::ids::Id;
use crate::store::{Hash, Lifetime, Payload, Store, Value, hash, used};
use ::lru::LruCache;
use ::rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use std::array;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

/// An encoded session.
impl Value for Vec<u8> {
    fn make(id: &Id, _lifetime: Lifetime) -> Self {
        vec![id.bytes()[0]; size_of::<Payload>()]
    }
}

/// Sixteen stores, chosen by the first byte of the id, as g3 shards the stores it gives to rustls.
pub const SHARDS: usize = 16;

fn shard(id: &Id, shards: usize) -> usize {
    usize::from(id.bytes()[0]) % shards
}

/// `ServerSessionMemoryCache`; so many of it, as g3 had it in 2023.
pub struct Memory<const SHARDS: usize>([Arc<ServerSessionMemoryCache>; SHARDS]);

impl<const SHARDS: usize> Memory<SHARDS> {
    fn shard(&self, id: &Id) -> &ServerSessionMemoryCache {
        &self.0[shard(id, SHARDS)]
    }
}

impl<const SHARDS: usize> Store for Memory<SHARDS> {
    type Value = Vec<u8>;
    const EVICTS: bool = true;
    const SEARCHES: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(array::from_fn(|_| ServerSessionMemoryCache::new(capacity.div_ceil(SHARDS))))
    }

    fn add(&self, id: &Id, value: Vec<u8>) {
        self.shard(id).put(id.bytes().to_vec(), value);
    }

    fn get(&self, id: &Id) -> bool {
        used(self.shard(id).get(id.bytes()))
    }

    fn take(&self, id: &Id) -> bool {
        used(self.shard(id).take(id.bytes()))
    }
}

type Lru = LruCache<Vec<u8>, Vec<u8>, Hash>;

/// Sixteen of `Mutex<LruCache>` over byte strings, as g3 has it since.
pub struct ShardedLru(Vec<Mutex<Lru>>);

impl ShardedLru {
    fn lock(&self, id: &Id) -> MutexGuard<'_, Lru> {
        self.0[shard(id, SHARDS)].lock().expect("no panic inside")
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
