//! Does one order of single operations explain what was seen of a key?
//!
//! A key is a register that holds one object or none. An event lies between the moments at which
//! its operation began and ended. A history is accepted if its events can be put into one order
//! that never turns two events around of which one ended before the other began, that obeys the
//! register, and that ends with what is left: linearizability, by the search of Wing and Gong with
//! the memory of Lowe.

use testkit::linearizability::{Effect, PENDING, Step, is_linearizable};

/// What was seen of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The key was absent and holds the object now.
    Inserted(u64),
    /// The object took the place of the second one.
    Replaced(u64, u64),
    /// The object was there already.
    Identical(u64),
    /// A take returned the object.
    Taken(u64),
    /// The object was removed, evicted or flushed.
    Left(u64),
    /// A lookup or a list showed the object.
    Got(u64),
    /// Nothing usable was there.
    Missed,
    /// Something else than the object was there, or nothing.
    Lacked(u64),
}

/// Something seen between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When the operation began.
    pub start: u64,
    /// When it had ended.
    pub end: u64,
    /// What it saw or did.
    pub what: What,
}

/// The history of one key.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the key holds at first.
    pub first: Option<u64>,
    /// What it holds in the end.
    pub last: Option<u64>,
    /// An object that may be stored and not usable at the same time.
    pub unusable: Option<u64>,
    /// What happened, in any order; at most 127.
    pub events: Vec<Event>,
}

impl History {
    /// Whether one order explains everything.
    ///
    /// # Panics
    /// With more events than the search can hold.
    pub fn is_explained(&self) -> bool {
        let mut objects = Objects::default();
        let initial = self.first.map(|object| objects.number(object));
        let unusable = self.unusable.map_or(0, |object| objects.bit(object));
        let mut steps: Vec<_> =
            self.events.iter().map(|event| objects.step(*event, unusable)).collect();
        // Each event is a thread of its own: moments alone tell an order.
        steps.iter_mut().enumerate().for_each(|(nth, step)| step.thread = nth);
        let last = objects.observe(self.last.is_none(), self.last);
        let (at, thread) = (PENDING - 1, steps.len());
        steps.push(Step { invoked: at, returned: at, thread, place: 0, effect: last });
        is_linearizable(initial, &steps, 0)
    }
}

/// The objects of a history, numbered as they are met.
#[derive(Default)]
struct Objects(Vec<u64>);

impl Objects {
    fn number(&mut self, object: u64) -> u8 {
        let known = self.0.iter().position(|known| *known == object);
        known.unwrap_or_else(|| {
            self.0.push(object);
            self.0.len() - 1
        }) as u8
    }

    fn bit(&mut self, object: u64) -> u128 {
        1 << self.number(object)
    }

    fn observe(&mut self, absent: bool, object: Option<u64>) -> Effect {
        Effect::Observe { absent, objects: object.map_or(0, |object| self.bit(object)) }
    }

    fn step(&mut self, event: Event, unusable: u128) -> Step {
        let effect = match event.what {
            What::Inserted(object) => Effect::Change { from: None, to: Some(self.number(object)) },
            What::Replaced(object, old) => {
                Effect::Change { from: Some(self.number(old)), to: Some(self.number(object)) }
            }
            What::Identical(object) | What::Got(object) => self.observe(false, Some(object)),
            What::Taken(object) | What::Left(object) => {
                Effect::Change { from: Some(self.number(object)), to: None }
            }
            What::Missed => Effect::Observe { absent: true, objects: unusable },
            What::Lacked(object) => Effect::Observe { absent: true, objects: !self.bit(object) },
        };
        Step { invoked: event.start, returned: event.end, thread: 0, place: 0, effect }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, History, What, What::*};

    fn history(first: Option<u64>, events: &[(u64, u64, What)], last: Option<u64>) -> History {
        let events = events.iter().map(|&(start, end, what)| Event { start, end, what }).collect();
        History { first, last, unusable: None, events }
    }

    #[test]
    fn accepts_what_one_order_explains() {
        assert!(history(None, &[], None).is_explained());
        assert!(
            history(None, &[(0, 1, Inserted(1)), (2, 3, Replaced(2, 1)), (4, 5, Got(2))], Some(2))
                .is_explained()
        );
        let overlapping = [(0, 9, Inserted(1)), (1, 2, Missed), (3, 4, Got(1)), (5, 6, Taken(1))];
        assert!(history(None, &overlapping, None).is_explained());
        let turned = [(0, 9, Taken(7)), (1, 8, Replaced(7, 3))];
        assert!(history(Some(3), &turned, None).is_explained());
    }

    #[test]
    fn rejects_a_session_taken_twice_or_seen_after_it_left() {
        assert!(!history(Some(1), &[(0, 9, Taken(1)), (1, 8, Taken(1))], None).is_explained());
        assert!(!history(Some(1), &[(0, 1, Taken(1)), (2, 3, Got(1))], None).is_explained());
        assert!(
            !history(Some(1), &[(0, 9, Left(1)), (1, 8, Replaced(2, 1))], Some(2)).is_explained()
        );
    }

    #[test]
    fn rejects_a_second_insertion_and_a_loss() {
        assert!(
            !history(None, &[(0, 9, Inserted(1)), (1, 8, Inserted(2))], Some(2)).is_explained()
        );
        assert!(!history(None, &[(0, 1, Inserted(1))], None).is_explained());
        assert!(!history(Some(1), &[], None).is_explained());
    }

    #[test]
    fn rejects_a_miss_while_the_key_is_stored_throughout() {
        assert!(
            !history(Some(1), &[(0, 9, Replaced(2, 1)), (1, 8, Missed)], Some(2)).is_explained()
        );
        assert!(!history(Some(1), &[(0, 1, Lacked(1))], Some(1)).is_explained());
    }

    #[test]
    fn keeps_the_order_of_what_did_not_overlap() {
        let apart = [(0, 1, Got(2)), (2, 3, Replaced(2, 1))];
        assert!(!history(Some(1), &apart, Some(2)).is_explained());
        let overlapping = [(0, 3, Got(2)), (2, 4, Replaced(2, 1))];
        assert!(history(Some(1), &overlapping, Some(2)).is_explained());
    }

    #[test]
    fn lets_a_forbidden_session_be_missed_where_it_is_stored() {
        let mut missed = history(Some(1), &[(0, 1, Missed)], Some(1));
        assert!(!missed.is_explained());
        missed.unusable = Some(1);
        assert!(missed.is_explained());
    }
}
