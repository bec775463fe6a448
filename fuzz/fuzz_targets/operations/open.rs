//! A cache with everything switched on: weights, modes that change, a second tier, hooks that call
//! back.
//!
//! After each operation the cache must be whole ([`assert_whole`]): no key twice, no more than the
//! capacity, counters that balance. A copy that asks the cache for a key whenever a hook tells of
//! it must be what is stored, but for what the second tier supplied itself; no session may come
//! back from a key that it does not have, and in the end every payload is dropped once.

use crate::OPERATIONS_MAX;
use arbitrary::{Result, Unstructured};
use sessile::{
    Added, Context, Hooks, ManualClock, Mode, Policy, Protocol, RemovalCause, Session,
    SessionCache, SessionId,
};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use testkit::model::Key;
use testkit::{Ledger, Payload, START, assert_whole};

/// A cache, what its hooks know, and the handles that the input keeps.
pub(crate) struct Open {
    cache: Arc<SessionCache<Payload>>,
    clock: Arc<ManualClock>,
    known: Arc<Known>,
    handles: Vec<Session<Payload>>,
}

/// What the hooks share with the input.
struct Known {
    cache: Weak<SessionCache<Payload>>,
    ledger: Arc<Ledger>,
    /// What was stored under each key when a hook last told of it: numbers of payloads.
    copy: Mutex<HashMap<FullKey, u64>>,
    /// Numbers of what the second tier supplied.
    supplied: Mutex<HashSet<u64>>,
    numbers: AtomicU64,
    /// Calls that hooks may still make, so that none calls itself for ever.
    calls_left: AtomicU64,
}

type FullKey = (SessionId, Context, Protocol);

fn key_of(session: &Session<Payload>) -> FullKey {
    (session.id(), session.context(), session.protocol())
}

const CALLS_PER_OPERATION: u64 = 3;

/// The heaviest payload weighs this much less one, the whole cache at most [`WEIGHT_MAX`].
const WEIGHTS: u64 = 40;
const WEIGHT_MAX: usize = 200;

impl Known {
    fn make(&self, key: Key) -> Session<Payload> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let builder =
            Session::<Payload>::builder(key.id()).context(key.context()).protocol(key.protocol());
        builder.build(self.ledger.payload(number))
    }

    /// A call from inside a hook, chosen by the session that the hook was told of.
    fn call_back(&self, number: u64) {
        let spend = |left: u64| left.checked_sub(1);
        if self.calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            return;
        }
        let Some(cache) = self.cache.upgrade() else { return };
        let key = Key::decode((number * 7) as u8);
        let view = cache.view(key.context()).protocol(key.protocol());
        match number % 8 {
            0 => drop(view.get(&key.id())),
            1 => drop(view.take(&key.id())),
            2 => drop(view.add(self.make(key))),
            3 => _ = view.remove_id(&key.id()),
            4 => cache.collect(),
            5 => drop(cache.snapshot()),
            _ => {}
        }
    }

    fn came(&self, session: &Session<Payload>) {
        self.look_up(session);
        self.call_back(session.number());
    }

    fn left(&self, session: &Session<Payload>, _cause: RemovalCause) {
        self.look_up(session);
        self.call_back(session.number() + 1);
    }

    /// Notes what is stored under the key of a session now.
    fn look_up(&self, session: &Session<Payload>) {
        let Some(cache) = self.cache.upgrade() else { return };
        let stored = cache.view(session.context()).protocol(session.protocol()).peek(&session.id());
        let mut copy = self.copy.lock().expect("no hook panics");
        match stored {
            Some(stored) => copy.insert(key_of(session), stored.number()),
            None => copy.remove(&key_of(session)),
        };
    }

    /// The second tier: every fourth payload is known there.
    fn fetch(&self, id: &SessionId) -> Option<Session<Payload>> {
        let number = self.numbers.load(Ordering::Relaxed);
        self.call_back(number);
        (number % 4 == 0).then(|| {
            let number = self.next();
            self.supplied.lock().expect("no hook panics").insert(number);
            Session::new(*id, self.ledger.payload(number))
        })
    }

    fn next(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn hooks(self: &Arc<Self>, choice: u8) -> Hooks<Payload> {
        let (came, left, asked) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let hooks = Hooks::new().on_added(move |one| came.came(one));
        let hooks = hooks.on_removed(move |one, cause| left.left(one, cause));
        if choice & 1 == 0 { hooks } else { hooks.on_miss(move |id, _| asked.fetch(id)) }
    }
}

fn mode(bits: u8) -> Mode {
    Mode {
        store: bits & 3 != 3,
        lookup: bits & 12 != 12,
        auto_flush: bits & 16 != 0,
        update_time: bits & 32 != 0,
        keep_tier_hits: bits & 64 != 0,
    }
}

