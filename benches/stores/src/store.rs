//! What a store must do to be compared: about fifteen lines.

use crate::ids::Id;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// The bytes of a session beside its key and its dates: about what a TLS 1.2 session weighs without
/// certificates.
pub type Payload = [u8; 200];

/// The session that every store holds where it can: one block of memory with a count.
pub type Session = sessile::Session<Payload>;

/// The hash of every peer that lets one choose.
pub type Hash = ahash::RandomState;

/// A new one. What is counted must be the same in every run.
pub fn hash() -> Hash {
    if cfg!(fuzzing) { Hash::with_seeds(1, 2, 3, 4) } else { Hash::new() }
}

/// The session as a program would write it that knows nothing of Sessile: id, dates and payload
/// behind a count, from the global allocator.
pub type Own = Arc<OwnSession>;

/// What an [`Own`] points to.
pub struct OwnSession {
    _id: Id,
    _created: u64,
    expires: u64,
    payload: Payload,
}

/// What a store keeps for one id.
pub trait Value: Clone + Send + Sync + 'static {
    /// A session that is valid for `lifetime`.
    fn make(id: &Id, lifetime: Lifetime) -> Self;
}

/// How long a session is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the store says.
    Unset,
    /// From `created`, for `seconds`.
    Of {
        /// Seconds since 1970.
        created: u64,
        /// How many.
        seconds: u64,
    },
}

impl Lifetime {
    /// When it begins, and after which second it is over.
    pub(crate) fn dates(self) -> (u64, u64) {
        match self {
            Self::Unset => (u64::MAX, u64::MAX),
            Self::Of { created, seconds } => (created, created.saturating_add(seconds)),
        }
    }
}

impl Value for Session {
    #[inline]
    fn make(id: &Id, lifetime: Lifetime) -> Self {
        let payload = [id.bytes()[0]; 200];
        let id = sessile::SessionId::from(*id.bytes());
        match lifetime {
            Lifetime::Unset => Self::new(id, payload),
            Lifetime::Of { created, seconds } => Self::builder(id)
                .created_at(created)
                .timeout(Duration::from_secs(seconds))
                .build(payload),
        }
    }
}

impl Value for Own {
    #[inline]
    fn make(id: &Id, lifetime: Lifetime) -> Self {
        let (created, expires) = lifetime.dates();
        let payload = [id.bytes()[0]; 200];
        Self::new(OwnSession { _id: *id, _created: created, expires, payload })
    }
}

/// What the stores keep that take any value.
pub trait Held: Value {
    /// Reads the session where it is.
    fn look_at(&self);

    /// Whether it is expired at `now`, for the stores that sweep with a closure.
    fn is_expired(&self, now: u64) -> bool;
}

impl Held for Session {
    #[inline]
    fn look_at(&self) {
        black_box(self[0]);
    }

    #[inline]
    fn is_expired(&self, now: u64) -> bool {
        self.expires_at().is_some_and(|last| last.as_secs() < now)
    }
}

impl Held for Own {
    #[inline]
    fn look_at(&self) {
        black_box(self.payload[0]);
    }

    #[inline]
    fn is_expired(&self, now: u64) -> bool {
        self.expires < now
    }
}

/// A cache, map or floor.
///
/// Every method does the whole of its work before it returns, including the destruction of what
/// leaves the store as far as the store itself does not put it off.
pub trait Store: Send + Sync + Sized + 'static {
    /// What it keeps.
    type Value: Value;

    /// Whether a full store makes room by itself. The others are told whom to remove, inside the
    /// timed region.
    const EVICTS: bool;

    /// Whether a removal searches the whole store: it is then kept out of what would take hours,
    /// and out of the traces, where its policy is simulated.
    const SEARCHES: bool = false;

    /// An empty store that knows its capacity and prepares for it as far as it can.
    fn with_capacity(capacity: usize) -> Self;

    /// An empty store that grows as it fills.
    fn growing(capacity: usize) -> Self {
        Self::with_capacity(capacity)
    }

    /// Stores a session, in place of another with the same id.
    fn add(&self, id: &Id, value: Self::Value);

    /// Looks a session up and makes a handle of the caller's own, which it gives up again.
    fn get(&self, id: &Id) -> bool;

    /// Looks a session up and reads it in place, where the store can.
    fn read(&self, id: &Id) -> bool {
        self.get(id)
    }

    /// Removes a session and hands it out.
    fn take(&self, id: &Id) -> bool;

    /// Removes a session.
    fn remove(&self, id: &Id) -> bool {
        self.take(id)
    }

    /// Removes whatever is expired at `now`; how many that were, or `None` if the store cannot.
    fn flush(&self, now: u64) -> Option<usize> {
        let _ = now;
        None
    }

    /// The sessions stored, if the store tells.
    fn stored(&self) -> Option<usize> {
        None
    }
}

/// Uses what a lookup returned and drops it.
#[inline]
pub fn used<V>(found: Option<V>) -> bool {
    found.map(black_box).is_some()
}
