//! Keys that were seen lately: a bounded set that forgets the oldest half at a time.
//!
//! Keys are kept as hashes of 64 bits under a random key. A collision makes a key that was not seen
//! look like one that was, which costs a full handshake.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::place::TierKey;

pub(crate) struct Seen {
    hasher: RandomState,
    halves: Mutex<Halves>,
    /// The most of one half.
    limit: usize,
    /// For how long a half is filled.
    span: Duration,
}

struct Halves {
    new: HashSet<u64>,
    old: HashSet<u64>,
    begun: Instant,
}

impl Seen {
    /// Remembers the last `limit` keys at least, for `span` at least, and up to twice of both.
    pub(crate) fn new(limit: usize, span: Duration) -> Self {
        let halves = Halves { new: HashSet::new(), old: HashSet::new(), begun: Instant::now() };
        Self { hasher: RandomState::new(), halves: Mutex::new(halves), limit, span }
    }

    /// Notes a key. Whether it was new.
    pub(crate) fn insert(&self, key: &TierKey) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut halves = self.turned();
        !halves.old.contains(&hash) && halves.new.insert(hash)
    }

    pub(crate) fn contains(&self, key: &TierKey) -> bool {
        let hash = self.hasher.hash_one(key);
        let halves = self.turned();
        halves.new.contains(&hash) || halves.old.contains(&hash)
    }

    /// The halves, after the older one was forgotten if it was time.
    fn turned(&self) -> MutexGuard<'_, Halves> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let age = halves.begun.elapsed();
        if halves.new.len() >= self.limit || age >= self.span {
            halves.old = std::mem::take(&mut halves.new);
            if age >= self.span.saturating_mul(2) {
                halves.old.clear();
            }
            halves.begun = Instant::now();
        }
        halves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{Place, Uses};
    use sessile::{Context, Protocol, SessionId};

    fn key(number: u32) -> TierKey {
        let id = SessionId::new(&number.to_be_bytes()).unwrap();
        let place = Place { context: Context::NONE, protocol: Protocol::TLS1_3, id };
        place.used(Uses::Once)
    }

    #[test]
    fn the_last_ones_are_remembered_and_no_more_than_twice_as_many() {
        let seen = Seen::new(100, Duration::MAX);
        for number in 0..1000 {
            assert!(seen.insert(&key(number)));
            let oldest = number.saturating_sub(99);
            assert!((oldest..=number).all(|number| seen.contains(&key(number))));
            assert!(!seen.insert(&key(number)));
        }
        let remembered = (0..1000).filter(|number| seen.contains(&key(*number))).count();
        assert!((100..=200).contains(&remembered), "{remembered}");
    }

    #[test]
    fn time_ends_memory() {
        let seen = Seen::new(100, Duration::from_millis(20));
        seen.insert(&key(1));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!seen.contains(&key(1)));
    }
}
