//! One run of a scenario, and its judgement.
//!
//! Moments are numbers of one counter that the scheduler does not see: only one thread runs at a
//! time. What leaves a key without being replaced or taken is told by the removal hook, which runs
//! on the thread whose operation caused it, before that operation ends.

use crate::history::{Event, History, What};
use crate::scenario::{KEYS, Key, Scenario, Step};
use sessile::{
    Added, Garbage, ManualClock, Rejection, RemovalCause, Session, SessionCache, SessionId,
};
use shuttle::thread::{self, ThreadId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use testkit::{Ledger, Payload, id_of_byte};

/// How a step takes a session: the cache's own way, or a faulty one that a test hands in.
pub type Taker = fn(&SessionCache<Payload>, &SessionId) -> Option<Session<Payload>>;

/// The cache's own way.
pub fn take(cache: &SessionCache<Payload>, id: &SessionId) -> Option<Session<Payload>> {
    cache.take(id)
}

/// What the threads share.
struct Stage {
    cache: SessionCache<Payload>,
    taker: Taker,
    ledger: Arc<Ledger>,
    /// The object of each key that all threads know.
    shared: Vec<Session<Payload>>,
    objects: AtomicU64,
    other_capacity: usize,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    moment: AtomicU64,
    departures: Mutex<Vec<(ThreadId, u64, RemovalCause)>>,
    events: Mutex<Vec<(Key, Event)>>,
}

/// No thread stops while it holds one of the log's locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id_of(key: Key) -> SessionId {
    id_of_byte(key as u8 + 1)
}

/// Objects carry their key in their number.
fn key_of(object: u64) -> Key {
    object as usize % KEYS
}

impl Log {
    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    /// What left since `start` by the hand of this thread.
    fn departed(&self) -> Vec<u64> {
        let me = thread::current().id();
        let mut departures = lock(&self.departures);
        let (mine, others) = departures.drain(..).partition(|(thread, ..)| *thread == me);
        *departures = others;
        let mine: Vec<(ThreadId, u64, RemovalCause)> = mine;
        // The results of the operations tell the rest.
        let is_told =
            |cause: &RemovalCause| matches!(cause, RemovalCause::Taken | RemovalCause::Replaced);
        mine.into_iter()
            .filter(|(_, _, cause)| !is_told(cause))
            .map(|(_, object, _)| object)
            .collect()
    }
}

impl Stage {
    fn new(scenario: &Scenario, taker: Taker) -> Self {
        let log = Arc::<Log>::default();
        let told = Arc::clone(&log);
        let on_removed = move |session: &Session<Payload>, cause| {
            lock(&told.departures).push((thread::current().id(), session.number(), cause));
        };
        let cache = SessionCache::builder()
            .capacity(scenario.capacity)
            .clock(Arc::new(ManualClock::new(1_000)))
            .on_removed(on_removed)
            .build();
        let ledger = Ledger::new();
        let shared =
            (0..KEYS).map(|key| Session::new(id_of(key), ledger.payload(key as u64))).collect();
        Self {
            cache: cache.expect("a valid capacity"),
            taker,
            ledger,
            shared,
            objects: AtomicU64::new(1),
            other_capacity: scenario.other_capacity,
            log,
        }
    }

    /// A new object of a key.
    fn make(&self, key: Key) -> Session<Payload> {
        let number = self.objects.fetch_add(1, Ordering::SeqCst) * KEYS as u64 + key as u64;
        Session::new(id_of(key), self.ledger.payload(number))
    }

    fn perform(&self, step: Step, kept: &mut Vec<Session<Payload>>) {
        let start = self.log.now();
        let seen = self.act(step, kept);
        let departed = self.log.departed();
        let end = self.log.now();
        let left = departed.into_iter().map(|object| (key_of(object), What::Left(object)));
        let events =
            seen.into_iter().chain(left).map(|(key, what)| (key, Event { start, end, what }));
        lock(&self.log.events).extend(events);
        self.assert_within_capacity();
    }

    /// Does the step and returns what it saw or did, but for departures.
    fn act(&self, step: Step, kept: &mut Vec<Session<Payload>>) -> Vec<(Key, What)> {
        let cache = &self.cache;
        let got = |found: Option<u64>| found.map_or(What::Missed, What::Got);
        match step {
            Step::Add(key) => self.add(key, self.make(key)),
            Step::AddShared(key) => self.add(key, self.shared[key].clone()),
            Step::Get(key) => vec![(key, got(cache.get(&id_of(key)).map(|found| found.number())))],
            Step::Keep(key) => {
                let found = cache.get(&id_of(key));
                let what = got(found.as_ref().map(|found| found.number()));
                kept.extend(found);
                vec![(key, what)]
            }
            Step::Read(key) => vec![(key, got(cache.read(&id_of(key), |found| found.number())))],
            Step::Take(key) => {
                let taken = (self.taker)(cache, &id_of(key));
                vec![(key, taken.map_or(What::Missed, |taken| What::Taken(taken.number())))]
            }
            Step::RemoveShared(key) => {
                let is_removed = cache.remove(&self.shared[key]);
                Vec::from_iter((!is_removed).then_some((key, What::Lacked(key as u64))))
            }
            Step::RemoveId(key) => {
                let is_removed = cache.remove_id(&id_of(key));
                Vec::from_iter((!is_removed).then_some((key, What::Missed)))
            }
            Step::Snapshot => self.list(),
            Step::Clear => {
                cache.clear();
                Vec::new()
            }
            Step::Resize => {
                cache.set_capacity(self.other_capacity).expect("a valid capacity");
                Vec::new()
            }
            Step::Collect => {
                cache.collect();
                Vec::new()
            }
        }
    }

