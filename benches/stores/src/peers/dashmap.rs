//! dashmap: a map of locked shards.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};

/// dashmap; told whom to remove.
pub struct DashMap<V>(::dashmap::DashMap<Id, V, Hash>);

impl<V: Held> Store for DashMap<V> {
    type Value = V;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(::dashmap::DashMap::with_capacity_and_hasher(capacity, hash()))
    }

    fn growing(_capacity: usize) -> Self {
        Self(::dashmap::DashMap::with_hasher(hash()))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
        drop(self.0.insert(*id, value));
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id).map(|session| session.clone()))
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.get(id).map(|session| session.look_at()).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        used(self.0.remove(id))
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let before = self.0.len();
        self.0.retain(|_, session| !session.is_expired(now));
        Some(before - self.0.len())
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
