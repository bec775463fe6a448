//! What was recorded: calls, answers, and what the removal hook was told.

use sessile::{Rejection, RemovalCause, Session, SessionCache};
use std::fmt;

/// The payload of a session: who it is. No two sessions of a cache are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Its own.
    pub number: u32,
    /// The key that it is stored under, or [`FILLER`](Self::FILLER).
    pub key: u8,
    /// Its last valid second.
    pub expires: u64,
}

impl Object {
    /// The key of sessions that only take up room: their own histories are not recorded.
    pub const FILLER: u8 = u8::MAX;
}

/// One call.
#[derive(Clone, Debug)]
pub struct Event {
    /// The stamp from before.
    pub invoked: u64,
    /// The stamp from after.
    pub returned: u64,
    /// The cache's clock, read before and after.
    pub clock: [u64; 2],
    /// What was called, and the answer.
    pub call: Call,
}

/// A call with its answer. `keys` is a set of keys, a bit each.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is called as the method")]
pub enum Call {
    Add {
        object: Object,
        answer: Answer,
    },
    /// `get` and `read`.
    Lookup {
        key: u8,
        found: Option<Object>,
    },
    Take {
        key: u8,
        taken: Option<Object>,
    },
    Remove {
        object: Object,
        done: bool,
    },
    RemoveId {
        key: u8,
        done: bool,
    },
    /// `flush_expired`, or `clear` without a time.
    Flush {
        keys: u8,
        now: Option<u64>,
    },
    Snapshot {
        keys: u8,
        shown: Vec<Object>,
    },
    Resize {
        sessions: usize,
    },
    Observe {
        len: usize,
        capacity: usize,
    },
    /// The add of a session that only takes up room.
    Fill,
}

/// What `add` answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the method has them")]
pub enum Answer {
    Inserted,
    Replaced(Object),
    Identical,
    Rejected(Rejection),
}

/// What the removal hook was told, by the thread that was told.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    /// The call during which it was told: its index in the thread's log.
    pub event: usize,
    /// Who left.
    pub object: Object,
    /// Why.
    pub cause: RemovalCause,
    /// The stamp taken by the hook, which runs after the removal took effect.
    pub at: u64,
}

/// What one thread did in one history, in its order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Its calls.
    pub events: Vec<Event>,
    /// What it was told meanwhile.
    pub departures: Vec<Departure>,
}

/// A session found at rest.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Who it is.
    pub object: Object,
    /// Whether no `remove` has marked it.
    pub is_resumable: bool,
}

/// The cache while nobody uses it.
#[derive(Clone, Debug)]
pub struct Rest {
    /// The sessions of recorded keys.
    pub stored: Vec<Stored>,
    /// How many others there are.
    pub fillers: usize,
    /// What `len` says.
    pub len: usize,
    /// What `capacity` says.
    pub capacity: usize,
    /// What came, less what left, is what the statistics call the number of sessions.
    pub is_balanced: bool,
}

impl Rest {
    /// What a cache is like that nobody uses.
    pub fn of<T: Send + Sync + 'static>(
        cache: &SessionCache<T>,
        object_of: impl Fn(&Session<T>) -> Object,
    ) -> Self {
        let all = cache.snapshot();
        let stats = cache.stats();
        let left = stats.removed + stats.taken + stats.evicted + stats.expired + stats.flushed;
        let stored = |session: &Session<T>| Stored {
            object: object_of(session),
            is_resumable: session.is_resumable(),
        };
        let is_recorded = |stored: &Stored| stored.object.key != Object::FILLER;
        let stored: Vec<_> = all.iter().map(stored).filter(is_recorded).collect();
        Self {
            fillers: all.len() - stored.len(),
            stored,
            len: cache.len(),
            capacity: cache.capacity(),
            is_balanced: stats.added - left == stats.number,
        }
    }
}

/// One run of some threads on one cache, between two moments of rest.
#[derive(Clone, Debug)]
pub struct History {
    /// So many keys are recorded.
    pub keys: u8,
    /// So many threads used the cache.
    pub threads: usize,
    /// The cache never has a reason to evict.
    pub is_roomy: bool,
    /// The cache before.
    pub before: Rest,
    /// What each thread did.
    pub logs: Vec<Log>,
    /// The cache after.
    pub after: Rest,
}

impl History {
    /// All calls, with the number of their thread.
    pub fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.logs
            .iter()
            .enumerate()
            .flat_map(|(thread, log)| log.events.iter().map(move |event| (thread, event)))
    }

    /// All departures of recorded keys, each with the call during which it was told.
    pub fn departures(&self) -> impl Iterator<Item = (&Departure, &Event)> {
        self.logs.iter().flat_map(|log| {
            log.departures
                .iter()
                .filter(|departure| departure.object.key != Object::FILLER)
                .filter_map(|departure| Some((departure, log.events.get(departure.event)?)))
        })
    }

    /// Calls during which another thread was in a call too.
    pub fn overlapping(&self) -> usize {
        let overlaps = |thread: usize, event: &Event| {
            let others = self.logs.iter().enumerate().filter(|(other, _)| *other != thread);
            others
                .flat_map(|(_, log)| &log.events)
                .any(|other| other.invoked < event.returned && event.invoked < other.returned)
        };
        self.events().filter(|(thread, event)| overlaps(*thread, event)).count()
    }

    /// The stamp after which nothing happened.
    pub fn end(&self) -> u64 {
        self.events().map(|(_, event)| event.returned).max().unwrap_or(0)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)
    }
}
