//! The plain sequential model: a list in the order of eviction, and the counters.
#![forbid(unsafe_code)]

mod room;

use super::operation::{Key, Terms};
use sessile::{Policy, Rejection, RemovalCause, Stats};
use std::collections::{HashMap, VecDeque};

/// A session as the model knows it; its number is its place in the list of all that were made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) key: Key,
    created: Option<u64>,
    timeout: Option<u64>,
    deadline: u64,
    pub(crate) resumable: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    object: usize,
    touched: bool,
}

/// What an add is expected to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Inserted,
    Replaced(usize),
    Identical,
    Rejected(Rejection),
}

pub(crate) type Event = (usize, RemovalCause);

/// What does not change during a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) protect: bool,
    pub(crate) auto_flush: bool,
    pub(crate) update_time: bool,
    /// Victims are predicted. Otherwise they are read from what the hook was told, and checked.
    pub(crate) exact: bool,
}

#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    pub(crate) now: u64,
    pub(crate) capacity: usize,
    pub(crate) timeout: u64,
    pub(crate) objects: Vec<Object>,
    /// First to be evicted first, as far as the policy goes by age.
    stored: Vec<Entry>,
    pub(crate) stats: Stats,
    /// Refusals by their reason.
    pub(crate) rejections: HashMap<Rejection, u64>,
    /// Evictions from a cache that was not full.
    pub(crate) early_evictions: u64,
    /// What the hook was told of the operation under way.
    pub(crate) told: VecDeque<Event>,
}

impl Object {
    pub(crate) fn new(key: Key, terms: Terms, now: u64) -> Self {
        Self {
            key,
            created: terms.created.map(|offset| now.saturating_add_signed(offset)),
            timeout: terms.timeout.map(|seconds| seconds.min(u64::MAX - 1)),
            deadline: terms.deadline.map_or(u64::MAX, |seconds| now + seconds),
            resumable: terms.resumable,
        }
    }

    pub(crate) fn expires(&self) -> u64 {
        match (self.created, self.timeout) {
            (Some(created), Some(timeout)) => created.saturating_add(timeout).min(self.deadline),
            _ => self.deadline,
        }
    }

    pub(crate) fn set_created(&mut self, seconds: u64) {
        self.created = Some(seconds);
    }

    pub(crate) fn set_timeout(&mut self, seconds: u64) {
        self.timeout = Some(seconds);
    }
}

