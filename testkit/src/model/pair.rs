//! The cache beside its model: every operation is done to both, and everything that shows is
//! compared.
#![forbid(unsafe_code)]

use super::operation::{Key, Operation, Setting, Terms};
use super::reference::{Answer, Event, Model, Object, Rules};
use crate::{START, at};
use sessile::{
    Added, Context, Garbage, ManualClock, Mode, Policy, Protocol, Rejection, Session, SessionCache,
    Timestamp, View,
};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The cache under test beside its model.
#[derive(Debug)]
pub struct Pair {
    cache: SessionCache<usize>,
    clock: Arc<ManualClock>,
    /// A handle of every object that was made.
    handles: Vec<Session<usize>>,
    removed: Arc<Mutex<VecDeque<Event>>>,
    arrived: Arc<Mutex<Vec<usize>>>,
    model: Model,
    capacities: &'static [usize],
}

const TIMEOUT: u64 = 25;

impl Pair {
    /// A new cache of one of the capacities, and its model.
    ///
    /// # Panics
    /// When a capacity is not valid.
    pub fn new(
        setting: Setting,
        policy: Policy,
        protect: bool,
        capacities: &'static [usize],
    ) -> Self {
        let capacity = capacities[usize::from(setting.capacity) % capacities.len()];
        let clock = Arc::new(ManualClock::new(START));
        let (removed, arrived) =
            (Arc::<Mutex<VecDeque<Event>>>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let (removals, arrivals) = (Arc::clone(&removed), Arc::clone(&arrived));
        let Setting { auto_flush, update_time, .. } = setting;
        let cache = SessionCache::builder()
            .capacity(capacity)
            .policy(policy)
            .protect_reused(protect)
            .timeout(Duration::from_secs(TIMEOUT))
            .mode(Mode { auto_flush, update_time, ..Mode::default() })
            .clock(Arc::clone(&clock))
            .on_removed(move |one: &Session<usize>, cause| {
                removals.lock().unwrap().push_back((**one, cause))
            })
            .on_added(move |one| arrivals.lock().unwrap().push(**one))
            .build()
            .unwrap();
        let exact = capacities.iter().all(|capacity| *capacity <= 14);
        let rules = Rules { policy, protect, auto_flush, update_time, exact };
        let model = Model::new(rules, START, capacity, TIMEOUT);
        Self { cache, clock, handles: Vec::new(), removed, arrived, model, capacities }
    }

    fn view(&self, key: Key) -> View<'_, usize> {
        self.cache.view(key.context()).protocol(key.protocol())
    }

    fn is_plain(key: Key) -> bool {
        key.context().is_none() && key.protocol() == Protocol::UNSPECIFIED
    }

    /// What the hook was told since the last call passes to the model.
    fn listen(&mut self) {
        assert!(self.model.told.is_empty(), "told and not expected: {:?}", self.model.told);
        self.model.told.append(&mut self.removed.lock().unwrap());
    }

    fn make(&mut self, key: Key, terms: Terms) -> usize {
        let number = self.handles.len();
        let now = self.model.now;
        let mut builder =
            Session::<usize>::builder(key.id()).context(key.context()).protocol(key.protocol());
        if let Some(offset) = terms.created {
            builder = builder.created_at(now.saturating_add_signed(offset));
        }
        if let Some(seconds) = terms.timeout {
            builder = builder.timeout(Duration::from_secs(seconds));
        }
        if let Some(seconds) = terms.deadline {
            builder = builder.deadline(now + seconds);
        }
        self.handles.push(builder.resumable(terms.resumable).build(number));
        self.model.objects.push(Object::new(key, terms, now));
        number
    }

    /// Demands that the model answers as the cache did.
    fn agree<R: PartialEq + Debug>(&mut self, answer: R, expected: impl FnOnce(&mut Model) -> R) {
        self.listen();
        assert_eq!(answer, expected(&mut self.model));
    }

    fn add(&mut self, number: usize) {
        let answer = match self.cache.add(self.handles[number].clone()) {
            Ok(Added::Inserted) => Answer::Inserted,
            Ok(Added::Replaced(old)) => Answer::Replaced(*old),
            Ok(Added::Identical) => Answer::Identical,
            Err(rejected) => Answer::Rejected(rejected.reason()),
        };
        self.agree(answer, |model| model.add(number));
        let changed = matches!(answer, Answer::Inserted | Answer::Replaced(_));
        let arrived = std::mem::take(&mut *self.arrived.lock().unwrap());
        assert_eq!(arrived, Vec::from_iter(changed.then_some(number)));
        let (object, handle) = (&self.model.objects[number], &self.handles[number]);
        assert_eq!(handle.expires_at().unwrap_or(Timestamp::MAX), at(object.expires()));
        assert_eq!(handle.is_resumable(), object.resumable);
    }

    fn add_misplaced(&mut self, number: usize) {
        let elsewhere = self.cache.view(Context::from_bytes([77; 32]));
        let view = elsewhere.protocol(self.model.objects[number].key.protocol());
        assert!(!view.add(self.handles[number].clone()).is_ok_and(|added| added.changed()));
        assert!(!view.remove(&self.handles[number]));
        self.model.reject(Rejection::Context);
    }

