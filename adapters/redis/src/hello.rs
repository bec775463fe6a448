//! What a client offers to resume, read from its first flight.
//!
//! A ClientHello may be spread over any number of records (RFC 8446 5.1). Only what is needed is
//! read: the session id (TLS 1.2) and the identities of the extension `pre_shared_key` (TLS 1.3).
//! Nothing of it is trusted: it says what to look for, and the handshake decides.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use sessile::SessionId;

/// A ClientHello that is longer is not read, in bytes.
pub const HELLO_MAX: usize = 1 << 16;

/// At most so many tickets of one ClientHello are looked for.
pub const TICKETS_MAX: usize = 4;

const RECORD_MAX: usize = 1 << 14;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const PRE_SHARED_KEY: u16 = 41;

/// What a client offers to resume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The session id, which names a TLS 1.2 session; TLS 1.3 clients fill it with random bytes.
    pub session_id: Option<SessionId>,
    /// Identities of pre-shared keys that can be session ids: stateful TLS 1.3 tickets. At most
    /// [`TICKETS_MAX`].
    pub tickets: Vec<SessionId>,
}

/// What a first flight shows so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flight {
    /// A whole ClientHello.
    Hello(Offer),
    /// The beginning of what may be one.
    Partial,
    /// Something else.
    Other,
}

/// Reads the first flight of a client: the records as they came from the network.
///
/// ```
/// use sessile_redis::hello::{Flight, read};
///
/// assert_eq!(read(&[]), Flight::Partial);
/// assert_eq!(read(b"GET / HTTP/1.1"), Flight::Other);
/// ```
pub fn read(flight: &[u8]) -> Flight {
    match hello_of(flight) {
        Ok(hello) => body_of(&hello).and_then(offer).map_or(Flight::Other, Flight::Hello),
        Err(flight) => flight,
    }
}

/// The handshake message in the first records, with its head.
fn hello_of(mut flight: &[u8]) -> Result<Cow<'_, [u8]>, Flight> {
    let mut message = Cow::Borrowed(&[][..]);
    // Each turn takes a record of at least one byte of content from the flight.
    loop {
        let (head, rest) = flight.split_at_checked(5).ok_or_else(|| begun(flight))?;
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if begun(head) == Flight::Other || length == 0 || length > RECORD_MAX {
            return Err(Flight::Other);
        }
        let content = &rest[..length.min(rest.len())];
        match message.is_empty() {
            true => message = Cow::Borrowed(content),
            false => message.to_mut().extend_from_slice(content),
        }
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Flight::Other);
        }
        if let Some(&[high, middle, low]) = message.get(1..4) {
            let end = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
            if end > HELLO_MAX {
                return Err(Flight::Other);
            }
            if message.len() >= end {
                return Ok(message);
            }
        }
        flight = rest.get(length..).ok_or(Flight::Partial)?;
    }
}

/// Whether the head of a record may be that of a handshake.
fn begun(head: &[u8]) -> Flight {
    let is_handshake = head.first().is_none_or(|kind| *kind == HANDSHAKE);
    let is_tls = head.get(1).is_none_or(|major| *major == 3);
    if is_handshake && is_tls { Flight::Partial } else { Flight::Other }
}

/// The message without its head, and without what follows it.
fn body_of(message: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader(message);
    reader.bytes(1)?;
    reader.vector::<3>()
}

/// What the body of a ClientHello offers (RFC 8446 4.1.2).
fn offer(mut body: Reader<'_>) -> Option<Offer> {
    body.bytes(2 + 32)?; // version, random
    let id = body.vector::<1>()?.0;
    body.vector::<2>()?; // cipher suites
    body.vector::<1>()?; // compression methods
    let mut offer = Offer { session_id: SessionId::new(id).ok(), tickets: Vec::new() };
    if body.0.is_empty() {
        return Some(offer);
    }
    let mut extensions = body.vector::<2>()?;
    while !extensions.0.is_empty() {
        let kind = u16::from_be_bytes(extensions.array()?);
        let mut content = extensions.vector::<2>()?;
        if kind == PRE_SHARED_KEY {
            offer.tickets = tickets(content.vector::<2>()?)?;
        }
    }
    Some(offer)
}

/// The identities that can be session ids.
fn tickets(mut identities: Reader<'_>) -> Option<Vec<SessionId>> {
    let mut tickets = Vec::new();
    while !identities.0.is_empty() {
        let identity = identities.vector::<2>()?.0;
        identities.bytes(4)?; // age
        if tickets.len() < TICKETS_MAX {
            tickets.extend(SessionId::new(identity).ok().filter(|id| !tickets.contains(id)));
        }
    }
    Some(tickets)
}

/// Reads from the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn bytes(&mut self, length: usize) -> Option<&'b [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.bytes(LENGTH)?.try_into().ok()
    }

    /// What lies behind a length of `SIZE` bytes.
    fn vector<const SIZE: usize>(&mut self) -> Option<Self> {
        let size: [u8; SIZE] = self.array()?;
        let length = size.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.bytes(length).map(Reader)
    }
}
