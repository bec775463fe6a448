//! A client's tickets of one server: without locks, bounded in number and in bytes.
//!
//! One word says which of eight cells hold a ticket, and in which order. A put claims a free cell,
//! or that of the oldest ticket, fills it, and appends it to the order. A take claims the cell of
//! the newest ticket, empties it, and frees it. Each of these steps is one exchange of the whole
//! word. Between its two exchanges a claimed cell is in neither list: it belongs to the thread that
//! claimed it. INVARIANT(CLAIMED): only that thread touches its content.
//!
//! A thread that sleeps there holds one cell back, and nobody waits for it.

use crate::sync::untracked::AtomicU64 as Untracked;
use crate::sync::{AtomicU64, Ordering, UnsafeCell, relax};
use std::fmt;

/// Bits of one cell's number in the order.
const DIGIT_BITS: u32 = 4;

/// The state of all cells.
#[derive(Clone, Copy)]
struct Cells {
    /// The cells with tickets, oldest in the lowest digit, each as its number plus one; 0 ends the
    /// list.
    order: u32,
    /// A bit for each cell that is free.
    free: u8,
}

const _: () = assert!(CAPACITY as u32 * DIGIT_BITS <= u32::BITS && CAPACITY as u32 <= u8::BITS);

const CAPACITY: usize = 8;

/// Tickets of one server, for clients: the newest comes out first, each at most once.
///
/// Holds up to [`CAPACITY`](Self::CAPACITY) tickets and a number of bytes; where a new one does not
/// fit, the oldest leave. A server chooses how large its tickets are: the bytes bound what it can
/// make a client hold. All operations are lock-free.
///
/// It is what a client's entry in a [`SessionCache`](crate::SessionCache) holds for TLS 1.3 (RFC
/// 8446, appendix C.4: a client should not reuse a ticket).
///
/// ```
/// use sessile::TicketRing;
///
/// let ring = TicketRing::new(1000);
/// assert!(ring.put("first", 400) && ring.put("second", 400));
/// assert!(ring.put("third", 400)); // the first leaves
/// assert_eq!(ring.take(), Some("third"));
/// assert_eq!(ring.take(), Some("second"));
/// assert_eq!(ring.take(), None);
/// ```
pub struct TicketRing<V> {
    cells: AtomicU64,
    /// Bytes of all tickets, also of one that is being put in.
    held_bytes: Untracked,
    max_bytes: u32,
    tickets: [UnsafeCell<Option<Box<Ticket<V>>>>; CAPACITY],
}

struct Ticket<V> {
    value: V,
    bytes: u32,
}

// SAFETY: a cell's content is touched by one thread at a time (INVARIANT(CLAIMED)), and moves from
// thread to thread.
unsafe impl<V: Send> Send for TicketRing<V> {}
// SAFETY: as above. A shared ring gives out values, never references to them.
unsafe impl<V: Send> Sync for TicketRing<V> {}

/// Bytes of a ticket that is being put in; dropped, they are given back.
struct Reserved<'r> {
    held_bytes: &'r Untracked,
    bytes: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: a sum that publishes nothing.
        self.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Cells {
    const EMPTY: Self = Self { order: 0, free: u8::MAX };

    const fn to_word(self) -> u64 {
        (self.order as u64) << 8 | self.free as u64
    }

    const fn from_word(word: u64) -> Self {
        Self { order: (word >> 8) as u32, free: word as u8 }
    }

    fn claim_free(self) -> Option<(usize, Self)> {
        let cell = self.free.trailing_zeros() as usize;
        (self.free != 0).then(|| (cell, Self { free: self.free & (self.free - 1), ..self }))
    }

    fn claim_oldest(self) -> Option<(usize, Self)> {
        let digit = self.order & ((1 << DIGIT_BITS) - 1);
        (digit != 0).then(|| (digit as usize - 1, Self { order: self.order >> DIGIT_BITS, ..self }))
    }

    fn claim_newest(self) -> Option<(usize, Self)> {
        let shift = self.len().checked_sub(1)? * DIGIT_BITS;
        let digit = self.order >> shift;
        Some((digit as usize - 1, Self { order: self.order ^ digit << shift, ..self }))
    }

    fn with_newest(self, cell: usize) -> Self {
        let digit = cell as u32 + 1;
        Self { order: self.order | digit << (self.len() * DIGIT_BITS), ..self }
    }

    fn with_free(self, cell: usize) -> Self {
        Self { free: self.free | 1 << cell, ..self }
    }

    /// The number of tickets.
    fn len(self) -> u32 {
        (u32::BITS - self.order.leading_zeros()).div_ceil(DIGIT_BITS)
    }
}

impl<V> TicketRing<V> {
    /// Tickets that a ring holds at most; as many as rustls's own client store keeps for a server.
    pub const CAPACITY: usize = CAPACITY;

    /// A ring for tickets of together at most `max_bytes`, by the sizes that are given to
    /// [`put`](Self::put).
    pub fn new(max_bytes: u32) -> Self {
        Self {
            cells: AtomicU64::new(Cells::EMPTY.to_word()),
            held_bytes: Untracked::new(0),
            max_bytes,
            tickets: [(); CAPACITY].map(|()| UnsafeCell::new(None)),
        }
    }

