//! Bytes per entry beyond the session itself.

use crate::allocator::bytes_kept;
use crate::stand::{Entrant, Role, Start};
use std::collections::HashMap;

/// By name; stores that allocate elsewhere or hold nothing are missing.
pub(crate) type BytesPerEntry = HashMap<&'static str, f64>;

/// Fills a store of each entrant and weighs what is left when it is full, less the sessions.
pub(crate) fn weigh(entrants: &[Entrant], entries: u64, tick: &dyn Fn()) -> BytesPerEntry {
    let mut weights = BytesPerEntry::new();
    for entrant in entrants {
        if entrant.role != Role::Harness {
            weights.extend(weigh_one(entrant, entries).map(|bytes| (entrant.name, bytes)));
        }
        tick();
    }
    weights
}

fn weigh_one(entrant: &Entrant, entries: u64) -> Option<f64> {
    let (stand, bytes) = bytes_kept(|| {
        let stand = entrant.build(entries as usize, Start::Sized);
        stand.fill(entries);
        stand
    });
    let stored = stand.stored().map_or(entries as f64, |stored| stored as f64);
    let session = stand.session_bytes();
    (session > 0 && stored > 0.0).then(|| bytes as f64 / stored - session as f64)
}
