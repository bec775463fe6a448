//! What hooks, callers and the tier's thread share: which keys changed, which this node decides on,
//! which are under way, and what has arrived.
//!
//! The hooks are called after an operation took effect, in no order between threads. So they say
//! only *that* a key changed. The thread looks what the cache holds for it, and writes or deletes.
//!
//! INVARIANT(MINE): from before a session is written until the tier has confirmed its deletion, its
//! place is in `written`. The tier is asked for no place in `written` or `pending`: what the cache
//! does not have of it any more was taken or removed here, whatever hook is still to be called. An
//! eviction ends this: what only the tier has may be asked of it.
//!
//! A place leaves `pending` only after it is in `written`, so that no moment shows it in neither.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use sessile::{Histogram, Session, SessionCache};
use tokio::sync::{Notify, mpsc};

use crate::keys::KeyRing;
use crate::link::Fetched;
use crate::options::Options;
use crate::payload::Payload;
use crate::place::{Place, TierKey, Uses};
use crate::refusal::Refusal;
use crate::seen::Seen;
use crate::stats::{Counter, Counters, LATENCIES, TierStats};
use crate::waiter::Waiter;

/// What is known of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The session at this address was evicted, and nothing else happened. The hook holds it while
    /// it says so: no session that was alive at the same time has this address.
    Evicted(usize),
    Changed,
    /// The cache was asked to remove what it does not have: only the tier can have it.
    Removed,
}

impl Mark {
    fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Removed, _) | (_, Self::Removed) => Self::Removed,
            (Self::Evicted(one), Self::Evicted(other)) if one == other => self,
            _ => Self::Changed,
        }
    }
}

/// What this node wrote, or is about to write, to a place of the tier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) uses: Uses,
    /// Where the session lies in this process.
    pub(crate) address: usize,
    /// A keyed digest of its record; `None` while nothing was sent.
    pub(crate) digest: Option<u64>,
}

/// A key that is being asked.
#[derive(Default)]
pub(crate) struct Asking {
    /// Its place has changed meanwhile: the answer is out of date.
    pub(crate) is_spoilt: bool,
    pub(crate) waiters: Vec<Waiter>,
}

/// What the tier answered, for a handshake that is about to look.
pub(crate) struct Arrival<T> {
    pub(crate) session: Session<T>,
    pub(crate) until: Instant,
}

/// See the top of this file.
pub(crate) struct Desk<T: Send + Sync + 'static> {
    pub(crate) options: Options<T>,
    pub(crate) counters: Counters,
    /// How long questions took to be answered.
    pub(crate) latency: Histogram,
    pub(crate) pending: DashMap<Place, Mark>,
    pub(crate) written: DashMap<Place, Written>,
    /// Sessions that the cache's mode keeps out of it, until they are written; each is pending too.
    pub(crate) unstored: DashMap<Place, Session<T>>,
    pub(crate) asking: DashMap<TierKey, Asking>,
    pub(crate) arrivals: DashMap<TierKey, Arrival<T>>,
    /// Sessions for one use that were handed out by this node.
    pub(crate) spent: Seen,
    /// What the tier did not have.
    pub(crate) missing: Seen,
    /// The queue was full: something in `written` or in the cache may have changed unmarked.
    pub(crate) needs_repair: AtomicBool,
    pub(crate) is_up: AtomicBool,
    /// A caller's budget ended before its answer came, and nothing was answered since: until then
    /// nobody else is made to wait.
    is_late: AtomicBool,
    /// Publications of other nodes are heard.
    is_listening: AtomicBool,
    /// A random number that tells this node's publications from those of others.
    pub(crate) node: u64,
    /// The thread has done all that was pending.
    pub(crate) is_idle: AtomicBool,
    pub(crate) went_idle: Notify,
    ring: RwLock<Arc<KeyRing>>,
    cache: OnceLock<Weak<SessionCache<T>>>,
    changes: mpsc::Sender<Place>,
    questions: mpsc::Sender<TierKey>,
}

/// What the tier's thread receives.
pub(crate) struct Inbox {
    pub(crate) changes: mpsc::Receiver<Place>,
    pub(crate) questions: mpsc::Receiver<TierKey>,
}

