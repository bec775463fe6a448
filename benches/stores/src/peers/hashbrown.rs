//! What one writes without a library: a lock around a map.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};
use ::hashbrown::HashMap;
use parking_lot::RwLock;

/// `RwLock<hashbrown::HashMap>`; told whom to remove.
pub struct RwLockHashbrown<V>(RwLock<HashMap<Id, V, Hash>>);

impl<V: Held> Store for RwLockHashbrown<V> {
    type Value = V;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(RwLock::new(HashMap::with_capacity_and_hasher(capacity, hash())))
    }

    fn growing(_capacity: usize) -> Self {
        Self(RwLock::new(HashMap::with_hasher(hash())))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
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
        self.0.read().get(id).map(Held::look_at).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        let found = self.0.write().remove(id);
        used(found)
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let mut map = self.0.write();
        let before = map.len();
        map.retain(|_, session| !session.is_expired(now));
        Some(before - map.len())
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.read().len())
    }
}
