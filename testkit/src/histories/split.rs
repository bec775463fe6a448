//! From a history to the steps of each key.
//!
//! A call has its effect within its interval. A departure that the call itself answers for (`take`
//! and its `Taken`) is that effect, and the hook's stamp ends the interval. Every other departure
//! (an eviction, an expiry, a flush) is a step of its own: a change from that very object to
//! nothing, between the beginning of the call that caused it and the hook. So a session that is
//! missed must have been seen to leave.
//!
//! | call | step |
//! |---|---|
//! | `add`: inserted, replaced, identical | nothing → it; old → it; it is there |
//! | `get`, `read`, `take`: a session | it is there, or: it → nothing |
//! | `get`, `read`, `take`: none | nothing is there, or what may not be used any more: expired, or marked by `remove` |
//! | `remove`: done, not done | it → nothing; it is not there |
//! | `remove_id`: done, not done | what the hook saw → nothing; nothing is there |
//! | `clear` | at some moment nothing is there |
//! | `flush_expired(t)` | at some moment nothing is there, or what is valid at t |
//! | `snapshot` | each that is shown is there; if none is, nothing is there at some moment |
//! | rest after the history | exactly what is stored |

use super::explain::Violation;
use super::history::{Answer, Call, Departure, Event, History, Object};
use crate::linearizability::{Effect, STEPS_MAX, Step};
use sessile::RemovalCause;

/// One key's part of a history.
pub(super) struct KeyHistory {
    pub(super) key: u8,
    /// The objects, by the numbers that effects use.
    objects: Vec<Object>,
    /// For each of them, when `remove` first began to mark it.
    marked: Vec<u64>,
    pub(super) initial: Option<u8>,
    pub(super) steps: Vec<Step>,
}

/// Takes a history apart. Fails when a call and what the hook saw of it contradict each other.
pub(super) fn split(history: &History) -> Result<Vec<KeyHistory>, Violation> {
    let keys = 0..history.keys;
    let mut parts: Vec<_> = keys.map(|key| KeyHistory::new(key, history)).collect();
    for (thread, log) in history.logs.iter().enumerate() {
        let mut departures = log.departures.as_slice();
        for (place, event) in log.events.iter().enumerate() {
            let own = departures.iter().take_while(|departure| departure.event == place).count();
            let (told, rest) = departures.split_at(own);
            departures = rest;
            let answered = answered(event, told)?;
            for part in &mut parts {
                part.add_call(thread, place, event, answered.map(|nth| told[nth]));
                for (nth, departure) in told.iter().enumerate() {
                    if answered != Some(nth) && departure.object.key == part.key {
                        let from = Some(part.number(departure.object));
                        let change = Effect::Change { from, to: None };
                        part.push(thread, place, [event.invoked, departure.at], change);
                    }
                }
            }
        }
    }
    for part in &mut parts {
        part.add_rest(history);
        if part.steps.len() > STEPS_MAX || part.objects.len() > STEPS_MAX {
            return Err(Violation::rule("the history of one key is too long to check"));
        }
    }
    Ok(parts)
}

/// Which of the departures told during a call is the call's own effect.
fn answered(event: &Event, told: &[Departure]) -> Result<Option<usize>, Violation> {
    let (cause, object) = match event.call {
        Call::Add { answer: Answer::Replaced(old), .. } => (RemovalCause::Replaced, Some(old)),
        Call::Take { taken: Some(taken), .. } => (RemovalCause::Taken, Some(taken)),
        Call::Remove { object, done: true } => (RemovalCause::Removed, Some(object)),
        Call::RemoveId { done: true, .. } => (RemovalCause::Removed, None),
        _ => return Ok(None),
    };
    let key = |departure: &Departure| match event.call {
        Call::RemoveId { key, .. } => departure.object.key == key,
        _ => Some(departure.object) == object,
    };
    let own = told.iter().position(|departure| departure.cause == cause && key(departure));
    own.map(Some)
        .ok_or_else(|| Violation::rule("a call removed a session that the hook did not see leave"))
        .map_err(|violation| violation.with(event))
}

impl KeyHistory {
    fn new(key: u8, history: &History) -> Self {
        let mut part =
            Self { key, objects: Vec::new(), marked: Vec::new(), initial: None, steps: Vec::new() };
        for stored in history.before.stored.iter().filter(|stored| stored.object.key == key) {
            let number = part.number(stored.object);
            part.initial = Some(number);
            if !stored.is_resumable {
                part.marked[usize::from(number)] = 0;
            }
        }
        for (_, event) in history.events() {
            match event.call {
                Call::Add { object, .. } if object.key == key => {
                    part.number(object);
                }
                Call::Remove { object, .. } if object.key == key => {
                    let number = usize::from(part.number(object));
                    part.marked[number] = part.marked[number].min(event.invoked);
                }
                _ => {}
            }
        }
        part
    }

