//! What a client knows of one server.
#![forbid(unsafe_code)]

use std::time::Duration;

use crossbeam_utils::atomic::AtomicCell;
use openssl::ssl::{SslSession, SslSessionRef};
use sessile::{Clock, Timestamp};

use crate::clock::UnixClock;
use crate::ffi;

/// TLS 1.3 tickets kept for one server.
const TICKETS_PER_SERVER: usize = 8;

/// A session or ticket that can be offered.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) session: SslSession,
    /// When the server was authenticated, by a full handshake.
    pub(crate) authenticated: Timestamp,
    /// The last second of whatever is resumed from it, counted from the last full handshake.
    pub(crate) deadline: Timestamp,
}

impl Kept {
    /// The last second in which it may be offered.
    pub(crate) fn expiry(&self) -> Timestamp {
        let (created, timeout) = ffi::dates(&self.session);
        Timestamp::from(created.saturating_add(timeout)).min(self.deadline)
    }

    /// Whether it may be offered by a context of this maximum age.
    pub(crate) fn is_current(&self, longest_age: Duration) -> bool {
        let end = self.expiry().min(self.authenticated + longest_age);
        ffi::is_resumable(&self.session) && UnixClock.now() <= end
    }

    pub(crate) fn is(&self, session: &SslSessionRef) -> bool {
        ffi::same(&self.session, session)
    }
}

/// What one entry of the cache holds.
pub(crate) enum Memory {
    Tls12(Kept),
    Tls13(Shelf),
}

/// Boxed, because only one word can be swapped without a lock.
type Ticket = AtomicCell<Option<Box<Kept>>>;

const _: () = assert!(Ticket::is_lock_free() && AtomicCell::<usize>::is_lock_free());
const _: () = assert!(TICKETS_PER_SERVER.is_power_of_two(), "positions wrap around");

/// The TLS 1.3 tickets of one server; newest first out, oldest overwritten.
///
/// Tickets lie at the positions below `next`, modulo the ring's size. A ticket leaves only by a
/// swap, hence at most once. Threads that race for `next` can leave a gap, which later takes step
/// over.
#[derive(Default)]
pub(crate) struct Shelf {
    next: AtomicCell<usize>,
    tickets: [Ticket; TICKETS_PER_SERVER],
}

impl Shelf {
    pub(crate) fn put(&self, ticket: Box<Kept>) {
        let position = self.next.fetch_add(1);
        self.slot(position).store(Some(ticket));
    }

    pub(crate) fn take(&self) -> Option<Box<Kept>> {
        let next = self.next.load();
        (1..=TICKETS_PER_SERVER).find_map(|back| {
            let position = next.wrapping_sub(back);
            let ticket = self.slot(position).take()?;
            // Lost to another thread, the position stays above a gap.
            let _ = self.next.compare_exchange(next, position);
            Some(ticket)
        })
    }

    /// Moves over what `older` holds, up to its size, below what is here.
    pub(crate) fn inherit(&self, older: &Self) {
        let take = |shelf: &Self| -> Vec<_> { (0..TICKETS_PER_SERVER).map_while(|_| shelf.take()).collect() };
        let (older, own) = (take(older), take(self));
        older.into_iter().rev().chain(own.into_iter().rev()).for_each(|ticket| self.put(ticket));
    }

    fn slot(&self, position: usize) -> &Ticket {
        &self.tickets[position % TICKETS_PER_SERVER]
    }
}