    fn add(&self, key: Key, session: Session<Payload>) -> Vec<(Key, What)> {
        let object = session.number();
        let what = match self.cache.add(session) {
            Ok(Added::Inserted) => What::Inserted(object),
            Ok(Added::Replaced(old)) => What::Replaced(object, old.number()),
            Ok(Added::Identical) => What::Identical(object),
            Err(rejected) => match rejected.reason() {
                Rejection::Contention | Rejection::NotResumable => return Vec::new(),
                rejection => panic!("rejected: {rejection:?}"),
            },
        };
        vec![(key, what)]
    }

    fn list(&self) -> Vec<(Key, What)> {
        let mut objects: Vec<u64> =
            self.cache.snapshot().iter().map(|found| found.number()).collect();
        objects.sort_unstable();
        assert!(objects.is_sorted_by(|a, b| a < b), "one session is listed twice: {objects:?}");
        objects.into_iter().map(|object| (key_of(object), What::Got(object))).collect()
    }

    /// A scenario changes the capacity once, so that one of the two readings was in force when the
    /// length was read.
    fn assert_within_capacity(&self) {
        let before = self.cache.capacity();
        let len = self.cache.len();
        let capacity = before.max(self.cache.capacity());
        assert!(len <= capacity, "{len} sessions in a cache for {capacity}");
    }

    /// Every key's history, once all threads are done.
    fn judge(&self, scenario: &Scenario) {
        let left: Vec<u64> = self.cache.snapshot().iter().map(|found| found.number()).collect();
        let events = lock(&self.log.events);
        for key in 0..KEYS {
            let mut held = left.iter().copied().filter(|object| key_of(*object) == key);
            let history = History {
                first: scenario.stored.contains(&key).then_some(key as u64),
                last: held.next(),
                unusable: scenario.forbids(key).then_some(key as u64),
                events: events.iter().filter(|event| event.0 == key).map(|event| event.1).collect(),
            };
            assert_eq!(held.next(), None, "two sessions with one key");
            assert!(history.is_explained(), "no order explains {history:?}");
        }
        self.balance(scenario, &left, &events);
    }

    /// The counters tell what the events tell.
    fn balance(&self, scenario: &Scenario, left: &[u64], events: &[(Key, Event)]) {
        let stats = self.cache.stats();
        let count =
            |is: fn(&What) -> bool| events.iter().filter(|event| is(&event.1.what)).count() as u64;
        assert_eq!(stats.number, left.len() as u64);
        assert!(left.len() <= self.cache.capacity(), "more sessions than the capacity");
        let before = scenario.stored.len() as u64;
        assert_eq!(stats.added, before + count(|what| matches!(what, What::Inserted(_))));
        assert_eq!(stats.replaced, count(|what| matches!(what, What::Replaced(..))));
        assert_eq!(stats.identical, count(|what| matches!(what, What::Identical(_))));
        assert_eq!(stats.taken, count(|what| matches!(what, What::Taken(_))));
        let others = stats.removed + stats.evicted + stats.expired + stats.flushed;
        assert_eq!(others, count(|what| matches!(what, What::Left(_))));
        assert_eq!(stats.drop_panics, 0);
    }

    /// Nothing is leaked and nothing was freed too early: what is alive is what is stored.
    fn strike(self, stored: usize) {
        let Self { cache, ledger, shared, .. } = self;
        drop(shared);
        cache.collect();
        assert_eq!(
            cache.stats().garbage,
            Garbage::default(),
            "everything retired is freed by a collect"
        );
        assert_eq!(ledger.alive(), stored, "payloads alive beside the stored ones");
        drop(cache);
        assert_eq!(ledger.alive(), 0, "payloads outlive the cache");
    }
}

/// Runs a scenario once, on shuttle's threads.
///
/// # Panics
/// When something is wrong.
pub fn run(scenario: &Scenario, taker: Taker) {
    let stage = Stage::new(scenario, taker);
    let stored = scenario.stored.iter().take(scenario.capacity);
    let scenario = Scenario { stored: stored.copied().collect(), ..scenario.clone() };
    for key in &scenario.stored {
        assert!(stage.cache.add(stage.shared[*key].clone()).is_ok_and(|added| added.changed()));
    }
    let stage = Arc::new(stage);
    let spawn = |steps: Vec<Step>| {
        let stage = Arc::clone(&stage);
        thread::spawn(move || {
            let mut kept = Vec::new();
            steps.into_iter().for_each(|step| stage.perform(step, &mut kept));
        })
    };
    let busy = scenario.threads.iter().filter(|steps| !steps.is_empty());
    let threads: Vec<_> = busy.cloned().map(spawn).collect();
    for thread in threads {
        thread.join().expect("a thread of the scenario");
    }
    stage.judge(&scenario);
    let stored = stage.cache.len();
    let stage = Arc::into_inner(stage).expect("the threads are gone");
    stage.strike(stored);
}
