//! What one writes without a library that evicts: a lock around an exact list.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use ::lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;

/// `Mutex<lru::LruCache>`.
pub struct MutexLru<V>(Mutex<LruCache<Id, V, Hash>>);

impl<V: Held> Store for MutexLru<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).expect("a store for nothing");
        Self(Mutex::new(LruCache::with_hasher(capacity, hash())))
    }

    fn growing(capacity: usize) -> Self {
        let mut cache = LruCache::unbounded_with_hasher(hash());
        cache.resize(NonZeroUsize::new(capacity).expect("a store for nothing"));
        Self(Mutex::new(cache))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
        // What it displaces is freed after the lock.
        let displaced = self.0.lock().push(*id, value);
        drop(displaced);
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        let found = self.0.lock().get(id).cloned();
        used(found)
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.lock().get(id).map(Held::look_at).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        let found = self.0.lock().pop(id);
        used(found)
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let mut cache = self.0.lock();
        let before = cache.len();
        cache.retain(|_, session| !session.is_expired(now));
        Some(before - cache.len())
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.lock().len())
    }
}
