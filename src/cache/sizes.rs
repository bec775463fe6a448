//! Sizes of tables: buckets for sessions.
#![forbid(unsafe_code)]

use crate::raw::{SLOTS, Table};
use crate::session::Block;
use crate::sync::MODELLED;

/// The first size of an unbounded cache, in sessions.
const UNBOUNDED_START: usize = if MODELLED { 2 * SLOTS } else { 1024 };

/// The buckets for a capacity.
///
/// One set up to 14 sessions: exact. Above that two slots a session up to 4096 sessions, where
/// chance is rough and slots are cheap, and 1.4 beyond: two choices of seven then overflow for one
/// session in a hundred thousand (1.33: one in ten thousand, 1.15: one in 200; simulated). More
/// slots hold more sessions and offer fewer of them as victims, for which more buckets are looked
/// at in small tables.
pub(super) fn buckets_for(capacity: usize) -> usize {
    let sessions = if capacity == usize::MAX { UNBOUNDED_START } else { capacity };
    if sessions <= 2 * SLOTS {
        return Table::<Block<()>>::BUCKETS_MIN;
    }
    let slots = if sessions <= 4096 {
        sessions.saturating_mul(2)
    } else {
        sessions.saturating_add(sessions / 5 * 2)
    };
    slots.div_ceil(SLOTS)
}

/// The buckets to begin with: few where weights decide how many sessions there will be.
pub(super) fn first_buckets(capacity: usize, is_weight_bound: bool) -> usize {
    if is_weight_bound { Table::<Block<()>>::BUCKETS_MIN } else { buckets_for(capacity) }
}

/// Twice the buckets, or as many as there may be if those are not many more.
pub(super) fn next_size(buckets: usize, most: usize) -> usize {
    let twice = buckets.saturating_mul(2);
    if most <= twice.saturating_add(buckets / 2) { most } else { twice }
}
