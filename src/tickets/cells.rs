//! The word of a ring: which cells hold a ticket, in which order, and whether the ring is closed.
//! Each function answers the word after one step.
#![forbid(unsafe_code)]

/// Bits of one cell's number in the order.
const DIGIT_BITS: u32 = 4;

/// The state of all cells.
#[derive(Clone, Copy)]
pub(super) struct Cells {
    /// The cells with tickets, oldest in the lowest digit, each as its number plus one; 0 ends the
    /// list.
    order: u32,
    /// A bit for each cell that is free.
    free: u8,
    is_closed: bool,
}

const _: () = assert!(CAPACITY as u32 * DIGIT_BITS <= u32::BITS && CAPACITY as u32 <= u8::BITS);

pub(super) const CAPACITY: usize = 8;

impl Cells {
    pub(super) const EMPTY: Self = Self { order: 0, free: u8::MAX, is_closed: false };

    pub(super) const fn to_word(self) -> u64 {
        (self.is_closed as u64) << 40 | (self.order as u64) << 8 | self.free as u64
    }

    pub(super) const fn from_word(word: u64) -> Self {
        Self { order: (word >> 8) as u32, free: word as u8, is_closed: word >> 40 != 0 }
    }

    /// For a ticket that is put in: a free cell, else that of the oldest ticket.
    pub(super) fn claim_for_put(self) -> Option<(usize, Self)> {
        if self.is_closed {
            return None;
        }
        self.claim_free().or_else(|| self.claim_oldest())
    }

    fn claim_free(self) -> Option<(usize, Self)> {
        let cell = self.free.trailing_zeros() as usize;
        (self.free != 0).then(|| (cell, Self { free: self.free & (self.free - 1), ..self }))
    }

    /// For a ticket that has to leave: not where it is the newest as well.
    pub(super) fn claim_oldest_of_several(self) -> Option<(usize, Self)> {
        if self.len() > 1 { self.claim_oldest() } else { None }
    }

    fn claim_oldest(self) -> Option<(usize, Self)> {
        let digit = self.order & ((1 << DIGIT_BITS) - 1);
        (digit != 0).then(|| (digit as usize - 1, Self { order: self.order >> DIGIT_BITS, ..self }))
    }

    pub(super) fn claim_newest(self) -> Option<(usize, Self)> {
        let shift = self.len().checked_sub(1)? * DIGIT_BITS;
        let digit = self.order >> shift;
        Some((digit as usize - 1, Self { order: self.order ^ digit << shift, ..self }))
    }

    /// With the ticket of a claimed cell as the newest. INVARIANT(CLOSED): not where the ring was
    /// closed.
    pub(super) fn append(self, cell: usize) -> Option<Self> {
        let digit = cell as u32 + 1;
        let order = self.order | digit << (self.len() * DIGIT_BITS);
        (!self.is_closed).then_some(Self { order, ..self })
    }

    pub(super) fn close(self) -> Self {
        Self { is_closed: true, ..self }
    }

    pub(super) fn is_closed(self) -> bool {
        self.is_closed
    }

    pub(super) fn with_free(self, cell: usize) -> Self {
        Self { free: self.free | 1 << cell, ..self }
    }

    /// The number of tickets.
    pub(super) fn len(self) -> u32 {
        (u32::BITS - self.order.leading_zeros()).div_ceil(DIGIT_BITS)
    }
}
