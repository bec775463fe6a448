//! Sessions as bytes, for a process that is to be replaced by another.
//!
//! After eight bytes that name the format comes a record for each session, all numbers
//! little-endian: length of the id (1 byte), id, context (32), protocol (2), creation, timeout and
//! deadline in seconds (8 each, `u64::MAX` for none), length of the payload (4), payload.
#![forbid(unsafe_code)]

use super::SessionCache;
use crate::session::{Context, Protocol, Secret, Session, SessionBuilder, SessionId};
use crate::timestamp::Timestamp;
use std::fmt;
use std::time::Duration;

const FORMAT: &[u8; 8] = b"sessile\x01";

/// Bytes of a record beside its id and payload.
const RECORD_BYTES: usize = 1 + 32 + 2 + 3 * 8 + 4;

const NONE: u64 = u64::MAX;

/// Bytes that [`SessionCache::export`] did not make, or not all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidExport;

impl fmt::Display for InvalidExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no export of a session cache")
    }
}

impl std::error::Error for InvalidExport {}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// The stored sessions with their contexts and dates, for [`import`](Self::import) in another
    /// process. `encode` answers the bytes of a payload, or `None` to leave the session out;
    /// non-resumable sessions are left out too.
    ///
    /// **An import brings back sessions that were taken, removed or revoked after the export.** A
    /// TLS 1.3 ticket would then be resumed twice, and its early data accepted twice. So export
    /// after the last handshake, delete the file before the import, and import once. Revocations
    /// are no part of an export.
    ///
    /// The result is wiped when it is dropped; keep what is written of it as secret as a private
    /// key. Aborts when memory is exhausted.
    ///
    /// ```
    /// use sessile::{Secret, Session, SessionCache, SessionId};
    ///
    /// let old = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// old.add(Session::new(id, String::from("state")))?;
    /// let bytes = old.export(|state| Some(Secret::from(state.as_bytes())));
    ///
    /// let new = SessionCache::new(100)?;
    /// let decode = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    /// assert_eq!(new.import(&bytes, decode)?, 1);
    /// assert_eq!(*new.take(&id).unwrap(), "state");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If `encode` panics.
    pub fn export(&self, encode: impl Fn(&T) -> Option<Secret>) -> Secret {
        let encoded: Vec<_> = self
            .iter()
            .filter(Session::is_resumable)
            .filter_map(|session| {
                let payload = encode(Session::payload(&session))?;
                Some((session, u32::try_from(payload.len()).ok()?, payload))
            })
            .collect();
        let size = |(session, length, _): &(Session<T>, u32, Secret)| {
            RECORD_BYTES + session.id().as_ref().len() + *length as usize
        };
        // Of the right size at once: a vector that grows leaves copies behind.
        let mut bytes = Vec::with_capacity(FORMAT.len() + encoded.iter().map(size).sum::<usize>());
        bytes.extend_from_slice(FORMAT);
        for (session, length, payload) in &encoded {
            write_head(&mut bytes, session);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(payload);
        }
        Secret::from(bytes)
    }

    /// Adds the sessions of an [`export`](Self::export), and returns how many of them were
    /// accepted. `decode` makes a payload of its bytes, or answers `None` to leave the session out.
    ///
    /// Sessions keep their contexts and dates; those that expired meanwhile, or are refused for
    /// another reason, are dropped. Each is added as [`add_from_tier`](Self::add_from_tier) does
    /// it: the session may have been used since, so an adapter accepts no early data with it; one
    /// that is not dated later than the revocation of its context is refused; and
    /// [`Hooks::on_added`](crate::Hooks::on_added) does not hear of it. See `export` for what must
    /// not happen in between.
    ///
    /// # Errors
    /// Bytes that are no complete export. Nothing is added then.
    ///
    /// # Panics
    /// If `decode` or a hook panics.
    pub fn import(
        &self,
        export: &[u8],
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<usize, InvalidExport> {
        let mut rest = export.strip_prefix(FORMAT).ok_or(InvalidExport)?;
        let mut records = Vec::new();
        while !rest.is_empty() {
            records.push(read_record(&mut rest).ok_or(InvalidExport)?);
        }
        let sessions =
            records.into_iter().filter_map(|(draft, payload)| Some(draft.build(decode(payload)?)));
        Ok(sessions.map(|session| self.add_from_tier(session)).filter(Result::is_ok).count())
    }
}

fn write_head<T>(bytes: &mut Vec<u8>, session: &Session<T>) {
    let id = session.id();
    bytes.push(id.as_ref().len() as u8);
    bytes.extend_from_slice(id.as_ref());
    bytes.extend_from_slice(session.context().as_bytes());
    bytes.extend_from_slice(&session.protocol().0.to_le_bytes());
    let seconds = |time: Option<Timestamp>| time.map_or(NONE, Timestamp::as_secs);
    let timeout = session.timeout().map_or(NONE, |timeout| timeout.as_secs());
    for number in [seconds(session.created_at()), timeout, seconds(session.deadline())] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

/// Takes one record off the front.
fn read_record<'b>(bytes: &mut &'b [u8]) -> Option<(SessionBuilder, &'b [u8])> {
    let [length] = array(bytes)?;
    let id = SessionId::try_from(slice(bytes, length.into())?).ok()?;
    let context = Context::from_bytes(array(bytes)?);
    let protocol = Protocol(u16::from_le_bytes(array(bytes)?));
    let mut builder = SessionBuilder::new(id).context(context).protocol(protocol);
    let mut number = || Some(u64::from_le_bytes(array(bytes)?));
    let (created, timeout, deadline) = (number()?, number()?, number()?);
    if created != NONE {
        builder = builder.created_at(created);
    }
    if timeout != NONE {
        builder = builder.timeout(Duration::from_secs(timeout));
    }
    if deadline != NONE {
        builder = builder.deadline(deadline);
    }
    let length = u32::from_le_bytes(array(bytes)?);
    Some((builder, slice(bytes, length as usize)?))
}

fn slice<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (front, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(front)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    slice(bytes, N)?.try_into().ok()
}
