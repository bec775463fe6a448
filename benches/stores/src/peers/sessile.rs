//! The subject.

use crate::ids::Id;
use crate::store::{Held, Payload, Session, Store, used};
use sessile::{SessionCache, SessionId};

/// Sessile as it comes, or told to keep what was used again before what was not.
pub struct Sessile<const PROTECT: bool>(SessionCache<Payload>);

impl<const PROTECT: bool> Store for Sessile<PROTECT> {
    type Value = Session;
    const EVICTS: bool = true;

    fn with_capacity(capacity: usize) -> Self {
        let builder = SessionCache::builder().capacity(capacity).protect_reused(PROTECT);
        Self(builder.build().expect("the capacity is valid"))
    }

    #[inline]
    fn add(&self, _id: &Id, value: Session) {
        drop(self.0.add(value));
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        used(self.0.get(&SessionId::from(*id.bytes())))
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        self.0.read(&SessionId::from(*id.bytes()), Held::look_at).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        used(self.0.take(&SessionId::from(*id.bytes())))
    }

    #[inline]
    fn remove(&self, id: &Id) -> bool {
        self.0.remove_id(&SessionId::from(*id.bytes()))
    }

    fn flush(&self, now: u64) -> Option<usize> {
        Some(self.0.flush_expired_at(now))
    }

    fn stored(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
