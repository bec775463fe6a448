//! What one writes without a library: a lock around a single-threaded store.

use crate::ids::Id;
use crate::store::{Hash, Session, Store, is_expired, look_at, used};
use ::lru::LruCache;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::num::NonZeroUsize;

/// `Mutex<lru::LruCache>`.
pub(crate) struct MutexLru(Mutex<LruCache<Id, Session, Hash>>);

impl Store for MutexLru {
    type Value = Session;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).expect("a store for nothing");
        Self(Mutex::new(LruCache::with_hasher(capacity, Hash::new())))
    }

    fn growing(capacity: usize) -> Self {
        let mut cache = LruCache::unbounded_with_hasher(Hash::new());
        cache.resize(NonZeroUsize::new(capacity).expect("a store for nothing"));
        Self(Mutex::new(cache))
    }

    #[inline]
    fn add(&self, id: &Id, value: Session) {
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
        self.0.lock().get(id).map(look_at).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        let found = self.0.lock().pop(id);
        used(found)
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let mut cache = self.0.lock();
        let before = cache.len();
        cache.retain(|_, session| !is_expired(session, now));
        Some(before - cache.len())
    }

    fn len(&self) -> Option<usize> {
        Some(self.0.lock().len())
    }
}

/// `RwLock<hashbrown::HashMap>`; told whom to remove.
pub(crate) struct RwLockHashbrown(RwLock<HashMap<Id, Session, Hash>>);

impl Store for RwLockHashbrown {
    type Value = Session;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(RwLock::new(HashMap::with_capacity_and_hasher(capacity, Hash::new())))
    }

    fn growing(_capacity: usize) -> Self {
        Self(RwLock::new(HashMap::with_hasher(Hash::new())))
    }

    #[inline]
    fn add(&self, id: &Id, value: Session) {
        let displaced = self.0.write().insert(*id, value);
        drop(displaced);
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        let found = self.0.read().get(id).cloned();
        used(found)
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.read().get(id).map(look_at).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        let found = self.0.write().remove(id);
        used(found)
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let mut map = self.0.write();
        let before = map.len();
        map.retain(|_, session| !is_expired(session, now));
        Some(before - map.len())
    }

    fn len(&self) -> Option<usize> {
        Some(self.0.read().len())
    }
}
