//! A client's tickets of one server: without locks, bounded in number and in bytes.
//!
//! One word says which of eight cells hold a ticket, and in which order. A put claims a free cell,
//! or that of the oldest ticket, fills it, and appends it to the order. A take claims the cell of
//! the newest ticket, empties it, and frees it. Each of these steps is one exchange of the whole
//! word. Between its two exchanges a claimed cell is in neither list: it belongs to the thread that
//! claimed it. INVARIANT(CLAIMED): only that thread touches its content.
//!
//! A thread that sleeps there holds one cell back, and nobody waits for it.
//!
//! A put counts its bytes, appends its ticket, and only then takes the oldest while the sum is too
//! large and at least two tickets are in the order. So the newest stays, whatever other threads put
//! in or take out. A thread that appends sees the bytes of all tickets that were appended before:
//! whoever appends last makes the rest fit. What others are taking out at that moment is still in
//! the sum; more tickets than necessary can leave for it.
//!
//! A bit of the word closes the ring. INVARIANT(CLOSED): nothing is appended to a closed ring.
//! Whoever replaces the entry that holds it closes it afterwards, and moves its tickets. A put that
//! finds it closed looks for the entry again, and finds the newer one.

mod cells;

use self::cells::{CAPACITY, Cells};
use crate::sync::{AtomicU64, Ordering, UnsafeCell, relax};
use std::{error, fmt, ptr};

/// Tickets of one server, for clients: the newest comes out first, each at most once.
///
/// Holds up to [`CAPACITY`](Self::CAPACITY) tickets and a number of bytes; where a new one does not
/// fit, the oldest leave. A server chooses how large its tickets are: the bytes bound what it can
/// make a client hold. They can be exceeded while threads are putting tickets in, by one ticket for
/// each of these threads. All operations are lock-free.
///
/// It is what a client's entry in a [`SessionCache`](crate::SessionCache) holds for TLS 1.3 (RFC
/// 8446, appendix C.4: a client should not reuse a ticket).
///
/// ```
/// use sessile::TicketRing;
///
/// let ring = TicketRing::new(1000);
/// ring.put("first", 400)?;
/// ring.put("second", 400)?;
/// ring.put("third", 400)?; // the first leaves
/// assert_eq!(ring.take(), Some("third"));
/// assert_eq!(ring.take(), Some("second"));
/// assert_eq!(ring.take(), None);
/// # Ok::<(), sessile::PutError<&str>>(())
/// ```
pub struct TicketRing<V> {
    cells: AtomicU64,
    /// Bytes of all tickets, also of those that are being put in or taken out.
    held_bytes: AtomicU64,
    max_bytes: u32,
    tickets: [UnsafeCell<Option<Box<Ticket<V>>>>; CAPACITY],
}

struct Ticket<V> {
    value: V,
    bytes: u32,
}

/// A ticket that [`TicketRing::put`] gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutError<V> {
    /// It is larger than the ring, or other threads are putting a ticket into, or taking one out
    /// of, each of the ring's places at this moment.
    Full(V),
    /// The ring takes no more: it was [closed](TicketRing::close).
    Closed(V),
}

impl<V> fmt::Debug for PutError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<V> fmt::Display for PutError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "no room for this ticket",
            Self::Closed(_) => "the ring of tickets is closed",
        })
    }
}

impl<V> error::Error for PutError<V> {}

// SAFETY: a cell's content is touched by one thread at a time (INVARIANT(CLAIMED)), and moves from
// thread to thread.
unsafe impl<V: Send> Send for TicketRing<V> {}
// SAFETY: as above. A shared ring gives out values, never references to them.
unsafe impl<V: Send> Sync for TicketRing<V> {}

impl<V> TicketRing<V> {
    /// Tickets that a ring holds at most; as many as rustls's own client store keeps for a server.
    pub const CAPACITY: usize = CAPACITY;

