//! What can go wrong, and what an operation did.
#![forbid(unsafe_code)]

use crate::session::Session;
use std::fmt;

/// Why a cache could not be built or resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A capacity of 0. OpenSSL's 0 means unbounded, which is
    /// [`Capacity::Unbounded`](crate::Capacity::Unbounded) here.
    ZeroCapacity,
    /// More sessions than a table can have slots (about 83 million).
    CapacityTooLarge,
    /// The largest weight of one session exceeds that of all together.
    EntryWeightAboveTotal,
    /// A weight limit without a weigher to measure by.
    WeightWithoutWeigher,
    /// A weight limit of 0.
    ZeroWeight,
    /// There is no memory for the table.
    OutOfMemory,
    /// The system does not lock memory, or not as much as sessions take already
    /// ([`lock_memory`](crate::SessionCacheBuilder::lock_memory)).
    MemoryLock,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroCapacity => {
                "the capacity is 0; say Capacity::Unbounded for a cache without a bound"
            }
            Self::CapacityTooLarge => "the capacity exceeds what one table can hold",
            Self::EntryWeightAboveTotal => "the largest entry weight exceeds the total weight",
            Self::WeightWithoutWeigher => "a weight limit needs a weigher",
            Self::ZeroWeight => "a weight limit must not be 0",
            Self::OutOfMemory => "not enough memory for the table",
            Self::MemoryLock => "memory cannot be locked: see the limit RLIMIT_MEMLOCK",
        })
    }
}

impl std::error::Error for BuildError {}

/// What [`SessionCache::add`](crate::SessionCache::add) did with a session that it accepted.
pub enum Added<T> {
    /// The key was absent; the session is stored.
    Inserted,
    /// Another object with this key was stored. It is returned; the session replaced it in one
    /// step.
    Replaced(Session<T>),
    /// This very object is stored already; nothing changed.
    Identical,
}

impl<T> Added<T> {
    /// Whether the cache changed: the 1 and 0 of `SSL_CTX_add_session(3)`.
    pub fn changed(&self) -> bool {
        matches!(self, Self::Inserted | Self::Replaced(_))
    }
}

/// Never shows a payload.
impl<T> fmt::Debug for Added<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inserted => f.write_str("Inserted"),
            Self::Replaced(old) => f.debug_tuple("Replaced").field(old).finish(),
            Self::Identical => f.write_str("Identical"),
        }
    }
}

/// A session that [`SessionCache::add`](crate::SessionCache::add) refused, and the reason.
///
/// ```
/// use sessile::{Rejection, Session, SessionCache, SessionId};
///
/// let cache = SessionCache::new(100)?;
/// let session = Session::new(SessionId::from([1; 32]), "state");
/// session.set_not_resumable();
/// let rejected = cache.add(session).unwrap_err();
/// assert_eq!(rejected.reason(), Rejection::NotResumable);
/// assert_eq!(*rejected.into_session(), "state");
/// # Ok::<(), sessile::BuildError>(())
/// ```
pub struct Rejected<T> {
    reason: Rejection,
    session: Session<T>,
}

impl<T> Rejected<T> {
    pub(crate) fn new(reason: Rejection, session: Session<T>) -> Self {
        Self { reason, session }
    }

    /// Why the session was refused.
    pub fn reason(&self) -> Rejection {
        self.reason
    }

    /// The session that was refused.
    pub fn session(&self) -> &Session<T> {
        &self.session
    }

    /// Gives the session back.
    pub fn into_session(self) -> Session<T> {
        self.session
    }
}

/// Never shows a payload.
impl<T> fmt::Debug for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("reason", &self.reason)
            .field("session", &self.session)
            .finish()
    }
}

impl<T> fmt::Display for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> std::error::Error for Rejected<T> {}

impl<T> From<Rejected<T>> for Rejection {
    fn from(rejected: Rejected<T>) -> Self {
        rejected.reason
    }
}

/// Why a session was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// It is expired already.
    Expired,
    /// Its weight exceeds that of one session, or of all together.
    OverWeight,
    /// It is marked non-resumable, or was removed while it was on its way to the cache, or another
    /// key was watched
    /// ([`SessionCache::add_unless_removed`](crate::SessionCache::add_unless_removed)).
    NotResumable,
    /// A stalled reader keeps too many retired sessions from being freed: a closure in
    /// [`read`](crate::SessionCache::read), or another operation that made no progress for 100 ms.
    /// See [`Builder::garbage_limit`](crate::SessionCacheBuilder::garbage_limit).
    Garbage,
    /// It belongs to another context or protocol than the view it was given to.
    Context,
    /// Storing is switched off ([`Mode::store`](crate::Mode)).
    StoreDisabled,
    /// Other threads in the middle of an `add` held every slot it could have, in each of 64
    /// attempts. Or more than 30 calls of
    /// [`add_unless_removed`](crate::SessionCache::add_unless_removed) have this very object.
    Contention,
    /// A table that had to grow found no memory.
    Allocation,
    /// Its address has bits set above the 48 that a slot can hold.
    Address,
    /// Its context was revoked after the session was authenticated; see
    /// [`SessionCache::revoke`](crate::SessionCache::revoke).
    Revoked,
    /// The `add` was called by a hook, within sixteen nested calls of hooks; see
    /// [`Hooks`](crate::Hooks).
    Recursion,
}

impl Rejection {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Self; 11] = [
        Self::Expired,
        Self::OverWeight,
        Self::NotResumable,
        Self::Garbage,
        Self::Context,
        Self::StoreDisabled,
        Self::Contention,
        Self::Allocation,
        Self::Address,
        Self::Revoked,
        Self::Recursion,
    ];
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the session is expired",
            Self::OverWeight => "the session is too heavy",
            Self::NotResumable => "the session is not resumable",
            Self::Garbage => "too much retired memory waits for a reader",
            Self::Context => "the session belongs to another context or protocol",
            Self::StoreDisabled => "storing is switched off",
            Self::Contention => "every possible slot is in use by a concurrent add",
            Self::Allocation => "not enough memory",
            Self::Address => "the session lies at an address that a slot cannot hold",
            Self::Revoked => "the context of the session was revoked",
            Self::Recursion => "hooks that add sessions are nested too deep",
        })
    }
}

impl std::error::Error for Rejection {}

/// Why a session left the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemovalCause {
    /// Another object with the same key replaced it.
    Replaced,
    /// By `remove` or `remove_id`; or it was found to be non-resumable or of a revoked context.
    Removed,
    /// By `take`.
    Taken,
    /// It was evicted to make room for another session. In a cache of more than 14 sessions this is
    /// also the cause for a session that had expired because its dates were changed while it was
    /// stored, if no sweep had reached it since.
    Evicted,
    /// A lookup, or an `add` that looked for room, found it expired.
    Expired,
    /// By `flush_expired` or `clear`.
    Flushed,
}
