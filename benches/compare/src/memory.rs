//! Bytes per entry beyond the session itself.

use crate::allocator::bytes_kept;
use crate::dyn_store::{Candidate, Role, Start};
use std::collections::HashMap;

/// By name; stores that allocate elsewhere or hold nothing are missing.
pub(crate) type BytesPerEntry = HashMap<&'static str, f64>;

/// Fills a store of each candidate and weighs what is left when it is full, less the sessions.
pub(crate) fn weigh(candidates: &[Candidate], entries: u64, tick: &dyn Fn()) -> BytesPerEntry {
    let mut weights = BytesPerEntry::new();
    for candidate in candidates {
        if candidate.role != Role::Harness {
            weights.extend(weigh_one(candidate, entries).map(|bytes| (candidate.name, bytes)));
        }
        tick();
    }
    weights
}

fn weigh_one(candidate: &Candidate, entries: u64) -> Option<f64> {
    let (store, bytes) = bytes_kept(|| {
        let store = candidate.build(entries as usize, Start::Sized);
        store.fill(entries);
        store
    });
    let stored = store.stored().map_or(entries as f64, |stored| stored as f64);
    let session = store.session_bytes();
    (session > 0 && stored > 0.0).then(|| bytes as f64 / stored - session as f64)
}
