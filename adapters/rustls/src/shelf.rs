//! What is remembered of a server that speaks TLS 1.3.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU16, Ordering};

use rustls::NamedGroup;
use rustls::client::Tls13ClientSessionValue;
use sessile::TicketRing;

/// The most that is kept of one server in one protocol version, in bytes of tickets and
/// certificates. A server chooses both; rustls allows 64 KiB of each.
pub(crate) const BYTES_PER_SERVER: usize = 16 * 1024;

pub(crate) struct Ticket {
    pub(crate) value: Tls13ClientSessionValue,
    /// The end of the window in which it was stored.
    pub(crate) last_second: u64,
}

/// The key exchange group and the TLS 1.3 tickets of one server.
pub(crate) struct Shelf {
    /// The group's code point; 0, which TLS reserves, for none.
    group: AtomicU16,
    tickets: TicketRing<Ticket>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { group: AtomicU16::new(0), tickets: TicketRing::new(BYTES_PER_SERVER as u32) }
    }
}

impl Shelf {
    // ORDERING: Relaxed: the group publishes nothing.

    pub(crate) fn set_group(&self, group: NamedGroup) {
        self.group.store(u16::from(group), Ordering::Relaxed);
    }

    pub(crate) fn group(&self) -> Option<NamedGroup> {
        Some(self.group.load(Ordering::Relaxed)).filter(|code| *code != 0).map(NamedGroup::from)
    }

    pub(crate) fn tickets(&self) -> &TicketRing<Ticket> {
        &self.tickets
    }

    /// The newest ticket of the window that ends in `last_second`. Others are dropped: they are of
    /// windows that have ended, or of a handle with another maximum age.
    pub(crate) fn take(&self, last_second: u64) -> Option<Tls13ClientSessionValue> {
        loop {
            let ticket = self.tickets.take()?;
            if ticket.last_second == last_second {
                return Some(ticket.value);
            }
        }
    }

    /// The group of a shelf that this one has replaced, unless this one has one of its own.
    pub(crate) fn inherit_group(&self, older: &Self) {
        if let Some(group) = older.group() {
            let (group, relaxed) = (u16::from(group), Ordering::Relaxed);
            let _ = self.group.compare_exchange(0, group, relaxed, relaxed);
        }
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
