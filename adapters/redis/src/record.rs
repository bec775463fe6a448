//! A session as bytes, before it is sealed: its full key, its dates and its payload.
//!
//! ```text
//! context 32 · protocol 2 · created 8 · timeout 8 · deadline 8 · id length 1 · id · payload
//! ```
//!
//! Numbers are big-endian, dates are in seconds of the cache's clock. A deadline of all ones is
//! none.
#![forbid(unsafe_code)]

use std::time::Duration;

use sessile::{Context, Protocol, Secret, Session, SessionId, Timestamp};
use zeroize::Zeroizing;

use crate::payload::Payload;
use crate::place::Place;
use crate::refusal::Refusal;

const HEAD: usize = 32 + 2 + 8 + 8 + 8 + 1;

/// The longest payload that is sealed or opened, in bytes. A session with a chain of client
/// certificates takes some tens of KiB.
pub const PAYLOAD_MAX: usize = 1 << 20;

/// The longest record.
pub(crate) const RECORD_MAX: usize = HEAD + SessionId::MAX_LEN + PAYLOAD_MAX;

/// What is kept of a session outside of a cache.
pub(crate) struct Record {
    pub(crate) place: Place,
    created: u64,
    timeout: u64,
    deadline: u64,
    payload: Secret,
}

impl Record {
    /// `None` for a session that cannot travel: one that is not resumable, has no dates, or whose
    /// payload has no bytes or too many.
    pub(crate) fn of<T: Payload>(session: &Session<T>) -> Option<Self> {
        if !session.is_resumable() {
            return None;
        }
        let payload = T::encode(session).filter(|payload| payload.len() <= PAYLOAD_MAX)?;
        Some(Self {
            place: Place::of(session),
            created: session.created_at()?.as_secs(),
            timeout: session.timeout()?.as_secs(),
            deadline: session.deadline().unwrap_or(Timestamp::MAX).as_secs(),
            payload,
        })
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::new());
        self.write_to(&mut bytes);
        bytes
    }

    /// Appends the record.
    pub(crate) fn write_to(&self, bytes: &mut Zeroizing<Vec<u8>>) {
        let id = self.place.id.as_bytes();
        let length = bytes.len() + HEAD + id.len() + self.payload.len();
        if bytes.capacity() < length {
            // A vector that grows leaves an unwiped copy behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(length));
            larger.extend_from_slice(bytes);
            *bytes = larger;
        }
        bytes.extend_from_slice(self.place.context.as_bytes());
        bytes.extend_from_slice(&self.place.protocol.0.to_be_bytes());
        for date in [self.created, self.timeout, self.deadline] {
            bytes.extend_from_slice(&date.to_be_bytes());
        }
        bytes.push(id.len() as u8);
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(&self.payload);
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader(bytes);
        let context = Context::from_bytes(reader.array()?);
        let protocol = Protocol(u16::from_be_bytes(reader.array()?));
        let [created, timeout, deadline] =
            [reader.array()?, reader.array()?, reader.array()?].map(u64::from_be_bytes);
        let [length] = reader.array()?;
        let id = SessionId::new(reader.bytes(length.into())?).map_err(|_| Refusal::Malformed)?;
        if reader.0.len() > PAYLOAD_MAX {
            return Err(Refusal::Malformed);
        }
        let payload = Secret::from(reader.0);
        let place = Place { context, protocol, id };
        Ok(Self { place, created, timeout, deadline, payload })
    }

    /// The last second of validity.
    pub(crate) fn expires(&self) -> u64 {
        self.created.saturating_add(self.timeout).min(self.deadline)
    }

    /// The record, unless it has expired or is dated in the future. A date that is ahead by no more
    /// than `tolerance` becomes `now`: clocks of two hosts show different seconds.
    pub(crate) fn checked(self, now: Timestamp, tolerance: Duration) -> Result<Self, Refusal> {
        if now.as_secs() > self.expires() {
            return Err(Refusal::Expired);
        }
        if self.created > (now + tolerance).as_secs() {
            return Err(Refusal::Future);
        }
        Ok(Self { created: self.created.min(now.as_secs()), ..self })
    }

    /// Builds the session again.
    pub(crate) fn to_session<T: Payload>(&self) -> Result<Session<T>, Refusal> {
        let payload = T::decode(&self.payload).ok_or(Refusal::Payload)?;
        let Place { context, protocol, id } = self.place;
        let builder = Session::<T>::builder(id).context(context).protocol(protocol);
        let builder = builder.created_at(self.created).timeout(Duration::from_secs(self.timeout));
        builder.deadline(self.deadline).try_build(payload).map_err(|_| Refusal::Payload)
    }
}

/// Reads from the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn bytes(&mut self, length: usize) -> Result<&'b [u8], Refusal> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(Refusal::Malformed)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Refusal> {
        self.bytes(LENGTH)?.try_into().map_err(|_| Refusal::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session<Secret> {
        let builder = Session::<Secret>::builder(SessionId::from([3; 32]));
        let builder = builder.context(Context::from_bytes([9; 32])).protocol(Protocol::TLS1_3);
        let builder = builder.created_at(1000).timeout(Duration::from_secs(60)).deadline(1040);
        builder.build(Secret::from(&b"state"[..]))
    }

    fn refusal<T>(result: Result<T, Refusal>) -> Option<Refusal> {
        result.err()
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        let bytes = Record::of(&session()).unwrap().to_bytes();
        let back = Record::from_bytes(&bytes).unwrap().to_session::<Secret>().unwrap();
        assert_eq!(Place::of(&back), Place::of(&session()));
        assert_eq!(back.created_at(), Some(Timestamp::from(1000)));
        assert_eq!(back.timeout(), Some(Duration::from_secs(60)));
        assert_eq!(back.deadline(), Some(Timestamp::from(1040)));
        assert_eq!(back.expires_at(), Some(Timestamp::from(1040)));
        assert_eq!(**back, *b"state");
    }

    #[test]
    fn cut_records_are_malformed() {
        let bytes = Record::of(&session()).unwrap().to_bytes();
        for length in 0..HEAD + 32 {
            assert_eq!(
                refusal(Record::from_bytes(&bytes[..length])),
                Some(Refusal::Malformed),
                "{length}"
            );
        }
    }

    #[test]
    fn dates_decide() {
        let checked = |now: u64, tolerance: u64| {
            let record = Record::of(&session()).unwrap();
            record.checked(now.into(), Duration::from_secs(tolerance))
        };
        assert_eq!(refusal(checked(1040, 0)), None, "the last second");
        assert_eq!(refusal(checked(1041, 9)), Some(Refusal::Expired));
        assert_eq!(refusal(checked(999, 0)), Some(Refusal::Future));
        assert_eq!(refusal(checked(997, 2)), Some(Refusal::Future));
        assert_eq!(checked(998, 2).unwrap().created, 998, "dated now");
    }
}