    /// Operations on keys, and on all that is stored.
    fn look_or_remove(&mut self, operation: Operation) {
        match operation {
            Operation::Get(key) => {
                let found = match Self::is_plain(key) {
                    true => self.cache.get(&key.id()),
                    false => self.view(key).get(&key.id()),
                };
                self.agree(found.map(|found| *found), |model| model.get(key));
            }
            Operation::Read(key) => {
                let found = self.view(key).read(&key.id(), |found| **found);
                self.agree(found, |model| model.get(key));
            }
            Operation::Take(key) => {
                let taken = self.view(key).take(&key.id()).map(|taken| *taken);
                self.agree(taken, |model| model.take(key));
            }
            Operation::RemoveId(key) => {
                self.agree(self.view(key).remove_id(&key.id()), |model| model.remove_id(key));
            }
            Operation::Flush(ahead) => {
                let now = self.model.now + ahead;
                let flushed = self.cache.flush_expired_at(now);
                self.agree(flushed, |model| model.flush(|object| now > object.expires()));
            }
            Operation::FlushView(key, ahead) => {
                let (now, context) = (self.model.now + ahead, key.context());
                let is_due =
                    |object: &Object| object.key.context() == context && now > object.expires();
                let flushed = self.cache.view(context).flush_expired_at(now);
                self.agree(flushed, |model| model.flush(is_due));
            }
            Operation::ClearView(key) => {
                let is_of_view = |object: &Object| {
                    (object.key.context(), object.key.protocol()) == (key.context(), key.protocol())
                };
                self.agree(self.view(key).clear(), |model| model.flush(is_of_view));
            }
            Operation::Clear => self.agree(self.cache.clear(), |model| model.flush(|_| true)),
            other => self.adjust(other),
        }
    }

    /// Settings, and the time.
    fn adjust(&mut self, operation: Operation) {
        match operation {
            Operation::SetCacheTimeout(seconds) => {
                self.cache.set_timeout(Duration::from_secs(seconds));
                self.model.timeout = seconds;
            }
            Operation::SetCapacity(choice) => {
                let capacity = self.capacities[usize::from(choice) % self.capacities.len()];
                self.cache.set_capacity(capacity).unwrap();
                self.listen();
                self.model.set_capacity(capacity);
            }
            Operation::Advance(seconds) => self.model.now += seconds,
            Operation::GoBack(seconds) => self.model.now -= seconds,
            _ => {
                self.cache.collect();
                assert_eq!(self.cache.stats().garbage, Garbage::default());
            }
        }
        self.clock.set(self.model.now);
    }

    /// Operations on an object that was made.
    fn treat(&mut self, operation: Operation, number: usize) {
        let handle = &self.handles[number];
        match operation {
            Operation::AddAgain(_) => self.add(number),
            Operation::AddMisplaced(_) => self.add_misplaced(number),
            Operation::Remove(_) => {
                self.agree(self.cache.remove(handle), |model| model.remove(number));
            }
            Operation::Forbid(_) => {
                handle.set_not_resumable();
                self.model.objects[number].resumable = false;
            }
            Operation::SetTimeout(_, seconds) => {
                handle.set_timeout(Duration::from_secs(seconds));
                self.model.objects[number].set_timeout(seconds);
            }
            Operation::SetCreated(_, offset) => {
                let created = self.model.now.saturating_add_signed(offset);
                handle.set_created_at(created);
                self.model.objects[number].set_created(created);
            }
            other => unreachable!("{other:?} is of no object"),
        }
    }

    /// Does an operation to both. One on an object takes one of those that exist, by any number.
    ///
    /// # Panics
    /// When they differ.
    pub fn apply(&mut self, operation: Operation) {
        use Operation::{AddAgain, AddMisplaced, AddNew, Forbid, Remove, SetCreated, SetTimeout};
        match operation {
            Operation::Nothing => {}
            AddNew(key, terms) => {
                let number = self.make(key, terms);
                self.add(number);
            }
            AddAgain(n)
            | AddMisplaced(n)
            | Remove(n)
            | Forbid(n)
            | SetTimeout(n, _)
            | SetCreated(n, _) => {
                if let Some(number) = n.checked_rem(self.handles.len()) {
                    self.treat(operation, number);
                }
            }
            other => self.look_or_remove(other),
        }
        self.compare();
    }

    fn compare(&mut self) {
        self.listen();
        assert!(self.model.told.is_empty(), "told and not expected: {:?}", self.model.told);
        let mut stats = self.cache.stats();
        stats.garbage = Garbage::default();
        self.model.stats.number = self.model.len() as u64;
        for (reason, count) in stats.rejections.iter() {
            let expected = self.model.rejections.get(&reason).copied().unwrap_or_default();
            assert_eq!(count, expected, "{reason:?}");
        }
        self.model.stats.rejections = stats.rejections;
        assert_eq!(stats, self.model.stats);
        assert_eq!(
            (self.cache.len(), self.cache.capacity()),
            (self.model.len(), self.model.capacity)
        );
        assert!(self.cache.len() <= self.cache.capacity());
    }

    /// Contents, and the counts of every handle, at the end of a case. Returns how many evictions
    /// there were before the cache was full.
    ///
    /// # Panics
    /// When they differ.
    pub fn finish(self) -> u64 {
        let mut stored: Vec<usize> = self.cache.iter().map(|one| *one).collect();
        stored.sort_unstable();
        let mut expected = self.model.stored();
        expected.sort_unstable();
        assert_eq!(stored, expected);
        self.cache.collect();
        for (number, handle) in self.handles.iter().enumerate() {
            let counts = 1 + usize::from(expected.binary_search(&number).is_ok());
            assert_eq!(Session::handle_count(handle), counts, "of object {number}");
        }
        drop(self.cache);
        assert!(self.handles.iter().all(|handle| Session::handle_count(handle) == 1));
        self.model.early_evictions
    }
}