    /// A ring for tickets of together at most `max_bytes`, by the sizes that are given to
    /// [`put`](Self::put).
    pub fn new(max_bytes: u32) -> Self {
        Self {
            cells: AtomicU64::new(Cells::EMPTY.to_word()),
            held_bytes: AtomicU64::new(0),
            max_bytes,
            tickets: [(); CAPACITY].map(|()| UnsafeCell::new(None)),
        }
    }

    /// Puts a ticket of `bytes` in as the newest. The oldest leave until the rest fits. Beside
    /// other threads, more can leave than had to.
    ///
    /// # Errors
    /// [`PutError`] gives the ticket back.
    pub fn put(&self, value: V, bytes: usize) -> Result<(), PutError<V>> {
        match u32::try_from(bytes) {
            Ok(bytes) if bytes <= self.max_bytes => {
                self.put_ticket(Box::new(Ticket { value, bytes }))
            }
            _ => Err(PutError::Full(value)),
        }
    }

    fn put_ticket(&self, ticket: Box<Ticket<V>>) -> Result<(), PutError<V>> {
        let Some(cell) = self.update(Cells::claim_for_put) else {
            return Err(self.not_put(ticket.value));
        };
        let bytes = u64::from(ticket.bytes);
        // SAFETY: INVARIANT(CLAIMED): this thread has claimed the cell.
        let replaced = self.tickets[cell].with_mut(|content| unsafe { (*content).replace(ticket) });
        // ORDERING: Relaxed: the exchange that appends publishes it to whoever appends later.
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_put = self.update(|cells| Some(((), cells.append(cell)?))).is_some();
        if let Some(replaced) = &replaced {
            self.give_back(replaced.bytes);
        }
        if is_put {
            self.trim();
            // Its drop may panic.
            drop(replaced);
            return Ok(());
        }
        // The ring was closed.
        // SAFETY: INVARIANT(CLAIMED): the cell was not appended, and is not freed.
        let ticket = self.tickets[cell].with_mut(|content| unsafe { (*content).take() });
        ticket.map_or(Ok(()), |ticket| Err(self.not_put(ticket.value)))
    }

    /// The oldest leave until the rest fits. The newest stays.
    fn trim(&self) {
        // ORDERING: Relaxed: this thread's append has acquired what was counted before others.
        while self.held_bytes.load(Ordering::Relaxed) > u64::from(self.max_bytes) {
            if self.take_by(Cells::claim_oldest_of_several).is_none() {
                return;
            }
        }
    }

    fn give_back(&self, bytes: u32) {
        // ORDERING: Relaxed: a sum that is too large for a while costs a ticket at most.
        self.held_bytes.fetch_sub(u64::from(bytes), Ordering::Relaxed);
    }

    /// Why a ticket was not put in.
    fn not_put(&self, value: V) -> PutError<V> {
        // ORDERING: Acquire: who finds the ring closed finds the entry that has replaced the one
        // with this ring. Model: `closed_ring_has_a_successor`.
        match Cells::from_word(self.cells.load(Ordering::Acquire)).is_closed() {
            true => PutError::Closed(value),
            false => PutError::Full(value),
        }
    }

    /// Takes the newest ticket out.
    pub fn take(&self) -> Option<V> {
        self.take_by(Cells::claim_newest).map(|ticket| ticket.value)
    }

    /// Closes the ring for good and takes all tickets out, newest first, each with its size: for an
    /// entry that has left the cache. A put that is not through by now fails. Close none that is
    /// still to be found: nothing can be put into its entry any more.
    pub fn close(&self) -> Vec<(V, usize)> {
        self.update(|cells| Some(((), cells.close())));
        std::iter::from_fn(|| self.take_by(Cells::claim_newest))
            .map(|ticket| (ticket.value, ticket.bytes as usize))
            .collect()
    }

