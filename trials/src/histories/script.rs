//! What one thread does: calls by chance, each recorded with its answer.

use super::plan::{Plan, suspend_sometimes};
use super::record::Recorder;
use super::stamp::Stopwatch;
use sessile::{Added, Context, Rejected, RemovalCause, Session, SessionCache, SessionId};
use std::cell::RefCell;
use testkit::histories::{Answer, Call, Departure, Event, Log, Object};

/// Sessions that a thread keeps from earlier answers, to add or remove them again.
const HELD_MAX: usize = 3;

/// Seconds for which a session that "never" expires is valid.
pub(super) const LONG: u64 = 1_000_000;

thread_local! {
    /// What the hook told this thread during the call under way.
    static TOLD: RefCell<Vec<(Object, RemovalCause, u64)>> = const { RefCell::new(Vec::new()) };
}

/// The removal hook of every recorded cache.
pub(super) fn hook(watch: Stopwatch) -> impl Fn(&Session<Object>, RemovalCause) + Send + Sync {
    move |session, cause| {
        TOLD.with_borrow_mut(|told| told.push((**session, cause, watch.stamp())));
        suspend_sometimes();
    }
}

/// One thread in one history.
pub(super) struct Actor<'b> {
    recorder: &'b Recorder<'b>,
    /// One session a key that all threads of the history know.
    shared: &'b [Session<Object>],
    random: fastrand::Rng,
    /// The number of the next session.
    next: u32,
    held: Vec<Session<Object>>,
    log: Log,
}

impl<'b> Actor<'b> {
    pub(super) fn new(
        recorder: &'b Recorder<'b>,
        seed: u64,
        shared: &'b [Session<Object>],
        next: u32,
    ) -> Self {
        fastrand::seed(seed);
        let random = fastrand::Rng::with_seed(seed);
        Self { recorder, shared, random, next, held: Vec::new(), log: Log::default() }
    }

    /// Makes so many calls.
    pub(super) fn act(mut self, calls: usize) -> (Log, u32) {
        while self.log.events.len() < calls {
            self.act_once();
            if self.random.u8(..8) == 0 {
                std::thread::yield_now();
            }
        }
        (self.log, self.next)
    }

    fn act_once(&mut self) {
        if self.random.u8(..100) < self.recorder.plan.fill_percent {
            return self.fill();
        }
        match self.random.u32(..1000) {
            0..220 => {
                let session = self.fresh(None);
                self.add(session);
            }
            220..290 => {
                let key = self.key();
                self.add(self.shared[usize::from(key)].clone());
            }
            290..350 => {
                let session = self.known();
                self.add(session);
            }
            350..520 => self.get(),
            520..620 => self.read(),
            620..740 => self.take(),
            740..820 => self.remove(),
            820..880 => self.remove_id(),
            880..900 => self.flush(true),
            900..912 => self.flush(false),
            912..924 => self.snapshot(),
            924..950 => self.observe(),
            950..970 => self.recorder.clock.advance(),
            _ => self.resize(),
        }
    }

    fn key(&mut self) -> u8 {
        self.random.u8(..self.recorder.plan.keys)
    }

    /// A session that nobody has seen, three in ten of them soon expired.
    fn fresh(&mut self, key: Option<u8>) -> Session<Object> {
        let key = key.unwrap_or_else(|| self.random.u8(..self.recorder.plan.keys));
        let now = self.recorder.clock.peek();
        let lifetime = if self.random.u8(..10) < 3 { self.random.u64(..3) } else { LONG };
        let object = Object { number: self.next, key, expires: now + lifetime };
        self.next += 1;
        self.recorder.plan.session(object, now)
    }

    /// A session from an earlier answer of this history, or one that all threads know.
    fn known(&mut self) -> Session<Object> {
        let key = usize::from(self.key());
        let held = if self.held.is_empty() {
            None
        } else {
            self.held.get(self.random.usize(..self.held.len()))
        };
        held.unwrap_or(&self.shared[key]).clone()
    }

    fn hold(&mut self, session: Option<&Session<Object>>) {
        let Some(session) = session else { return };
        if self.held.len() == HELD_MAX {
            self.held.swap_remove(self.random.usize(..HELD_MAX));
        }
        self.held.push(session.clone());
    }

    /// Makes a call and records when it began and ended, and whom the hook saw leave meanwhile.
    fn record<R>(&mut self, call: impl FnOnce() -> R, describe: impl FnOnce(&R) -> Call) -> R {
        let clock = self.recorder.clock.peek();
        let invoked = self.recorder.watch.stamp();
        let answer = call();
        let returned = self.recorder.watch.stamp();
        let clock = [clock, self.recorder.clock.peek()];
        let event = self.log.events.len();
        TOLD.with_borrow_mut(|told| {
            let departures =
                told.drain(..).map(|(object, cause, at)| Departure { event, object, cause, at });
            self.log.departures.extend(departures);
        });
        self.log.events.push(Event { invoked, returned, clock, call: describe(&answer) });
        answer
    }

    fn add(&mut self, session: Session<Object>) {
        let object = *session;
        let target = Target::of(self.recorder.cache, object.key, self.random.bool());
        let added = self
            .record(|| target.add(session), |added| Call::Add { object, answer: answer(added) });
        if let Ok(Added::Replaced(old)) = added {
            self.hold(Some(&old));
        }
    }