    /// The number of an object, a new one at its first mention.
    fn number(&mut self, object: Object) -> u8 {
        let known = self.objects.iter().position(|known| *known == object);
        known.unwrap_or_else(|| {
            self.objects.push(object);
            self.marked.push(u64::MAX);
            self.objects.len() - 1
        }) as u8
    }

    /// How an object is called in a report.
    pub(super) fn name(&self, number: u8) -> String {
        self.objects.get(usize::from(number)).map_or_else(|| "?".to_owned(), Object::to_string)
    }

    pub(super) fn objects(&self) -> usize {
        self.objects.len()
    }

    fn push(&mut self, thread: usize, place: usize, [invoked, returned]: [u64; 2], effect: Effect) {
        self.steps.push(Step { invoked, returned, thread, place, effect });
    }

    fn add_call(&mut self, thread: usize, place: usize, event: &Event, own: Option<Departure>) {
        let covers = |keys: u8| keys & (1 << self.key) != 0;
        let is_own = match event.call {
            Call::Add { object, .. } | Call::Remove { object, .. } => object.key == self.key,
            Call::Lookup { key, .. } | Call::Take { key, .. } | Call::RemoveId { key, .. } => {
                key == self.key
            }
            Call::Flush { keys, .. } | Call::Snapshot { keys, .. } => covers(keys),
            Call::Resize { .. } | Call::Observe { .. } | Call::Fill => false,
        };
        if !is_own {
            return;
        }
        // The hook ran after the effect and before the return.
        let interval = [event.invoked, own.map_or(event.returned, |departure| departure.at)];
        if let Call::Snapshot { shown, .. } = &event.call {
            return self.add_snapshot(thread, place, interval, shown);
        }
        if let Some(effect) = self.effect(event, own.map(|departure| departure.object)) {
            self.push(thread, place, interval, effect);
        }
    }

    fn effect(&mut self, event: &Event, removed: Option<Object>) -> Option<Effect> {
        Some(match event.call {
            Call::Add { object, answer } => match answer {
                Answer::Inserted => Effect::Change { from: None, to: Some(self.number(object)) },
                Answer::Replaced(old) => {
                    Effect::Change { from: Some(self.number(old)), to: Some(self.number(object)) }
                }
                Answer::Identical => self.is_there(object),
                Answer::Rejected(_) => return None,
            },
            Call::Lookup { found: Some(found), .. } => self.is_there(found),
            Call::Lookup { found: None, .. } | Call::Take { taken: None, .. } => {
                // Expired before the lookup ended, or being marked.
                self.is_absent_or(|object, marked| {
                    object.expires < event.clock[1] || marked <= event.returned
                })
            }
            Call::Take { taken: Some(object), .. } | Call::Remove { object, done: true } => {
                self.leaves(object)
            }
            Call::RemoveId { done: true, .. } => self.leaves(removed?),
            Call::Remove { object, done: false } => {
                let not = self.number(object);
                Effect::Observe { absent: true, objects: !(1 << not) }
            }
            Call::RemoveId { done: false, .. } => Effect::Observe { absent: true, objects: 0 },
            Call::Flush { now, .. } => {
                self.is_absent_or(|object, _| now.is_some_and(|now| object.expires >= now))
            }
            Call::Snapshot { .. } | Call::Resize { .. } | Call::Observe { .. } | Call::Fill => {
                return None;
            }
        })
    }

    fn is_there(&mut self, object: Object) -> Effect {
        Effect::Observe { absent: false, objects: 1 << self.number(object) }
    }

    fn leaves(&mut self, object: Object) -> Effect {
        Effect::Change { from: Some(self.number(object)), to: None }
    }

    /// Nothing is stored, or an object that is `allowed`, which is also told when it was first
    /// marked.
    fn is_absent_or(&self, allowed: impl Fn(Object, u64) -> bool) -> Effect {
        let objects = self.objects.iter().zip(&self.marked).enumerate();
        let allowed = objects.filter(|(_, (object, marked))| allowed(**object, **marked));
        Effect::Observe { absent: true, objects: allowed.map(|(nth, _)| 1 << nth).sum() }
    }

    fn add_snapshot(&mut self, thread: usize, place: usize, interval: [u64; 2], shown: &[Object]) {
        let own: Vec<_> = shown.iter().filter(|object| object.key == self.key).collect();
        for object in &own {
            let effect = self.is_there(**object);
            self.push(thread, place, interval, effect);
        }
        if own.is_empty() {
            self.push(thread, place, interval, Effect::Observe { absent: true, objects: 0 });
        }
    }

    /// After everything else the state is what was found at rest.
    fn add_rest(&mut self, history: &History) {
        let stored = history.after.stored.iter().find(|stored| stored.object.key == self.key);
        let effect = match stored {
            Some(stored) => self.is_there(stored.object),
            None => Effect::Observe { absent: true, objects: 0 },
        };
        // A thread of its own, which begins when all others have ended whatever the margin.
        self.push(usize::MAX, 0, [REST; 2], effect);
    }
}

/// Later than every stamp.
const REST: u64 = u64::MAX - 1;
