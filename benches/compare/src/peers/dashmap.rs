//! dashmap: a map of locked shards.

use crate::ids::Id;
use crate::store::{Hash, Session, Store, is_expired, look_at, used};

/// dashmap; told whom to remove.
pub(crate) struct DashMap(::dashmap::DashMap<Id, Session, Hash>);

impl Store for DashMap {
    type Value = Session;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(::dashmap::DashMap::with_capacity_and_hasher(capacity, Hash::new()))
    }

    fn growing(_capacity: usize) -> Self {
        Self(::dashmap::DashMap::with_hasher(Hash::new()))
    }

    #[inline]
    fn add(&self, id: &Id, value: Session) {
        drop(self.0.insert(*id, value));
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.get(id).map(|session| session.clone()))
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.get(id).map(|session| look_at(&session)).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        used(self.0.remove(id))
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let before = self.0.len();
        self.0.retain(|_, session| !is_expired(session, now));
        Some(before - self.0.len())
    }

    fn len(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
