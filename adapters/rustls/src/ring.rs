//! Up to eight tickets, newest first out; without locks.
//!
//! One word tells which of eight cells hold a ticket, and in which order. A put takes a cell out of
//! the free ones, fills it, and appends it to the order; a take removes the newest from the order,
//! empties its cell, and makes it free. Each of these is one exchange of the whole word: it
//! succeeds only if nothing has changed, or if everything is again as it was, which comes to the
//! same. Between its exchanges a cell is in neither list and belongs to one thread.
//!
//! A thread that sleeps there holds one cell back, and nobody waits for it. A put that finds
//! neither a free cell nor a ticket to replace drops its own.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::atomic::AtomicCell;

/// TLS 1.3 tickets kept for one server; as many as rustls's own store keeps.
pub(crate) const TICKETS_PER_SERVER: usize = 8;

/// Bits of one cell's number in the order.
const DIGIT_BITS: u32 = 4;

const _: () = assert!(AtomicCell::<Option<Box<u8>>>::is_lock_free());
const _: () = assert!(TICKETS_PER_SERVER as u32 * DIGIT_BITS <= 32, "the order fits into half a word");

/// The state of all cells.
#[derive(Clone, Copy)]
struct Cells {
    /// The cells with tickets, oldest in the lowest digit, each as its number plus one; 0 ends the
    /// list.
    order: u32,
    /// A bit for each cell without a ticket.
    free: u8,
}

impl Cells {
    const EMPTY: Self = Self { order: 0, free: u8::MAX };

    const fn to_word(self) -> u64 {
        (self.order as u64) << 8 | self.free as u64
    }

    const fn from_word(word: u64) -> Self {
        Self { order: (word >> 8) as u32, free: word as u8 }
    }

    /// A free cell, now nobody's.
    fn claim_free(self) -> Option<(usize, Self)> {
        let cell = self.free.trailing_zeros() as usize;
        (self.free != 0).then(|| (cell, Self { free: self.free & (self.free - 1), ..self }))
    }

    /// The cell of the oldest ticket, now nobody's.
    fn claim_oldest(self) -> Option<(usize, Self)> {
        let digit = self.order & ((1 << DIGIT_BITS) - 1);
        (digit != 0).then(|| (digit as usize - 1, Self { order: self.order >> DIGIT_BITS, ..self }))
    }

    /// The cell of the newest ticket, now nobody's.
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

/// The tickets of one server.
pub(crate) struct Ring<T> {
    cells: AtomicU64,
    tickets: [AtomicCell<Option<Box<T>>>; TICKETS_PER_SERVER],
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { cells: AtomicU64::new(Cells::EMPTY.to_word()), tickets: Default::default() }
    }
}

impl<T> Ring<T> {
    /// Puts a ticket in, in place of the oldest if there are eight. Answers what is not in the ring
    /// afterwards: the one replaced, or the new one itself if every cell is another thread's.
    pub(crate) fn put(&self, ticket: Box<T>) -> Option<Box<T>> {
        let claim = |cells: Cells| cells.claim_free().or_else(|| cells.claim_oldest());
        let Some(cell) = self.update(claim) else { return Some(ticket) };
        let replaced = self.tickets[cell].swap(Some(ticket));
        self.update(|cells| Some(((), cells.with_newest(cell))));
        replaced
    }

    /// Takes the newest ticket out.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.take_by(Cells::claim_newest)
    }

    /// Takes the oldest ticket out.
    pub(crate) fn take_oldest(&self) -> Option<Box<T>> {
        self.take_by(Cells::claim_oldest)
    }

    fn take_by(&self, claim: impl Fn(Cells) -> Option<(usize, Cells)>) -> Option<Box<T>> {
        let cell = self.update(claim)?;
        let ticket = self.tickets[cell].take();
        self.update(|cells| Some(((), cells.with_free(cell))));
        ticket
    }

    /// Changes the state in one step, unless `change` has nothing to change.
    fn update<R>(&self, change: impl Fn(Cells) -> Option<(R, Cells)>) -> Option<R> {
        // ORDERING: Acquire, also of the exchange: a cell that is claimed was left by another
        // thread, whose swap of it comes before; pairs with the Release of the exchange.
        let mut word = self.cells.load(Ordering::Acquire);
        loop {
            let (result, next) = change(Cells::from_word(word))?;
            let exchanged =
                self.cells.compare_exchange_weak(word, next.to_word(), Ordering::AcqRel, Ordering::Acquire);
            match exchanged {
                Ok(_) => return Some(result),
                Err(newer) => word = newer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    fn drain(ring: &Ring<u32>) -> Vec<u32> {
        std::iter::from_fn(|| ring.take()).map(|ticket| *ticket).collect()
    }

    #[test]
    fn newest_comes_out_first_and_oldest_is_replaced() {
        let ring = Ring::default();
        for round in 0..3 {
            for ticket in 0..20 {
                let replaced = ring.put(Box::new(round * 100 + ticket));
                assert_eq!(replaced.map(|old| *old), (ticket >= 8).then(|| round * 100 + ticket - 8));
            }
            assert_eq!(ring.take_oldest().as_deref(), Some(&(round * 100 + 12)));
            assert_eq!(ring.take().as_deref(), Some(&(round * 100 + 19)));
            assert!(ring.put(Box::new(7)).is_none());
            let rest = drain(&ring);
            let expected = [7, 18, 17, 16, 15, 14, 13].map(|ticket| match ticket {
                7 => 7,
                ticket => round * 100 + ticket,
            });
            assert_eq!(rest, expected);
            assert!(ring.take().is_none() && ring.take_oldest().is_none());
        }
    }

    #[test]
    fn races_lose_no_ticket_while_there_is_room() {
        const THREADS: u32 = 4;
        const ROUNDS: u32 = 2_000;
        // Each thread has at most two tickets in, so eight cells are enough.
        let ring = Ring::default();
        let start = Barrier::new(THREADS as usize);
        let work = |thread: u32| {
            start.wait();
            let mut taken = Vec::new();
            for round in 0..ROUNDS {
                let number = (thread * ROUNDS + round) * 2;
                assert!(ring.put(Box::new(number)).is_none());
                taken.extend(ring.take().map(|ticket| *ticket));
                assert!(ring.put(Box::new(number + 1)).is_none());
                taken.extend(ring.take().map(|ticket| *ticket));
            }
            taken
        };
        let mut taken: Vec<u32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        taken.extend(drain(&ring));
        taken.sort_unstable();
        assert_eq!(taken, (0..THREADS * ROUNDS * 2).collect::<Vec<_>>(), "all of them, none twice");
    }
}