impl Model {
    pub(crate) fn new(rules: Rules, now: u64, capacity: usize, timeout: u64) -> Self {
        let (objects, stored, stats, told) =
            (Vec::new(), Vec::new(), Stats::default(), VecDeque::new());
        Self {
            rules,
            now,
            capacity,
            timeout,
            objects,
            stored,
            stats,
            rejections: HashMap::new(),
            early_evictions: 0,
            told,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.stored.len()
    }

    pub(crate) fn stored(&self) -> Vec<usize> {
        self.stored.iter().map(|entry| entry.object).collect()
    }

    fn is_expired(&self, object: usize) -> bool {
        self.now > self.objects[object].expires()
    }

    fn place_of_key(&self, key: Key) -> Option<usize> {
        self.stored.iter().position(|entry| self.objects[entry.object].key == key)
    }

    fn place_of(&self, object: usize) -> Option<usize> {
        self.stored.iter().position(|entry| entry.object == object)
    }

    fn count(&mut self, cause: RemovalCause) {
        let stats = &mut self.stats;
        match cause {
            RemovalCause::Replaced => stats.replaced += 1,
            RemovalCause::Removed => stats.removed += 1,
            RemovalCause::Taken => stats.taken += 1,
            RemovalCause::Expired => stats.expired += 1,
            RemovalCause::Flushed => stats.flushed += 1,
            RemovalCause::Evicted => {
                stats.evicted += 1;
                stats.cache_full += 1;
            }
        }
    }

    /// The entry at `place` leaves; the hook must have been told next.
    fn leaves(&mut self, place: usize, cause: RemovalCause) -> usize {
        let gone = self.stored.remove(place).object;
        assert_eq!(self.told.pop_front(), Some((gone, cause)), "who leaves, and why");
        self.count(cause);
        gone
    }

    pub(crate) fn reject(&mut self, reason: Rejection) {
        self.stats.rejected += 1;
        *self.rejections.entry(reason).or_default() += 1;
    }

    pub(crate) fn add(&mut self, number: usize) -> Answer {
        if let Err(rejection) = self.admit(number) {
            self.reject(rejection);
            return Answer::Rejected(rejection);
        }
        let newcomer = Entry { object: number, touched: false };
        let answer = match self.place_of_key(self.objects[number].key) {
            Some(place) if self.stored[place].object == number => {
                self.stats.identical += 1;
                return Answer::Identical;
            }
            Some(place) => Answer::Replaced(self.leaves(place, RemovalCause::Replaced)),
            None => {
                self.make_room();
                self.stats.added += 1;
                Answer::Inserted
            }
        };
        if self.rules.update_time {
            self.objects[number].created = Some(self.now);
        }
        self.stored.push(newcomer);
        self.sweep(number);
        answer
    }

    /// Dates the session, unless it is refused.
    fn admit(&mut self, number: usize) -> Result<(), Rejection> {
        let (now, timeout) = (self.now, self.timeout);
        let object = &mut self.objects[number];
        if !object.resumable {
            return Err(Rejection::NotResumable);
        }
        let mut dated = *object;
        dated.created = object.created.or(Some(now));
        dated.timeout = object.timeout.or(Some(timeout));
        if now > dated.expires() {
            return Err(Rejection::Expired);
        }
        *object = dated;
        Ok(())
    }

    /// Adds may remove whatever is expired, never the newcomer.
    fn sweep(&mut self, newcomer: usize) {
        while let Some(&(gone, cause)) = self.told.front() {
            assert!(
                self.rules.auto_flush && gone != newcomer && self.is_expired(gone),
                "{gone} left: {cause:?}"
            );
            let place = self.place_of(gone).expect("who leaves was there");
            self.leaves(place, RemovalCause::Expired);
        }
    }

    /// A lookup: the object that is found usable.
    fn look(&mut self, key: Key) -> Option<usize> {
        let Some(place) = self.place_of_key(key) else {
            let objects = &self.objects;
            let elsewhere =
                self.stored.iter().any(|entry| objects[entry.object].key.names_like(key));
            if elsewhere {
                self.stats.context_misses += 1;
            } else {
                self.stats.misses += 1;
            }
            return None;
        };
        let number = self.stored[place].object;
        let object = self.objects[number];
        if self.is_expired(number) {
            self.stats.timeouts += 1;
            self.leaves(place, RemovalCause::Expired);
        } else if !object.resumable {
            self.stats.misses += 1;
            self.leaves(place, RemovalCause::Removed);
        } else if object.created.is_some_and(|created| created > self.now) {
            self.stats.misses += 1;
        } else {
            self.stats.hits += 1;
            return Some(place);
        }
        None
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<usize> {
        let place = self.look(key)?;
        let number = self.stored[place].object;
        if self.rules.update_time {
            self.objects[number].created = Some(self.now);
        }
        if self.rules.policy == Policy::Lru {
            let mut entry = self.stored.remove(place);
            entry.touched = true;
            self.stored.push(entry);
        }
        Some(number)
    }

    pub(crate) fn take(&mut self, key: Key) -> Option<usize> {
        let place = self.look(key)?;
        Some(self.leaves(place, RemovalCause::Taken))
    }

    pub(crate) fn remove(&mut self, number: usize) -> bool {
        self.objects[number].resumable = false;
        let place = self.place_of(number);
        place.map(|place| self.leaves(place, RemovalCause::Removed)).is_some()
    }

    pub(crate) fn remove_id(&mut self, key: Key) -> bool {
        let place = self.place_of_key(key);
        place.map(|place| self.leaves(place, RemovalCause::Removed)).is_some()
    }

    /// Removes all that `is_due`, in whatever order.
    pub(crate) fn flush(&mut self, is_due: impl Fn(&Object) -> bool) -> usize {
        let due = self.stored.iter().filter(|entry| is_due(&self.objects[entry.object])).count();
        for _ in 0..due {
            let &(gone, _) = self.told.front().expect("each is told");
            assert!(is_due(&self.objects[gone]));
            let place = self.place_of(gone).expect("who leaves was there");
            self.leaves(place, RemovalCause::Flushed);
        }
        due
    }
}