impl Open {
    pub(crate) fn new(judge: u8, input: &mut Unstructured<'_>) -> Result<Self> {
        let clock = Arc::new(ManualClock::new(START));
        let capacity = 1 + usize::from(input.arbitrary::<u8>()? % 40);
        let policy =
            [Policy::Lru, Policy::Fifo, Policy::SoonestExpiry][usize::from(judge >> 3) % 3];
        let mut builder = SessionCache::builder()
            .capacity(capacity)
            .policy(policy)
            .protect_reused(judge & 128 != 0)
            .timeout(Duration::from_secs(25))
            .clock(Arc::clone(&clock));
        if judge & 1 != 0 {
            let weigh = |session: &Session<Payload>| (session.number() % WEIGHTS) as usize;
            builder = builder
                .weigher(weigh)
                .max_weight(WEIGHT_MAX)
                .max_entry_weight(WEIGHTS as usize - 2);
        }
        let cache = Arc::new(builder.build().expect("valid settings"));
        let known = Arc::new(Known {
            cache: Arc::downgrade(&cache),
            ledger: Ledger::new(),
            copy: Mutex::default(),
            supplied: Mutex::default(),
            numbers: AtomicU64::new(0),
            calls_left: AtomicU64::new(0),
        });
        cache.set_hooks(known.hooks(judge >> 6));
        Ok(Self { cache, clock, known, handles: Vec::new() })
    }

    pub(crate) fn run(mut self, input: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..OPERATIONS_MAX {
            let Ok([kind, a, b]) = input.arbitrary::<[u8; 3]>() else { break };
            self.known.calls_left.store(CALLS_PER_OPERATION, Ordering::Relaxed);
            self.apply(kind, a, b);
            self.check();
        }
        self.finish();
        Ok(())
    }

    fn apply(&mut self, kind: u8, a: u8, b: u8) {
        let key = Key::decode(a);
        let view = self.cache.view(key.context()).protocol(key.protocol());
        let seconds = u64::from(b % 40);
        match kind % 24 {
            0..=6 => {
                let session = self.known.make(key);
                session.set_timeout(Duration::from_secs(seconds));
                self.handles.push(session.clone());
                self.add(session);
            }
            7 | 8 => {
                if let Some(session) = self.handle(a).cloned() {
                    self.add(session);
                }
            }
            9 | 10 => Self::assert_of(key, view.get(&key.id()).as_ref()),
            11 => _ = view.read(&key.id(), |found| Self::assert_of(key, Some(found))),
            12 | 13 => Self::assert_of(key, view.take(&key.id()).as_ref()),
            14 => _ = self.handle(a).map(|session| self.cache.remove(session)),
            15 => _ = view.remove_id(&key.id()),
            16 => _ = self.cache.flush_expired_at(self.now() + seconds),
            17 => _ = view.clear(),
            18 => self.cache.set_capacity(1 + usize::from(a % 40)).expect("a valid capacity"),
            19 => self.cache.set_mode(mode(a)),
            20 => self.clock.set(self.now() + seconds),
            21 => self.clock.set(self.now() - seconds),
            22 => self.handles.truncate(usize::from(a)),
            _ => self.cache.set_hooks(self.known.hooks(a)),
        }
    }

    fn now(&self) -> u64 {
        sessile::Clock::now(&*self.clock).as_secs()
    }

    fn handle(&self, choice: u8) -> Option<&Session<Payload>> {
        let place = usize::from(choice).checked_rem(self.handles.len())?;
        self.handles.get(place)
    }

    fn add(&self, session: Session<Payload>) {
        let given = session.clone();
        match self.cache.add(session) {
            Ok(Added::Replaced(old)) => {
                assert!(!Session::ptr_eq(&old, &given), "replaced by itself");
                assert_eq!(key_of(&old), key_of(&given));
            }
            Ok(Added::Inserted) | Ok(Added::Identical) | Err(_) => {}
        }
    }

    fn assert_of(key: Key, found: Option<&Session<Payload>>) {
        if let Some(found) = found {
            assert_eq!(
                (found.id(), found.context(), found.protocol()),
                (key.id(), key.context(), key.protocol())
            );
            assert!(found.is_resumable());
        }
    }

    fn check(&self) {
        assert_whole(&self.cache);
        let supplied = self.known.supplied.lock().expect("no hook panics");
        let own = |entries: &HashMap<FullKey, u64>| -> HashMap<FullKey, u64> {
            entries
                .iter()
                .filter(|one| !supplied.contains(one.1))
                .map(|(key, number)| (*key, *number))
                .collect()
        };
        let stored =
            self.cache.iter().map(|session| (key_of(&session), session.number())).collect();
        let copy = self.known.copy.lock().expect("no hook panics");
        assert_eq!(own(&stored), own(&copy), "what is stored, and what the hooks led to");
    }

    fn finish(mut self) {
        self.handles.clear();
        self.cache.collect();
        assert_eq!(self.known.ledger.alive(), self.cache.len(), "what is alive is what is stored");
        self.cache.set_hooks(Hooks::new());
        let ledger = Arc::clone(&self.known.ledger);
        drop(self);
        assert_eq!(ledger.alive(), 0, "payloads outlive the cache");
    }
}
