//! papaya: a lock-free open-addressing map.

use crate::ids::Id;
use crate::store::{Hash, Held, Store, hash, used};

/// papaya; told whom to remove.
pub struct Papaya<V>(::papaya::HashMap<Id, V, Hash>);

impl<V: Held> Store for Papaya<V> {
    type Value = V;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(::papaya::HashMap::with_capacity_and_hasher(capacity, hash()))
    }

    fn growing(_capacity: usize) -> Self {
        Self(::papaya::HashMap::with_hasher(hash()))
    }

    #[inline]
    fn add(&self, id: &Id, value: V) {
        self.0.pin().insert(*id, value);
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.pin().get(id).cloned())
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.pin().get(id).map(Held::look_at).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        used(self.0.pin().remove(id).cloned())
    }

    #[inline]
    fn remove(&self, id: &Id) -> bool {
        self.0.pin().remove(id).is_some()
    }

    fn flush(&self, now: u64) -> Option<usize> {
        let before = self.0.len();
        self.0.pin().retain(|_, session| !session.is_expired(now));
        Some(before - self.0.len())
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
