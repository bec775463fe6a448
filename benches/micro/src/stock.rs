//! A cache and the sessions for it.

use sessile::{Added, ManualClock, Session, SessionCache, SessionId};

/// The bytes of a session beside its key and its dates: about what a TLS 1.2 session weighs without
/// certificates.
pub(crate) type Payload = [u8; 200];

/// Which clock the cache reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The default.
    Coarse,
    /// One that stands still, so that every run is the same.
    Still,
}

/// A cache and a supply of sessions that it has never seen.
pub(crate) struct Stock {
    pub(crate) cache: SessionCache<Payload>,
    next: u64,
}

impl Stock {
    /// An empty cache for so many sessions.
    pub(crate) fn empty(capacity: usize, time: Time) -> Self {
        let builder = SessionCache::builder().capacity(capacity);
        let builder = match time {
            Time::Coarse => builder,
            Time::Still => builder.clock(ManualClock::new(1_000_000)),
        };
        Self { cache: builder.build().expect("the capacity is valid"), next: 0 }
    }

    /// A cache at its capacity.
    pub(crate) fn full(capacity: usize, time: Time) -> Self {
        let mut stock = Self::empty(capacity, time);
        // A few are evicted below the capacity, whose sets are full early.
        let share = capacity / 16;
        while stock.cache.stats().evicted < share as u64 {
            stock.fresh(share).into_iter().for_each(|session| drop(stock.cache.add(session)));
        }
        stock
    }

    /// The next `n` sessions.
    pub(crate) fn fresh(&mut self, n: usize) -> Vec<Session<Payload>> {
        let numbers = self.next..self.next + n as u64;
        self.next = numbers.end;
        numbers.map(|number| session(id(number))).collect()
    }

    /// Adds the next `n` sessions, and returns their ids in another order.
    pub(crate) fn add_fresh(&mut self, n: usize, random: &mut fastrand::Rng) -> Vec<SessionId> {
        let sessions = self.fresh(n);
        let mut ids: Vec<_> = sessions.iter().map(Session::id).collect();
        for session in sessions {
            assert!(matches!(self.cache.add(session), Ok(Added::Inserted)));
        }
        random.shuffle(&mut ids);
        ids
    }
}

/// Which of a cache's sessions is next: all in turns, in an order that has nothing to do with where
/// they lie.
pub(crate) struct Rounds {
    sessions: Vec<Session<Payload>>,
    at: usize,
}

impl Rounds {
    pub(crate) fn of(cache: &SessionCache<Payload>) -> Self {
        let mut sessions = cache.snapshot();
        random().shuffle(&mut sessions);
        Self { sessions, at: 0 }
    }

    /// The place of the next `n` sessions, one after another.
    fn places(&mut self, n: usize) -> impl Iterator<Item = usize> + use<> {
        let (at, len) = (self.at, self.sessions.len());
        self.at = (at + n) % len;
        (at..at + n).map(move |place| place % len)
    }

    /// Handles of the next `n` sessions.
    pub(crate) fn sessions(&mut self, n: usize) -> Vec<Session<Payload>> {
        self.places(n).map(|place| self.sessions[place].clone()).collect()
    }

    /// The ids of the next `n` sessions.
    pub(crate) fn ids(&mut self, n: usize) -> Vec<SessionId> {
        self.places(n).map(|place| self.sessions[place].id()).collect()
    }

    /// Other sessions, `n` of them, with the id of the next.
    pub(crate) fn successors_of_next(&mut self, n: usize) -> Vec<Session<Payload>> {
        let ids = self.ids(1).into_iter().cycle().take(n);
        ids.map(session).collect()
    }

    /// Other sessions with the ids of the next `n`.
    pub(crate) fn successors(&mut self, n: usize) -> Vec<Session<Payload>> {
        self.places(n).map(|place| session(self.sessions[place].id())).collect()
    }
}

/// Chance, the same in every run.
pub(crate) fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(0x5e55_11e0)
}

/// The id with this number.
pub(crate) fn id(number: u64) -> SessionId {
    let mut random = fastrand::Rng::with_seed(number);
    let mut bytes = [0; 32];
    random.fill(&mut bytes[..24]);
    // No two are the same.
    bytes[24..].copy_from_slice(&number.to_le_bytes());
    SessionId::from(bytes)
}

pub(crate) fn session(id: SessionId) -> Session<Payload> {
    Session::new(id, [0x5e; 200])
}