thread_local! {
    /// The place that the tier itself is changing on this thread: no news to it.
    static OWN_CHANGE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Whether the tier itself is changing a place on this thread.
pub(crate) fn is_own_change(place: Place) -> bool {
    OWN_CHANGE.get() == Some(place)
}

/// Runs what changes a place, of which the hooks make nothing.
pub(crate) fn quietly<R>(place: Place, change: impl FnOnce() -> R) -> R {
    OWN_CHANGE.set(Some(place));
    let result = change();
    OWN_CHANGE.set(None);
    result
}

impl<T: Payload> Desk<T> {
    pub(crate) fn new(ring: KeyRing, options: Options<T>) -> (Self, Inbox) {
        let (changes, changed) = mpsc::channel(options.queue);
        let (questions, asked) = mpsc::channel(options.questions);
        let desk = Self {
            counters: Counters::default(),
            latency: Histogram::new(LATENCIES),
            pending: DashMap::new(),
            written: DashMap::new(),
            unstored: DashMap::new(),
            asking: DashMap::new(),
            arrivals: DashMap::new(),
            spent: Seen::new(options.spent, Duration::MAX),
            missing: Seen::new(options.missing, options.missing_span),
            needs_repair: AtomicBool::new(false),
            is_up: AtomicBool::new(false),
            is_late: AtomicBool::new(false),
            is_listening: AtomicBool::new(false),
            node: RandomState::new().hash_one(()),
            is_idle: AtomicBool::new(true),
            went_idle: Notify::new(),
            ring: RwLock::new(Arc::new(ring)),
            cache: OnceLock::new(),
            changes,
            questions,
            options,
        };
        (desk, Inbox { changes: changed, questions: asked })
    }

    pub(crate) fn attach(&self, cache: &Arc<SessionCache<T>>) {
        let _ = self.cache.set(Arc::downgrade(cache));
    }

    /// The cache, unless it is gone.
    pub(crate) fn cache(&self) -> Option<Arc<SessionCache<T>>> {
        self.cache.get()?.upgrade()
    }

    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_ring(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    pub(crate) fn uses_of(&self, session: &Session<T>) -> Uses {
        (self.options.uses)(session)
    }

    /// A place changed: called by hooks, any number of times, in any order.
    pub(crate) fn mark(&self, place: Place, mark: Mark) {
        // INVARIANT(MINE): before the answers are spoilt, so that none begins after that.
        let is_queued = match self.pending.entry(place) {
            Entry::Occupied(mut there) => {
                let merged = there.get().and(mark);
                there.insert(merged);
                true
            }
            Entry::Vacant(free) => {
                free.insert(mark);
                false
            }
        };
        self.spoil(&place);
        if is_queued {
            return;
        }
        // ORDERING: SeqCst: whoever waits for the thread to be idle sees the change or the flag.
        self.is_idle.store(false, Ordering::SeqCst);
        if self.changes.try_send(place).is_err() {
            self.counters.count(Counter::Overflowed);
            // ORDERING: Release: the thread that sees the flag sees what the cache held; pairs with
            // the exchange in `Writer::repair`. Set first: the place is then in the repair.
            self.needs_repair.store(true, Ordering::Release);
            self.unstored.remove(&place);
            self.pending.remove(&place);
        }
    }

    /// What the tier has answered of a place, or is about to answer, is out of date.
    pub(crate) fn spoil(&self, place: &Place) {
        for uses in [Uses::Once, Uses::Many] {
            let key = place.used(uses);
            if let Some(mut asking) = self.asking.get_mut(&key) {
                asking.is_spoilt = true;
            }
            self.arrivals.remove(&key);
        }
    }

    /// Whether this node decides on a place: see the top of this file.
    pub(crate) fn is_mine(&self, place: &Place) -> bool {
        self.pending.contains_key(place) || self.written.contains_key(place)
    }

    /// Has a key asked of the tier, unless there is no need or no use. Whether the waiter will be
    /// told.
    pub(crate) fn ask(&self, key: TierKey, waiter: impl FnOnce() -> Waiter) -> bool {
        if self.missing.contains(&key) {
            self.counters.count(Counter::KnownMissing);
            return false;
        }
        // ORDERING: Relaxed: hints.
        let is_up = self.is_up.load(Ordering::Relaxed) && !self.is_late.load(Ordering::Relaxed);
        if !is_up || self.arrivals.len() >= self.options.arrivals {
            self.counters.count(Counter::Unavailable);
            return false;
        }
        let is_spent = key.uses == Uses::Once && self.spent.contains(&key);
        let withheld = is_spent || self.arrivals.contains_key(&key) || self.holds(&key.place);
        match self.asking.entry(key) {
            // A change that is marked from here on waits for this entry, and spoils the answer.
            _ if withheld || self.is_mine(&key.place) => {
                self.counters.count(Counter::Withheld);
                return false;
            }
            Entry::Occupied(mut asking) => {
                self.counters.count(Counter::Joined);
                asking.get_mut().waiters.push(waiter());
            }
            Entry::Vacant(free) => {
                if self.questions.try_send(key).is_err() {
                    self.counters.count(Counter::Unavailable);
                    return false;
                }
                free.insert(Asking { is_spoilt: false, waiters: vec![waiter()] });
            }
        }
        true
    }

    /// The server was reached, or is not any more.
    pub(crate) fn set_up(&self, is_up: bool) {
        // ORDERING: Relaxed: hints, here and in `gave_up_on`.
        self.is_late.store(false, Ordering::Relaxed);
        self.is_up.store(is_up, Ordering::Relaxed);
        if is_up {
            self.counters.count(Counter::Reconnects);
        }
    }

    pub(crate) fn set_listening(&self, is_listening: bool) {
        // ORDERING: Relaxed: for the statistics alone.
        self.is_listening.store(is_listening, Ordering::Relaxed);
    }

    /// A caller has waited for these keys until the end of its budget. Some are still asked, unless
    /// the answers came this moment; then nobody is late. Who did not mean to wait says nothing of
    /// the tier.
    pub(crate) fn gave_up_on(&self, keys: &[TierKey], budget: Duration) {
        if budget.is_zero() {
            return;
        }
        self.is_late.store(true, Ordering::Relaxed);
        if !keys.iter().any(|key| self.asking.contains_key(key)) {
            self.is_late.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn holds(&self, place: &Place) -> bool {
        let Some(cache) = self.cache() else { return false };
        cache.view(place.context).protocol(place.protocol).peek(&place.id).is_some()
    }

    /// The answer to a question.
    pub(crate) fn answered(&self, key: TierKey, answer: Fetched) {
        let session = match answer {
            Fetched::Found(sealed) => self.opened(&key, &sealed),
            Fetched::Missing => {
                self.missing.insert(&key);
                None
            }
            Fetched::Refused | Fetched::Lost => None,
        };
        let Entry::Occupied(asking) = self.asking.entry(key) else { return };
        // ORDERING: Relaxed: a hint. Under the entry: see `gave_up_on`.
        self.is_late.store(false, Ordering::Relaxed);
        let is_found = session.is_some() && !asking.get().is_spoilt;
        if let Some(session) = session.filter(|_| is_found) {
            self.counters.count(Counter::Found);
            let until = Instant::now() + self.options.arrival_span;
            self.arrivals.insert(key, Arrival { session, until });
        }
        for waiter in asking.remove().waiters {
            waiter.tell(is_found);
        }
    }

    /// The session that a value of the tier is, unless it cannot be trusted.
    pub(crate) fn opened(&self, key: &TierKey, sealed: &[u8]) -> Option<Session<T>> {
        let (now, name) = (self.cache()?.now(), key.name(&self.options.prefix));
        let opened = self.ring().open_session(&name, sealed, now, self.options.tolerance);
        let opened = opened.and_then(|session| match Place::of(&session) == key.place {
            true => Ok(session),
            false => Err(Refusal::Forged),
        });
        opened.map_err(|refusal| self.counters.refuse(refusal)).ok()
    }

    pub(crate) fn stats(&self) -> TierStats {
        TierStats {
            pending: self.pending.len() as u64,
            arrivals: self.arrivals.len() as u64,
            is_up: self.is_up.load(Ordering::Relaxed),
            is_listening: self.is_listening.load(Ordering::Relaxed),
            latency: self.latency.figures(),
            ..self.counters.read()
        }
    }
}
