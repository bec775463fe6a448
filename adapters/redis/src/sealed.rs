//! Sessions as sealed bytes, for the tier, for snapshots, and for stores of the program's own.
#![forbid(unsafe_code)]

use std::time::Duration;

use sessile::{Session, Timestamp};

use crate::error::TierError;
use crate::keys::KeyRing;
use crate::payload::Payload;
use crate::record::Record;
use crate::refusal::Refusal;

impl KeyRing {
    /// Seals a session for the place that `name` names: its key in a store, or whatever else makes
    /// it worthless elsewhere.
    ///
    /// # Errors
    /// [`TierError::Payload`] for a session that has no dates yet, or whose payload has no bytes or
    /// more than [`PAYLOAD_MAX`](crate::PAYLOAD_MAX); [`TierError::Random`] without random numbers.
    ///
    /// ```
    /// use sessile::{Secret, Session, SessionId, Timestamp};
    /// use sessile_redis::{KeyRing, Refusal, SealingKey};
    /// use std::time::Duration;
    ///
    /// let ring = KeyRing::new(SealingKey::generate()?);
    /// let builder = Session::<Secret>::builder(SessionId::from([1; 32]));
    /// let builder = builder.created_at(1000).timeout(Duration::from_secs(60));
    /// let sealed = ring.seal_session(b"a", &builder.build(Secret::from(&b"state"[..])))?;
    ///
    /// let open = |name, now| {
    ///     ring.open_session::<Secret>(name, &sealed, Timestamp::from(now), Duration::ZERO)
    /// };
    /// assert_eq!(**open(b"a", 1060).unwrap(), *b"state");
    /// assert_eq!(open(b"a", 1061).unwrap_err(), Refusal::Expired);
    /// assert_eq!(open(b"b", 1000).unwrap_err(), Refusal::Forged);
    /// # Ok::<(), sessile_redis::TierError>(())
    /// ```
    pub fn seal_session<T: Payload>(
        &self,
        name: &[u8],
        session: &Session<T>,
    ) -> Result<Vec<u8>, TierError> {
        let record = Record::of(session).ok_or(TierError::Payload)?;
        self.seal(name, &record.to_bytes())
    }

    /// Opens what [`seal_session`](Self::seal_session) sealed for this name. A session whose date
    /// is ahead of `now` by no more than `tolerance` is dated `now`.
    ///
    /// # Errors
    /// What cannot be trusted or used: see [`Refusal`].
    pub fn open_session<T: Payload>(
        &self,
        name: &[u8],
        sealed: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<Session<T>, Refusal> {
        let plain = self.open(name, sealed)?;
        Record::from_bytes(&plain)?.checked(now, tolerance)?.to_session()
    }

    /// Seals whatever bytes a fuzzer wants to be opened.
    #[cfg(fuzzing)]
    #[doc(hidden)]
    pub fn seal_anything(&self, name: &[u8], plain: &[u8]) -> Vec<u8> {
        self.seal(name, plain).unwrap_or_default()
    }
}
