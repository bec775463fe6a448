//! One run of a scenario, and its judgement.
//!
//! Moments are numbers of one counter that the scheduler does not see: only one thread runs at a
//! time. What leaves a key without being replaced or taken is told by the removal hook, which runs
//! on the thread whose operation caused it, before that operation ends.

use crate::scenario::{KEYS, Key, Scenario, Step};
use sessile::{Added, Garbage, ManualClock, RemovalCause, Session, SessionCache, SessionId};
use shuttle::thread::{self, ThreadId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use testkit::histories::{Answer, Call, Departure, Event, History, Log, Object, Rest, verify};
use testkit::{Ledger, Payload, id_of_byte};

/// Every key, a bit each.
const ALL: u8 = (1 << KEYS) - 1;

/// The clock stands still.
const NOW: u64 = 1_000;

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
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    moment: AtomicU64,
    /// Whom the hook saw leave on which thread.
    told: Mutex<Vec<(ThreadId, Departure)>>,
}

/// One thread of a scenario.
struct Actor<'s> {
    stage: &'s Stage,
    log: Log,
    kept: Vec<Session<Payload>>,
}

fn id_of(key: Key) -> SessionId {
    id_of_byte(key + 1)
}

/// Payloads carry their key in their number.
fn object_of(session: &Session<Payload>) -> Object {
    let number = session.number() as u32;
    Object { number, key: (number % u32::from(KEYS)) as Key, expires: u64::MAX }
}

impl Notes {
    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    /// No thread stops while it holds this lock.
    fn told(&self) -> MutexGuard<'_, Vec<(ThreadId, Departure)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Actor<'_> {
    /// Does a step and records when it began and ended, and whom the hook saw leave meanwhile.
    fn perform(&mut self, step: Step) {
        let notes = &self.stage.notes;
        let invoked = notes.now();
        let call = self.act(step);
        let me = thread::current().id();
        let told = notes.told().extract_if(.., |(thread, _)| *thread == me).collect::<Vec<_>>();
        let event = self.log.events.len();
        let told = told.into_iter().map(|(_, departure)| Departure { event, ..departure });
        self.log.departures.extend(told);
        let returned = notes.now();
        self.log.events.push(Event { invoked, returned, clock: [NOW; 2], call });
        self.stage.assert_within_capacity();
    }

    fn act(&mut self, step: Step) -> Call {
        let Stage { cache, shared, .. } = self.stage;
        let lookup = |key, found| Call::Lookup { key, found };
        match step {
            Step::Add(key) => self.add(self.stage.make(key)),
            Step::AddShared(key) => self.add(shared[usize::from(key)].clone()),
            Step::Get(key) => lookup(key, cache.get(&id_of(key)).as_ref().map(object_of)),
            Step::Keep(key) => {
                let found = cache.get(&id_of(key));
                self.kept.extend(found.clone());
                lookup(key, found.as_ref().map(object_of))
            }
            Step::Read(key) => lookup(key, cache.read(&id_of(key), object_of)),
            Step::Take(key) => {
                let taken = (self.stage.taker)(cache, &id_of(key));
                Call::Take { key, taken: taken.as_ref().map(object_of) }
            }
            Step::RemoveShared(key) => {
                let session = &shared[usize::from(key)];
                Call::Remove { object: object_of(session), done: cache.remove(session) }
            }
            Step::RemoveId(key) => Call::RemoveId { key, done: cache.remove_id(&id_of(key)) },
            Step::Snapshot => Call::Snapshot {
                keys: ALL,
                shown: cache.snapshot().iter().map(object_of).collect(),
            },
            Step::Clear => {
                cache.clear();
                Call::Flush { keys: ALL, now: None }
            }
            Step::Resize => {
                let sessions = self.stage.other_capacity;
                cache.set_capacity(sessions).expect("a valid capacity");
                Call::Resize { sessions }
            }
            Step::Collect => {
                cache.collect();
                Call::Observe { len: cache.len(), capacity: cache.capacity() }
            }
        }
    }

    fn add(&self, session: Session<Payload>) -> Call {
        let object = object_of(&session);
        let answer = match self.stage.cache.add(session) {
            Ok(Added::Inserted) => Answer::Inserted,
            Ok(Added::Replaced(old)) => Answer::Replaced(object_of(&old)),
            Ok(Added::Identical) => Answer::Identical,
            Err(rejected) => Answer::Rejected(rejected.reason()),
        };
        Call::Add { object, answer }
    }
}

impl Stage {
    fn new(scenario: &Scenario, taker: Taker) -> Self {
        let notes = Arc::<Notes>::default();
        let told = Arc::clone(&notes);
        let on_removed = move |session: &Session<Payload>, cause| {
            let object = object_of(session);
            let departure = Departure { event: 0, object, cause, at: told.now() };
            told.told().push((thread::current().id(), departure));
        };
        let cache = SessionCache::builder()
            .capacity(scenario.capacity)
            .clock(Arc::new(ManualClock::new(NOW)))
            .on_removed(on_removed)
            .build();
        let ledger = Ledger::new();
        let shared =
            (0..KEYS).map(|key| Session::new(id_of(key), ledger.payload(key.into()))).collect();
        Self {
            cache: cache.expect("a valid capacity"),
            taker,
            ledger,
            shared,
            objects: AtomicU64::new(1),
            other_capacity: scenario.other_capacity,
            notes,
        }
    }

