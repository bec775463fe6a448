//! papaya: a lock-free open-addressing map.

use crate::ids::Id;
use crate::store::{Hash, Session, Store, is_expired, look_at, used};

/// papaya; told whom to remove.
pub(crate) struct Papaya(::papaya::HashMap<Id, Session, Hash>);

impl Store for Papaya {
    type Value = Session;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(::papaya::HashMap::with_capacity_and_hasher(capacity, Hash::new()))
    }

    fn growing(_capacity: usize) -> Self {
        Self(::papaya::HashMap::with_hasher(Hash::new()))
    }

    #[inline]
    fn add(&self, id: &Id, value: Session) {
        self.0.pin().insert(*id, value);
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.pin().get(id).cloned())
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.pin().get(id).map(look_at).is_some()
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
        self.0.pin().retain(|_, session| !is_expired(session, now));
        Some(before - self.0.len())
    }

    fn len(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
