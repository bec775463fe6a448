//! What is remembered of a server that speaks TLS 1.3.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use rustls::NamedGroup;
use rustls::client::Tls13ClientSessionValue;

use crate::ring::Ring;

/// The most that is kept of one server in one protocol version, in bytes of tickets and
/// certificates. A server chooses both; rustls allows 64 KiB of each.
pub(crate) const BYTES_PER_SERVER: usize = 16 * 1024;

struct Ticket {
    value: Tls13ClientSessionValue,
    bytes: usize,
    /// The end of the window in which it was stored.
    last_second: u64,
}

/// The key exchange group and the TLS 1.3 tickets of one server. Newest ticket first out, each
/// once.
#[derive(Default)]
pub(crate) struct Shelf {
    /// The group's code point; 0, which TLS reserves, for none.
    group: AtomicU16,
    /// Bytes of all tickets, also of one that is being put in.
    bytes: AtomicUsize,
    tickets: Ring<Ticket>,
}

impl Shelf {
    // ORDERING: Relaxed for the group and the bytes: words that publish nothing.

    pub(crate) fn set_group(&self, group: NamedGroup) {
        self.group.store(u16::from(group), Ordering::Relaxed);
    }

    pub(crate) fn group(&self) -> Option<NamedGroup> {
        Some(self.group.load(Ordering::Relaxed)).filter(|code| *code != 0).map(NamedGroup::from)
    }

    /// Puts a ticket in; the oldest leave until all fit. One that is too large by itself is
    /// dropped.
    pub(crate) fn put(&self, value: Tls13ClientSessionValue, last_second: u64) {
        if let Some(bytes) = size_of(&value) {
            self.put_ticket(Box::new(Ticket { value, bytes, last_second }));
        }
    }

    fn put_ticket(&self, ticket: Box<Ticket>) {
        let bytes = ticket.bytes;
        let mut held = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        while held > BYTES_PER_SERVER {
            let Some(oldest) = self.tickets.take_oldest() else {
                // What is left belongs to other threads that are putting theirs in.
                return self.give_back(bytes);
            };
            self.give_back(oldest.bytes);
            held = self.bytes.load(Ordering::Relaxed);
        }
        if let Some(replaced) = self.tickets.put(ticket) {
            self.give_back(replaced.bytes);
        }
    }

    /// The newest ticket of the window that ends in `last_second`. Others are dropped: they are of
    /// windows that have ended, or of a handle with another maximum age.
    pub(crate) fn take(&self, last_second: u64) -> Option<Tls13ClientSessionValue> {
        loop {
            let ticket = self.tickets.take()?;
            self.give_back(ticket.bytes);
            if ticket.last_second == last_second {
                return Some(ticket.value);
            }
        }
    }

    /// Moves over what `older` holds.
    pub(crate) fn inherit(&self, older: &Self) {
        if let Some(group) = older.group() {
            let (group, relaxed) = (u16::from(group), Ordering::Relaxed);
            let _ = self.group.compare_exchange(0, group, relaxed, relaxed);
        }
        while let Some(ticket) = older.tickets.take_oldest() {
            older.give_back(ticket.bytes);
            self.put_ticket(ticket);
        }
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// About how many bytes a session of rustls holds; `None` if more than may be kept of a server.
///
/// rustls shows neither the ticket nor the certificates, but it shows how long they are: `Debug`
/// prints both in hexadecimal, two characters a byte. What it prints is counted and not kept.
pub(crate) fn size_of(value: &impl fmt::Debug) -> Option<usize> {
    let mut counter = Counter { left: 2 * BYTES_PER_SERVER };
    write!(counter, "{value:?}").ok()?;
    Some(BYTES_PER_SERVER - counter.left / 2)
}

/// Counts characters, up to a limit.
struct Counter {
    left: usize,
}

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