    fn fill(&mut self) {
        let now = self.recorder.clock.peek();
        let object =
            Object { number: self.next, key: Object::FILLER, expires: now + self.random.u64(1..8) };
        self.next += 1;
        let mut bytes = [0; SessionId::MAX_LEN];
        self.random.fill(&mut bytes);
        let lifetime = std::time::Duration::from_secs(object.expires - now);
        let session = Session::<Object>::builder(SessionId::from(bytes))
            .created_at(now)
            .timeout(lifetime)
            .build(object);
        let cache = self.recorder.cache;
        let _ = self.record(|| cache.add(session), |_| Call::Fill);
    }

    fn get(&mut self) {
        let (key, id, target) = self.target();
        let found = self.record(
            || target.get(&id),
            |found| Call::Lookup { key, found: found.as_deref().copied() },
        );
        self.hold(found.as_ref());
    }

    fn read(&mut self) {
        let (key, id, target) = self.target();
        let look = |session: &Session<Object>| {
            suspend_sometimes();
            **session
        };
        self.record(|| target.read(&id, look), |found| Call::Lookup { key, found: *found });
    }

    fn take(&mut self) {
        let (key, id, target) = self.target();
        let taken = self.record(
            || target.take(&id),
            |taken| Call::Take { key, taken: taken.as_deref().copied() },
        );
        self.hold(taken.as_ref());
    }

    fn remove(&mut self) {
        let session = self.known();
        let object = *session;
        let target = Target::of(self.recorder.cache, object.key, self.random.bool());
        self.record(|| target.remove(&session), |&done| Call::Remove { object, done });
    }

    fn remove_id(&mut self) {
        let (key, id, target) = self.target();
        self.record(|| target.remove_id(&id), |&done| Call::RemoveId { key, done });
    }

    fn target(&mut self) -> (u8, SessionId, Target<'b>) {
        let key = self.key();
        (key, self.recorder.plan.id(key), Target::of(self.recorder.cache, key, self.random.bool()))
    }

    /// One context, or all of them.
    fn scope(&mut self) -> Option<Context> {
        let key = self.key();
        self.random.bool().then(|| Plan::context(key))
    }

    fn flush(&mut self, only_expired: bool) {
        let scope = self.scope();
        let keys = self.recorder.plan.keys_of(scope);
        let now = only_expired.then(|| self.recorder.clock.peek());
        let cache = self.recorder.cache;
        let flush = || match (scope, now) {
            (None, None) => cache.clear(),
            (None, Some(now)) => cache.flush_expired_at(now),
            (Some(context), None) => cache.view(context).clear(),
            (Some(context), Some(now)) => cache.view(context).flush_expired_at(now),
        };
        self.record(flush, |_| Call::Flush { keys, now });
    }

    fn snapshot(&mut self) {
        let scope = self.scope();
        let keys = self.recorder.plan.keys_of(scope);
        let cache = self.recorder.cache;
        let snapshot =
            || scope.map_or_else(|| cache.snapshot(), |context| cache.view(context).snapshot());
        self.record(snapshot, |sessions| {
            let shown = sessions.iter().map(|session| **session);
            Call::Snapshot {
                keys,
                shown: shown.filter(|object| object.key != Object::FILLER).collect(),
            }
        });
    }

    fn observe(&mut self) {
        let cache = self.recorder.cache;
        self.record(
            || (cache.len(), cache.capacity()),
            |&(len, capacity)| Call::Observe { len, capacity },
        );
    }

    fn resize(&mut self) {
        let sizes = self.recorder.plan.sizes;
        if sizes.is_empty() {
            return;
        }
        let sessions = sizes[self.random.usize(..sizes.len())];
        let cache = self.recorder.cache;
        // A refusal changes nothing; what matters is what is seen afterwards.
        let _ = self.record(|| cache.set_capacity(sessions), |_| Call::Resize { sessions });
    }
}

/// A key's cache, seen whole or from the key's context.
struct Target<'c> {
    cache: &'c SessionCache<Object>,
    view: Option<Context>,
}

impl<'c> Target<'c> {
    /// Only sessions without a context can be looked up in the whole cache.
    fn of(cache: &'c SessionCache<Object>, key: u8, as_view: bool) -> Self {
        let context = Plan::context(key);
        Self { cache, view: (as_view || !context.is_none()).then_some(context) }
    }

    fn add(&self, session: Session<Object>) -> Result<Added<Object>, Rejected<Object>> {
        match self.view {
            None => self.cache.add(session),
            Some(context) => self.cache.view(context).add(session),
        }
    }

    fn get(&self, id: &SessionId) -> Option<Session<Object>> {
        self.view.map_or_else(|| self.cache.get(id), |context| self.cache.view(context).get(id))
    }

    fn read<R>(&self, id: &SessionId, f: impl FnOnce(&Session<Object>) -> R) -> Option<R> {
        match self.view {
            None => self.cache.read(id, f),
            Some(context) => self.cache.view(context).read(id, f),
        }
    }

    fn take(&self, id: &SessionId) -> Option<Session<Object>> {
        self.view.map_or_else(|| self.cache.take(id), |context| self.cache.view(context).take(id))
    }

    fn remove(&self, session: &Session<Object>) -> bool {
        self.view.map_or_else(
            || self.cache.remove(session),
            |context| self.cache.view(context).remove(session),
        )
    }

    fn remove_id(&self, id: &SessionId) -> bool {
        self.view.map_or_else(
            || self.cache.remove_id(id),
            |context| self.cache.view(context).remove_id(id),
        )
    }
}

fn answer(added: &Result<Added<Object>, Rejected<Object>>) -> Answer {
    match added {
        Ok(Added::Inserted) => Answer::Inserted,
        Ok(Added::Replaced(old)) => Answer::Replaced(**old),
        Ok(Added::Identical) => Answer::Identical,
        Err(rejected) => Answer::Rejected(rejected.reason()),
    }
}
