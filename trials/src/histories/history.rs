//! What was recorded: calls, answers, and what the removal hook was told.

use super::plan::Plan;
use sessile::{Rejection, RemovalCause};
use std::fmt;
use std::sync::Arc;

/// The payload of a session: who it is. No two sessions of a cache are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) number: u32,
    /// The key that it is stored under, or [`FILLER`](Self::FILLER).
    pub(super) key: u8,
    /// Its last valid second.
    pub(super) expires: u64,
}

impl Object {
    /// The key of sessions that only take up room: their own histories are not recorded.
    pub(super) const FILLER: u8 = u8::MAX;
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Stamps from before and after.
    pub(super) invoked: u64,
    pub(super) returned: u64,
    /// The cache's clock, read before and after.
    pub(super) clock: [u64; 2],
    pub(super) call: Call,
}

/// A call with its answer. `keys` is a set of keys, a bit each.
#[derive(Clone, Debug)]
pub(super) enum Call {
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
pub(super) enum Answer {
    Inserted,
    Replaced(Object),
    Identical,
    Rejected(Rejection),
}

/// What the removal hook was told, by the thread that was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    /// The call during which it was told: its index in the thread's log.
    pub(super) event: usize,
    pub(super) object: Object,
    pub(super) cause: RemovalCause,
    /// The stamp taken by the hook, which runs after the removal took effect.
    pub(super) at: u64,
}

/// What one thread did in one history, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) events: Vec<Event>,
    pub(super) departures: Vec<Departure>,
}

/// A session found at rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) object: Object,
    pub(super) is_resumable: bool,
}

/// The cache while nobody uses it.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    /// The sessions of recorded keys.
    pub(super) stored: Vec<Stored>,
    pub(super) fillers: usize,
    pub(super) len: usize,
    pub(super) capacity: usize,
    /// What came, less what left, is what the statistics call the number of sessions.
    pub(super) is_balanced: bool,
}

/// One run of some threads on one cache, between two moments of rest.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) number: u64,
    pub(super) plan: Arc<Plan>,
    pub(super) before: Rest,
    pub(super) logs: Vec<Log>,
    pub(super) after: Rest,
}

impl History {
    /// All calls, with the number of their thread.
    pub(super) fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.logs
            .iter()
            .enumerate()
            .flat_map(|(thread, log)| log.events.iter().map(move |event| (thread, event)))
    }

    /// All departures of recorded keys, each with the call during which it was told.
    pub(super) fn departures(&self) -> impl Iterator<Item = (&Departure, &Event)> {
        self.logs.iter().flat_map(|log| {
            log.departures
                .iter()
                .filter(|departure| departure.object.key != Object::FILLER)
                .filter_map(|departure| Some((departure, log.events.get(departure.event)?)))
        })
    }

    /// Calls during which another thread was in a call too.
    pub(super) fn overlapping(&self) -> usize {
        let overlaps = |thread: usize, event: &Event| {
            let others = self.logs.iter().enumerate().filter(|(other, _)| *other != thread);
            others
                .flat_map(|(_, log)| &log.events)
                .any(|other| other.invoked < event.returned && event.invoked < other.returned)
        };
        self.events().filter(|(thread, event)| overlaps(*thread, event)).count()
    }

    /// The stamp after which nothing happened.
    pub(super) fn end(&self) -> u64 {
        self.events().map(|(_, event)| event.returned).max().unwrap_or(0)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inserted => f.write_str("inserted"),
            Self::Replaced(old) => write!(f, "replaced {old}"),
            Self::Identical => f.write_str("identical"),
            Self::Rejected(rejection) => write!(f, "rejected: {rejection}"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one =
            |object: &Option<Object>| object.map_or("none".to_owned(), |object| object.to_string());
        match self {
            Self::Add { object, answer } => write!(f, "add {object}: {answer}"),
            Self::Lookup { found, .. } => write!(f, "lookup: {}", one(found)),
            Self::Take { taken, .. } => write!(f, "take: {}", one(taken)),
            Self::Remove { object, done } => write!(f, "remove {object}: {done}"),
            Self::RemoveId { done, .. } => write!(f, "remove_id: {done}"),
            Self::Flush { now: Some(now), .. } => write!(f, "flush_expired at {now}"),
            Self::Flush { now: None, .. } => f.write_str("clear"),
            Self::Snapshot { .. } => f.write_str("snapshot"),
            Self::Resize { sessions } => write!(f, "set_capacity {sessions}"),
            Self::Observe { len, capacity } => write!(f, "len {len}, capacity {capacity}"),
            Self::Fill => f.write_str("add of another key"),
        }
    }
}
