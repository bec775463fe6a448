//! What is compared.

use std::collections::{BTreeMap, BTreeSet};

use super::object::Key;

/// A cache under test. Objects are named by the serial numbers under which they were made.
pub(crate) trait Subject {
    /// Makes an object and keeps a reference to it.
    fn make(&mut self, serial: u64, key: Key, age: i64, timeout: i64);
    /// Gives the reference to an object up.
    fn release(&mut self, serial: u64);
    /// 1 if the cache changed, else 0.
    fn add(&mut self, serial: u64) -> u64;
    /// 1 if something was removed, else 0.
    fn remove(&mut self, serial: u64) -> u64;
    /// Changes an object's timeout, stored or not.
    fn set_timeout(&mut self, serial: u64, seconds: i64);
    /// Removes what is expired at a time, everything at 0; answers how many sessions that were.
    fn flush(&mut self, time: i64) -> u64;
    /// Lets the cache hold `sessions`, 0 for any number; answers how many it was to hold before.
    fn set_capacity(&mut self, sessions: usize) -> usize;
    /// Has adds date what they store anew, or not.
    fn set_update_time(&mut self, update: bool);
    /// What is stored, by key.
    fn stored(&mut self) -> BTreeMap<Key, u64>;
    /// The keys that the remove callback was told of since the last call.
    fn told(&mut self) -> Vec<Key>;
    /// `sess_number` and `sess_cache_full`.
    fn counters(&mut self) -> [u64; 2];
    /// Objects that are not freed.
    fn living(&mut self) -> BTreeSet<u64>;
}

/// What a subject shows after an operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) answer: u64,
    pub(crate) stored: BTreeMap<Key, u64>,
    pub(crate) told: Vec<Key>,
    pub(crate) counters: [u64; 2],
    pub(crate) living: BTreeSet<u64>,
}
