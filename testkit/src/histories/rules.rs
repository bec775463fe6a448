//! What one answer, or one departure, must obey by itself, whatever the order of everything else.
//!
//! - A lookup under a key returns a session of that key, which was not expired when it began, and
//!   which no `remove` that had returned before had marked. `add` stores no other.
//! - `add` refuses only for a reason that can hold.
//! - A departure's cause fits the call during which it was told, and the clock; a cache with room
//!   for all evicts nothing.
//! - A snapshot shows no session twice, and only those of its context.
//! - `len() <= capacity()`: at every look at a cache whose capacity is not being changed; else
//!   within the limits that may have been in force, allowing for a permit in the hand of each other
//!   thread.
//! - At rest the snapshot, `len()` and the statistics agree.

use super::explain::Violation;
use super::history::{Answer, Call, Departure, Event, History, Object};
use sessile::{Rejection, RemovalCause};
use std::collections::HashSet;

/// Checks every rule.
pub(super) fn check(history: &History, margin: u64) -> Result<(), Violation> {
    let rules = Rules { history, margin };
    for (thread, event) in history.events() {
        rules.event(thread, event).map_err(|violation| violation.with(event))?;
    }
    for (departure, event) in history.departures() {
        rules.departure(departure, event).map_err(|violation| violation.with(event))?;
    }
    rules.rest()
}

struct Rules<'h> {
    history: &'h History,
    margin: u64,
}

impl Rules<'_> {
    fn event(&self, thread: usize, event: &Event) -> Result<(), Violation> {
        match &event.call {
            Call::Add { object, answer: Answer::Rejected(rejection) } => {
                self.rejection(event, *object, *rejection)
            }
            Call::Add { object, answer: Answer::Inserted | Answer::Replaced(_) } => {
                self.is_usable(thread, event, *object)
            }
            Call::Lookup { key, found: Some(object) } | Call::Take { key, taken: Some(object) } => {
                require(object.key == *key, "a lookup returned another key's session")?;
                self.is_usable(thread, event, *object)
            }
            Call::Snapshot { keys, shown } => {
                let once: HashSet<_> = shown.iter().collect();
                require(once.len() == shown.len(), "a snapshot shows a session twice")?;
                let is_covered = |object: &Object| keys & (1 << object.key) != 0;
                require(shown.iter().all(is_covered), "a snapshot shows another context's session")
            }
            Call::Observe { len, capacity } => self.size(event, *len, *capacity),
            _ => Ok(()),
        }
    }

    /// The session may be stored or found by this call.
    fn is_usable(&self, thread: usize, event: &Event, object: Object) -> Result<(), Violation> {
        require(object.expires >= event.clock[0], "an expired session was stored or found")?;
        let is_marked = self.history.events().any(|(other, earlier)| {
            matches!(earlier.call, Call::Remove { object: marked, .. } if marked == object)
                && self.ended_before(earlier, event, other == thread)
        });
        require(!is_marked, "a session was stored or found after `remove` had forbidden it")
    }

    fn ended_before(&self, earlier: &Event, later: &Event, is_same_thread: bool) -> bool {
        let margin = if is_same_thread { 0 } else { self.margin };
        earlier.returned.saturating_add(margin) <= later.invoked && earlier.invoked < later.invoked
    }

    fn rejection(
        &self,
        event: &Event,
        object: Object,
        rejection: Rejection,
    ) -> Result<(), Violation> {
        let can_be = match rejection {
            Rejection::Expired => object.expires < event.clock[1],
            Rejection::NotResumable => self.was_marked(object, event.returned),
            Rejection::Contention => !self.history.is_roomy,
            _ => false,
        };
        require(can_be, "`add` refused for a reason that cannot hold")
    }

    fn was_marked(&self, object: Object, until: u64) -> bool {
        let before = self.history.before.stored.iter();
        before.clone().any(|stored| stored.object == object && !stored.is_resumable)
            || self.history.events().any(|(_, event)| {
                matches!(event.call, Call::Remove { object: marked, .. } if marked == object)
                    && event.invoked <= until
            })
    }

    fn departure(&self, departure: &Departure, event: &Event) -> Result<(), Violation> {
        let object = departure.object;
        let can_be = match (departure.cause, &event.call) {
            (RemovalCause::Evicted, Call::Add { .. } | Call::Fill | Call::Resize { .. }) => {
                !self.history.is_roomy
            }
            (
                RemovalCause::Expired,
                Call::Add { .. }
                | Call::Fill
                | Call::Lookup { .. }
                | Call::Take { taken: None, .. },
            ) => object.expires < event.clock[1],
            (RemovalCause::Flushed, Call::Flush { keys, now }) => {
                keys & (1 << object.key) != 0 && now.is_none_or(|now| object.expires < now)
            }
            (RemovalCause::Replaced, Call::Add { answer: Answer::Replaced(old), .. }) => {
                *old == object
            }
            (RemovalCause::Taken, Call::Take { taken, .. }) => *taken == Some(object),
            (RemovalCause::Removed, Call::Remove { object: removed, done }) => {
                *done && *removed == object
            }
            (RemovalCause::Removed, Call::RemoveId { key, done }) => *done && *key == object.key,
            (
                RemovalCause::Removed,
                Call::Lookup { key, found: None } | Call::Take { key, taken: None },
            ) => *key == object.key && self.was_marked(object, departure.at),
            _ => false,
        };
        require(can_be, "a session left for a reason that cannot hold")
    }

    fn size(&self, event: &Event, len: usize, capacity: usize) -> Result<(), Violation> {
        let is_fixed =
            !self.history.events().any(|(_, event)| matches!(event.call, Call::Resize { .. }));
        if is_fixed {
            let is_right = capacity == self.history.before.capacity && len <= capacity;
            return require(
                is_right,
                "`len()` is above `capacity()`, or `capacity()` changed by itself",
            );
        }
        let others = self.history.threads - 1;
        require(
            len <= self.limit(event).saturating_add(others),
            "`len()` is above every capacity in force",
        )
    }

    /// The largest capacity that may have been in force during a call: each is from its beginning
    /// until another, begun after it was set, is set.
    fn limit(&self, at: &Event) -> usize {
        let resizes = || {
            self.history.events().filter_map(|(_, event)| match event.call {
                Call::Resize { sessions } => Some((event, sessions)),
                _ => None,
            })
        };
        let end = |set: u64| {
            let later = resizes().filter(|(event, _)| event.invoked > set);
            later.map(|(event, _)| event.returned).min().unwrap_or(u64::MAX)
        };
        let in_force = resizes().filter(|(event, _)| {
            event.invoked <= at.returned.saturating_add(self.margin)
                && end(event.returned).saturating_add(self.margin) >= at.invoked
        });
        let first = (end(0).saturating_add(self.margin) >= at.invoked)
            .then_some(self.history.before.capacity);
        in_force.map(|(_, sessions)| sessions).chain(first).max().unwrap_or(usize::MAX)
    }

    fn rest(&self) -> Result<(), Violation> {
        let rest = &self.history.after;
        let keys: HashSet<_> = rest.stored.iter().map(|stored| stored.object.key).collect();
        require(keys.len() == rest.stored.len(), "one key is stored twice")?;
        require(
            rest.stored.len() + rest.fillers == rest.len,
            "`len()` is not what the snapshot shows",
        )?;
        require(rest.len <= rest.capacity, "`len()` is above `capacity()` at rest")?;
        require(rest.is_balanced, "the statistics do not add up at rest")
    }
}

fn require(holds: bool, rule: &str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::rule(rule)) }
}
