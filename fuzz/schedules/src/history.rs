//! Does one order of single operations explain what was seen of a key?
//!
//! A key is a register that holds one object or none. An event lies between the moments at which
//! its operation began and ended. A history is accepted if its events can be put into one order
//! that never turns two events around of which one ended before the other began, that obeys the
//! register, and that ends with what is left: linearizability, by the search of Wing and Gong with
//! the memory of Lowe.

use std::collections::HashSet;

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
    /// What happened, in any order; at most 64.
    pub events: Vec<Event>,
}

impl What {
    /// What the key holds after the event, if the event can happen while the key holds `now`.
    fn after(self, now: Option<u64>, unusable: Option<u64>) -> Option<Option<u64>> {
        match self {
            Self::Inserted(object) => now.is_none().then_some(Some(object)),
            Self::Replaced(object, old) => (now == Some(old)).then_some(Some(object)),
            Self::Identical(object) | Self::Got(object) => (now == Some(object)).then_some(now),
            Self::Taken(object) | Self::Left(object) => (now == Some(object)).then_some(None),
            Self::Missed => (now.is_none() || now == unusable).then_some(now),
            Self::Lacked(object) => (now != Some(object)).then_some(now),
        }
    }
}

impl History {
    /// Whether one order explains everything.
    ///
    /// # Panics
    /// With more than 64 events.
    pub fn is_explained(&self) -> bool {
        assert!(self.events.len() <= 64, "a history of {} events", self.events.len());
        let all = if self.events.len() == 64 { u64::MAX } else { (1 << self.events.len()) - 1 };
        self.extends(all, self.first, &mut HashSet::new())
    }

    /// Whether the events in `rest` can follow a moment at which the key holds `now`.
    fn extends(
        &self,
        rest: u64,
        now: Option<u64>,
        known: &mut HashSet<(u64, Option<u64>)>,
    ) -> bool {
        if rest == 0 {
            return now == self.last;
        }
        if !known.insert((rest, now)) {
            return false;
        }
        let of_rest = |index: &usize| rest >> index & 1 != 0;
        let soonest_end =
            (0..self.events.len()).filter(of_rest).map(|index| self.events[index].end).min();
        (0..self.events.len()).filter(of_rest).any(|index| {
            let event = self.events[index];
            let may_be_next = soonest_end.is_none_or(|end| event.start <= end);
            let next = event.what.after(now, self.unusable).filter(|_| may_be_next);
            next.is_some_and(|next| self.extends(rest & !(1 << index), next, known))
        })
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
