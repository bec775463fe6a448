//! Building a session with more than an id and a payload.
#![forbid(unsafe_code)]

use super::block::{Dates, Draft};
use super::{Context, Generation, Protocol, Secret, Session, SessionId};
use crate::timestamp::{Timestamp, timeout_seconds};
use std::time::Duration;

/// Builds a [`Session`].
///
/// ```
/// use sessile::{Context, Protocol, SessionBuilder, SessionId, Timestamp};
/// use std::time::Duration;
///
/// let session = SessionBuilder::new(SessionId::from([1; 32]))
///     .context(Context::digest(["web"]))
///     .protocol(Protocol::TLS1_3)
///     .created_at(1_700_000_000)
///     .timeout(Duration::from_secs(7200))
///     .deadline(1_700_003_600)
///     .build(vec![1, 2, 3]);
/// assert_eq!(session.expires_at(), Some(Timestamp::from(1_700_003_600)));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionBuilder(Draft);

impl SessionBuilder {
    /// Starts a session with more than an id and a payload.
    pub fn new(id: SessionId) -> Self {
        Self(Draft::new(id))
    }

    /// The isolation domain; [`Context::NONE`] unless set.
    pub fn context(mut self, context: Context) -> Self {
        self.0.context = context;
        self
    }

    /// The protocol tag; [`Protocol::UNSPECIFIED`] unless set.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.0.protocol = protocol;
        self
    }

    /// When the session was negotiated, by the cache's clock. Unless set, the first cache that
    /// stores the session dates it.
    pub fn created_at(mut self, time: impl Into<Timestamp>) -> Self {
        // The largest value means "undated"; a date that far in the future is never used anyway.
        self.0.dates.created = time.into().as_secs().min(Dates::UNSET - 1);
        self
    }

    /// How long the session lives after it was created, rounded up to whole seconds. Unless set,
    /// the first cache that stores the session applies its own timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.dates.timeout = timeout_seconds(timeout).min(Dates::UNSET - 1);
        self
    }

    /// The last second of validity whatever the timeout says: a renewal never moves it.
    pub fn deadline(mut self, time: impl Into<Timestamp>) -> Self {
        self.0.dates.deadline = time.into().as_secs();
        self
    }

    /// The generation in which the peer was authenticated: [`Generation::present`] as it was before
    /// the handshake. Unless set, that of the present; a later one than that is cut back to it.
    pub fn generation(mut self, generation: Generation) -> Self {
        self.0.generation = generation.min(self.0.generation);
        self
    }

    /// Whether the session may be resumed; true unless set. A cache refuses a session that may not.
    pub fn resumable(mut self, resumable: bool) -> Self {
        self.0.resumable = resumable;
        self
    }

    /// Allocates the session. Aborts when memory is exhausted, as `Arc::new` does.
    pub fn build<T>(self, payload: T) -> Session<T> {
        Session::from_draft(self.0, payload).unwrap_or_else(|_| Session::<T>::out_of_memory())
    }

    /// Allocates the session.
    ///
    /// # Errors
    /// The payload, when memory is exhausted.
    pub fn try_build<T>(self, payload: T) -> Result<Session<T>, T> {
        Session::from_draft(self.0, payload)
    }

    /// Allocates a session whose payload is a copy of `bytes`, in one block with it if both fit in
    /// 16 KiB. Aborts when memory is exhausted.
    ///
    /// ```
    /// use sessile::{SessionBuilder, SessionId};
    ///
    /// let session = SessionBuilder::new(SessionId::from([1; 32])).build_bytes(b"state");
    /// assert_eq!(&session[..], b"state"); // the payload is a `Secret`
    /// ```
    pub fn build_bytes(self, bytes: &[u8]) -> Session<Secret> {
        self.try_build_bytes(bytes).unwrap_or_else(|| Session::<Secret>::out_of_memory())
    }

    /// [`build_bytes`](Self::build_bytes), or `None` when memory is exhausted.
    pub fn try_build_bytes(self, bytes: &[u8]) -> Option<Session<Secret>> {
        Session::of_bytes(self.0, bytes)
    }
}