    /// A new object of a key.
    fn make(&self, key: Key) -> Session<Payload> {
        let nth = self.objects.fetch_add(1, Ordering::SeqCst);
        let number = nth * u64::from(KEYS) + u64::from(key);
        Session::new(id_of(key), self.ledger.payload(number))
    }

    fn rest(&self) -> Rest {
        Rest::of(&self.cache, object_of)
    }

    /// A scenario changes the capacity once, so that one of the two readings was in force when the
    /// length was read.
    fn assert_within_capacity(&self) {
        let before = self.cache.capacity();
        let len = self.cache.len();
        let capacity = before.max(self.cache.capacity());
        assert!(len <= capacity, "{len} sessions in a cache for {capacity}");
    }

    /// Judges what was seen, once all threads are done: the counters tell the same.
    fn judge(&self, before: Rest, logs: Vec<Log>) {
        let added = before.stored.len() as u64;
        let threads = logs.len().max(1);
        let history =
            History { keys: KEYS, threads, is_roomy: false, before, logs, after: self.rest() };
        if let Err(violation) = verify(&history, 0) {
            panic!("{violation}\n{history:?}");
        }
        let stats = self.cache.stats();
        let answered = |is: Answer| {
            let is = |call: &Call| matches!(call, Call::Add { answer, .. } if *answer == is);
            history.events().filter(|(_, event)| is(&event.call)).count() as u64
        };
        let told =
            |is| history.departures().filter(|(departure, _)| departure.cause == is).count() as u64;
        assert_eq!(stats.added, added + answered(Answer::Inserted));
        assert_eq!(stats.identical, answered(Answer::Identical));
        assert_eq!(stats.replaced, told(RemovalCause::Replaced));
        assert_eq!(stats.taken, told(RemovalCause::Taken));
        assert_eq!(stats.removed, told(RemovalCause::Removed));
        assert_eq!(stats.evicted, told(RemovalCause::Evicted));
        assert_eq!(stats.flushed, told(RemovalCause::Flushed));
        assert_eq!((stats.expired, stats.drop_panics), (0, 0));
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
    let stage = Arc::new(Stage::new(scenario, taker));
    for key in scenario.stored.iter().take(scenario.capacity) {
        let session = stage.shared[usize::from(*key)].clone();
        assert!(stage.cache.add(session).is_ok_and(|added| added.changed()));
    }
    let before = stage.rest();
    let spawn = |steps: Vec<Step>| {
        let stage = Arc::clone(&stage);
        thread::spawn(move || {
            let mut actor = Actor { stage: &stage, log: Log::default(), kept: Vec::new() };
            steps.into_iter().for_each(|step| actor.perform(step));
            actor.log
        })
    };
    let busy = scenario.threads.iter().filter(|steps| !steps.is_empty());
    let threads: Vec<_> = busy.cloned().map(spawn).collect();
    let logs = threads.into_iter().map(|thread| thread.join().expect("a thread of the scenario"));
    stage.judge(before, logs.collect());
    let stored = stage.cache.len();
    let stage = Arc::into_inner(stage).expect("the threads are gone");
    stage.strike(stored);
}
