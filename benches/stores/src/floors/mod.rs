//! What no store can beat: tables whose ids name their slots.
//!
//! No hash, no probing, no policy, no expiry, no counters: a lookup is the load of a slot, the load
//! of a session, and whatever the safe return of it costs. Each floor leaves out one thing more
//! than the one before.

mod direct;
mod limbo;
mod lines;
mod nothing;

pub use direct::Direct;
pub use lines::Lines;
pub use nothing::Nothing;

use crate::ids::Id;
use crate::store::{Lifetime, Payload, Value};
use triomphe::Arc;

/// A session of the same size and shape as the subject's: count, dates, id, context, payload in one
/// block.
pub struct Plain {
    _created: u64,
    pub(crate) expires: u64,
    pub(crate) id: Id,
    _context: [u64; 7],
    pub(crate) payload: Payload,
}

impl Value for Arc<Plain> {
    #[inline]
    fn make(id: &Id, lifetime: Lifetime) -> Self {
        let (created, expires) = lifetime.dates();
        Self::new(Plain {
            _created: created,
            expires,
            id: *id,
            _context: [0; 7],
            payload: [id.bytes()[0]; 200],
        })
    }
}

/// Slots of a table for a window of up to one and a half capacities: a power of two.
fn slots_for(capacity: usize) -> usize {
    (capacity + capacity / 2).next_power_of_two()
}

/// The slot that an id names. Numbers that follow each other do not lie beside each other, as they
/// would not in any table with a hash; no two numbers of a window share a slot.
#[inline]
fn slot_of(id: &Id, slots: usize) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    id.number().wrapping_mul(ODD) as usize & (slots - 1)
}