    /// Puts a ticket of `bytes` in. The oldest leave until it fits.
    ///
    /// False if it is dropped: it is larger than the ring, or other threads are putting in so much
    /// at this moment that there is no room beside theirs.
    pub fn put(&self, value: V, bytes: usize) -> bool {
        match u32::try_from(bytes) {
            Ok(bytes) if bytes <= self.max_bytes => {
                self.put_ticket(Box::new(Ticket { value, bytes }))
            }
            _ => false,
        }
    }

    fn put_ticket(&self, ticket: Box<Ticket<V>>) -> bool {
        let bytes = u64::from(ticket.bytes);
        // ORDERING: Relaxed throughout: a sum that publishes nothing.
        let mut held = self.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // A ticket's drop may panic.
        let reserved = Reserved { held_bytes: &self.held_bytes, bytes };
        while held > u64::from(self.max_bytes) {
            let Some(oldest) = self.take_by(Cells::claim_oldest) else {
                // The rest belongs to other threads that are putting theirs in.
                return false;
            };
            held = self.held_bytes.load(Ordering::Relaxed);
            drop(oldest);
        }
        let claim = |cells: Cells| cells.claim_free().or_else(|| cells.claim_oldest());
        let Some(cell) = self.update(claim) else { return false };
        std::mem::forget(reserved);
        // SAFETY: INVARIANT(CLAIMED): this thread has claimed the cell.
        let replaced = self.tickets[cell].with_mut(|content| unsafe { (*content).replace(ticket) });
        self.update(|cells| Some(((), cells.with_newest(cell))));
        if let Some(replaced) = &replaced {
            self.held_bytes.fetch_sub(u64::from(replaced.bytes), Ordering::Relaxed);
        }
        true
    }

    /// Takes the newest ticket out.
    pub fn take(&self) -> Option<V> {
        self.take_by(Cells::claim_newest).map(|ticket| ticket.value)
    }

    /// Moves over what `older` holds: for an entry that has replaced another one.
    pub fn inherit(&self, older: &Self) {
        // Bounded: whoever goes on putting into `older` does not keep this thread here.
        for _ in 0..CAPACITY {
            let Some(ticket) = older.take_by(Cells::claim_oldest) else { return };
            self.put(ticket.value, ticket.bytes as usize);
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
            self.held_bytes.fetch_sub(u64::from(ticket.bytes), Ordering::Relaxed);
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
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    fn drain(ring: &TicketRing<u32>) -> Vec<u32> {
        std::iter::from_fn(|| ring.take()).collect()
    }

    #[test]
    fn newest_comes_out_first_and_oldest_is_replaced() {
        let ring = TicketRing::new(1000);
        for round in 0..3 {
            (0..20).for_each(|ticket| assert!(ring.put(round * 100 + ticket, 1)));
            assert_eq!((ring.len(), ring.take()), (8, Some(round * 100 + 19)));
            assert!(ring.put(7, 1));
            let expected = [7, 18, 17, 16, 15, 14, 13, 12]
                .map(|ticket| if ticket == 7 { 7 } else { round * 100 + ticket });
            assert_eq!(drain(&ring), expected);
            assert!(ring.is_empty());
        }
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let ring = TicketRing::new(100);
        assert!(!ring.put(0, 101) && !ring.put(0, usize::MAX));
        (1..4).for_each(|ticket| assert!(ring.put(ticket, 40)));
        assert_eq!(ring.len(), 2);
        assert!(ring.put(4, 100));
        assert_eq!(drain(&ring), [4]);
        (0..1000).for_each(|ticket| assert!(ring.put(ticket, 50)));
        let older = TicketRing::new(100);
        (5..8).for_each(|ticket| assert!(older.put(ticket, 10)));
        ring.inherit(&older);
        assert_eq!(drain(&ring), [7, 6, 5, 999]);
        assert!(older.is_empty() && ring.put(9, 100));
    }

    #[test]
    fn races_lose_no_ticket_while_there_is_room() {
        const THREADS: u32 = 4;
        const ROUNDS: u32 = 2_000;
        // Each thread has at most two tickets in, so eight cells are enough.
        let ring = TicketRing::new(u32::MAX);
        let start = Barrier::new(THREADS as usize);
        let work = |thread: u32| {
            start.wait();
            let mut taken = Vec::new();
            for round in 0..ROUNDS {
                let number = (thread * ROUNDS + round) * 2;
                assert!(ring.put(number, 1));
                taken.extend(ring.take());
                assert!(ring.put(number + 1, 1));
                taken.extend(ring.take());
            }
            taken
        };
        let mut taken: Vec<u32> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        taken.extend(drain(&ring));
        taken.sort_unstable();
        assert_eq!(taken, (0..THREADS * ROUNDS * 2).collect::<Vec<_>>(), "all of them, none twice");
    }

    #[test]
    fn a_panic_of_a_ticket_that_leaves_costs_no_room() {
        struct Loud(bool);

        impl Drop for Loud {
            fn drop(&mut self) {
                assert!(!self.0, "loud");
            }
        }

        let ring = TicketRing::new(100);
        assert!(ring.put(Loud(true), 100));
        let put = std::panic::AssertUnwindSafe(|| ring.put(Loud(false), 60));
        assert!(std::panic::catch_unwind(put).is_err() && ring.is_empty());
        assert!(ring.put(Loud(false), 60), "an empty ring of 100 bytes");
    }
}
