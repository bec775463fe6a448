//! Does a sequence of single operations explain what the threads saw?
//!
//! A key of the cache is a register that holds one object or none. A history is accepted if, for each key, the events of
//! all threads can be put into one order that keeps every thread's own order, obeys the register, and ends with what is
//! left in the table. One order *per key* is what a linearizable map gives to threads that have no other way to talk.

/// What an operation reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was absent and holds the object now.
    Inserted(u64),
    /// The object took the place of the second one.
    Replaced(u64, u64),
    /// The same object was there already.
    Identical(u64),
    /// An insertion pushed this object out.
    Evicted(u64),
    /// A take returned this object, or nothing.
    Taken(Option<u64>),
    /// A lookup returned this object, or nothing.
    Got(Option<u64>),
}

impl Event {
    /// What the key holds after the event, if the event can happen while the key holds `now`.
    fn after(self, now: Option<u64>) -> Option<Option<u64>> {
        let (needs, leaves) = match self {
            Self::Inserted(object) => (None, Some(object)),
            Self::Replaced(object, old) => (Some(old), Some(object)),
            Self::Identical(object) => (Some(object), Some(object)),
            Self::Evicted(object) => (Some(object), None),
            Self::Taken(object) => (object, None),
            Self::Got(object) => (object, object),
        };
        (now == needs).then_some(leaves)
    }
}

/// Whether some order of the events of one key leads from `first` to `last`. One inner list for each thread.
pub fn explains(threads: &[Vec<Event>], first: Option<u64>, last: Option<u64>) -> bool {
    let mut rest: Vec<&[Event]> = threads.iter().map(Vec::as_slice).collect();
    extends(&mut rest, first, last)
}

fn extends(rest: &mut [&[Event]], now: Option<u64>, last: Option<u64>) -> bool {
    if rest.iter().all(|events| events.is_empty()) {
        return now == last;
    }
    (0..rest.len()).any(|thread| {
        let Some((event, later)) = rest[thread].split_first() else { return false };
        let Some(next) = event.after(now) else { return false };
        let saved = std::mem::replace(&mut rest[thread], later);
        let explained = extends(rest, next, last);
        rest[thread] = saved;
        explained
    })
}

#[cfg(test)]
mod tests {
    use super::{Event::*, explains};

    #[test]
    fn accepts_what_one_order_explains() {
        assert!(explains(&[vec![Inserted(1)], vec![Replaced(2, 1), Taken(Some(2))]], None, None));
        assert!(explains(&[vec![Got(Some(1)), Got(None)], vec![Taken(Some(1))]], Some(1), None));
    }

    #[test]
    fn rejects_a_cycle_a_resurrection_and_a_loss() {
        assert!(!explains(&[vec![Replaced(1, 2)], vec![Replaced(2, 1)]], None, Some(1)));
        assert!(!explains(&[vec![Inserted(1)], vec![Taken(Some(1)), Taken(Some(1))]], None, None));
        assert!(!explains(&[vec![Inserted(1)], vec![Got(None)]], None, None));
    }
}
