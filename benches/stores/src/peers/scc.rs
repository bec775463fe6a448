//! scc: a map and a cache that lock a bucket, and an index that is read without locks.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use ::scc::hash_cache::Entry as CacheEntry;
use ::scc::hash_index::Entry as IndexEntry;

/// Whether a session stays in a flush, which counts those that go.
fn stays<V: Held>(session: &V, now: u64, removed: &mut usize) -> bool {
    let goes = session.is_expired(now);
    *removed += usize::from(goes);
    !goes
}

/// `scc::HashMap`; told whom to remove.
pub struct Map<V>(::scc::HashMap<Id, V, Hash>);

impl<V: Held> Store for Map<V> {
    type Value = V;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(::scc::HashMap::with_capacity_and_hasher(capacity, hash()))
    }

    fn growing(_capacity: usize) -> Self {
        Self(::scc::HashMap::with_hasher(hash()))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
        drop(self.0.upsert_sync(*id, value));
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.read_sync(id, |_, session| session.clone()))
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.read_sync(id, |_, session| session.look_at()).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        used(self.0.remove_sync(id))
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let mut removed = 0;
        self.0.retain_sync(|_, session| stays(session, now, &mut removed));
        Some(removed)
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// `scc::HashIndex`; told whom to remove.
pub struct Index<V>(::scc::HashIndex<Id, V, Hash>);

impl<V: Held> Store for Index<V> {
    type Value = V;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(::scc::HashIndex::with_capacity_and_hasher(capacity, hash()))
    }

    fn growing(_capacity: usize) -> Self {
        Self(::scc::HashIndex::with_hasher(hash()))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
        match self.0.entry_sync(*id) {
            IndexEntry::Occupied(mut entry) => entry.update(value),
            IndexEntry::Vacant(entry) => drop(entry.insert_entry(value)),
        }
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.peek_with(id, |_, session| session.clone()))
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.peek_with(id, |_, session| session.look_at()).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        let Some(entry) = self.0.get_sync(id) else { return false };
        let session = entry.get().clone();
        entry.remove_entry();
        used(Some(session))
    }

    #[inline]
    fn remove(&self, id: &Id) -> bool {
        self.0.remove_sync(id)
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let mut removed = 0;
        self.0.retain_sync(|_, session| stays(session, now, &mut removed));
        Some(removed)
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// `scc::HashCache`: 32-way LRU. It rounds its capacity up to a power of two.
pub struct Cache<V>(::scc::HashCache<Id, V, Hash>);

impl<V: Held> Store for Cache<V> {
    type Value = V;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        Self(::scc::HashCache::with_capacity_and_hasher(capacity, capacity, hash()))
    }

    fn growing(capacity: usize) -> Self {
        Self(::scc::HashCache::with_capacity_and_hasher(0, capacity, hash()))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
        match self.0.entry_sync(*id) {
            CacheEntry::Occupied(mut entry) => drop(entry.put(value)),
            CacheEntry::Vacant(entry) => drop(entry.put_entry(value)),
        }
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.get_sync(id).map(|entry| entry.get().clone()))
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.get_sync(id).map(|entry| entry.get().look_at()).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        used(self.0.remove_sync(id))
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let mut removed = 0;
        self.0.retain_sync(|_, session| stays(session, now, &mut removed));
        Some(removed)
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