    /// Puts tickets, each with its size, into the ring of a server's entry in a cache, the last one
    /// first. Threads that meet one server at the same moment lose none of them to each other.
    ///
    /// `entry` finds the entry in the cache or adds one; it answers the entry and the one that it
    /// has replaced, whose tickets move. `ring` shows the ring of an entry. What does not fit is
    /// dropped. Tickets that move count as put in now: they come out before those that other
    /// threads have put into the new ring meanwhile. An entry that is evicted or removed meanwhile
    /// takes its tickets along.
    ///
    /// Answers the entry. The answer is `None`, and the tickets are dropped, those that were to
    /// move as well, if `entry` or `ring` has none, or if `entry` answers a closed ring once more.
    ///
    /// ```
    /// use sessile::{Added, Session, SessionCache, SessionId, TicketRing};
    ///
    /// let cache = SessionCache::<TicketRing<&str>>::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// let entry = || match cache.get(&id) {
    ///     Some(found) => Some((found, None)),
    ///     None => {
    ///         let made = Session::new(id, TicketRing::new(1000));
    ///         match cache.add(made.clone()).ok()? {
    ///             Added::Replaced(older) => Some((made, Some(older))),
    ///             _ => Some((made, None)),
    ///         }
    ///     }
    /// };
    /// TicketRing::put_into_entry(vec![("ticket", 300)], entry, |entry| Some(&**entry));
    /// assert_eq!(cache.read(&id, |ring| ring.take()), Some(Some("ticket")));
    /// # Ok::<(), sessile::BuildError>(())
    /// ```
    pub fn put_into_entry<E>(
        mut tickets: Vec<(V, usize)>,
        entry: impl Fn() -> Option<(E, Option<E>)>,
        ring: impl Fn(&E) -> Option<&Self>,
    ) -> Option<E> {
        let mut closed: Option<E> = None;
        'entry: loop {
            let (current, replaced) = entry()?;
            if let Some(older) = replaced.as_ref().and_then(&ring) {
                tickets.extend(older.close());
            }
            let into = ring(&current)?;
            if closed.as_ref().and_then(&ring).is_some_and(|closed| ptr::eq(closed, into)) {
                // Closed without having been replaced: it would be found for ever.
                return None;
            }
            while let Some((value, bytes)) = tickets.pop() {
                if let Err(PutError::Closed(value)) = into.put(value, bytes) {
                    // Another thread has replaced the entry.
                    tickets.push((value, bytes));
                    closed = Some(current);
                    continue 'entry;
                }
            }
            return Some(current);
        }
    }

    /// Tickets in the ring.
    pub fn len(&self) -> usize {
        // ORDERING: Relaxed: a count.
        Cells::from_word(self.cells.load(Ordering::Relaxed)).len() as usize
    }

    /// Whether no ticket is in the ring.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take_by(&self, claim: impl Fn(Cells) -> Option<(usize, Cells)>) -> Option<Box<Ticket<V>>> {
        let cell = self.update(claim)?;
        // SAFETY: INVARIANT(CLAIMED): this thread has claimed the cell.
        let ticket = self.tickets[cell].with_mut(|content| unsafe { (*content).take() });
        self.update(|cells| Some(((), cells.with_free(cell))));
        if let Some(ticket) = &ticket {
            self.give_back(ticket.bytes);
        }
        ticket
    }

    /// Changes the state in one step, unless `change` has nothing to change.
    fn update<R>(&self, change: impl Fn(Cells) -> Option<(R, Cells)>) -> Option<R> {
        // ORDERING: Relaxed: only compared.
        let mut word = self.cells.load(Ordering::Relaxed);
        loop {
            let (result, next) = change(Cells::from_word(word))?;
            // ORDERING: Acquire and Release: whoever claims a cell sees its content as the thread
            // left it that gave the cell up. Relaxed on failure: only compared. Model:
            // `tickets_change_hands`.
            match self.cells.compare_exchange(
                word,
                next.to_word(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(result),
                Err(now) => {
                    word = now;
                    relax();
                }
            }
        }
    }
}

impl<V> fmt::Debug for TicketRing<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketRing").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(sessile_loom, sessile_shuttle))))]
mod tests;
