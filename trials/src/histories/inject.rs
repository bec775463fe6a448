//! The checker checked: a history that was accepted is corrupted so that nothing can justify it,
//! and must then be refused.
//!
//! Each corruption is wrong by construction, whatever the threads did. Most rest on objects with
//! one stay: one that was stored once and seen to leave once is nowhere afterwards, one that was
//! stored once and never left is there from then on. It must also be refused by the part of the
//! checker that it is meant for, the search or the rules.

use super::plan::START;
use super::script::LONG;
use sessile::{Rejection, RemovalCause};
use testkit::histories::{Answer, Call, Departure, Event, History, Log, Object, verify};

/// One way to corrupt a history. `corrupt` gives nothing when this history offers no occasion.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// To be found by the search for an order; by a rule otherwise.
    is_of_order: bool,
    corrupt: fn(&mut Subject) -> Option<()>,
}

const fn order(name: &'static str, corrupt: fn(&mut Subject) -> Option<()>) -> Kind {
    Kind { name, is_of_order: true, corrupt }
}

const fn rule(name: &'static str, corrupt: fn(&mut Subject) -> Option<()>) -> Kind {
    Kind { name, is_of_order: false, corrupt }
}

pub(super) const KINDS: [Kind; 22] = [
    order("hit after the removal", |subject| {
        subject.after_departure(|object| Call::Lookup { key: object.key, found: Some(object) })
    }),
    order("identical after the removal", |subject| {
        subject.after_departure(|object| Call::Add { object, answer: Answer::Identical })
    }),
    order("shown after the removal", |subject| {
        subject
            .after_departure(|object| Call::Snapshot { keys: 1 << object.key, shown: vec![object] })
    }),
    order("miss of what is stored", |subject| {
        subject.while_stored(|object| Call::Lookup { key: object.key, found: None })
    }),
    order("take of nothing where something is stored", |subject| {
        subject.while_stored(|object| Call::Take { key: object.key, taken: None })
    }),
    order("remove_id of nothing where something is stored", |subject| {
        subject.while_stored(|object| Call::RemoveId { key: object.key, done: false })
    }),
    order("left behind by clear", |subject| {
        subject.while_stored(|object| Call::Flush { keys: 1 << object.key, now: None })
    }),
    order("left behind by flush_expired", |subject| {
        subject.while_stored(|object| Call::Flush {
            keys: 1 << object.key,
            now: Some(object.expires + 1),
        })
    }),
    order("missing in a snapshot", |subject| {
        subject.while_stored(|object| Call::Snapshot { keys: 1 << object.key, shown: vec![] })
    }),
    order("remove of nothing where it is stored", Subject::failed_remove),
    order("hit before the add", Subject::early_hit),
    order("two takes of one stay", Subject::second_take),
    order("replaced what was not there", Subject::wrong_old),
    order("left unseen", Subject::unseen_departure),
    rule("take that no hook saw", Subject::unseen_take),
    rule("hit after the expiry", |subject| {
        subject.observe_any(|object| {
            (Call::Lookup { key: object.key, found: Some(object) }, object.expires + 1)
        })
    }),
    rule("hit after remove had forbidden it", Subject::forbidden_hit),
    rule("hit of another key", |subject| {
        subject.observe_any(|object| (Call::Lookup { key: object.key ^ 1, found: Some(object) }, 0))
    }),
    rule("shown twice", |subject| {
        subject.observe_any(|object| {
            (Call::Snapshot { keys: 1 << object.key, shown: vec![object; 2] }, 0)
        })
    }),
    rule("refused without a reason", |subject| {
        let answer = Answer::Rejected(Rejection::Garbage);
        subject.observe_any(|object| (Call::Add { object, answer }, 0))
    }),
    rule("expired before its time, or evicted without need", Subject::wrong_cause),
    rule("more than the capacity", Subject::too_many),
];

/// Corrupts a copy of an accepted history. `None` when it offers no occasion; else whether the
/// corruption was found.
pub(super) fn try_one(
    history: &History,
    kind: &Kind,
    random: &mut fastrand::Rng,
    margin: u64,
) -> Option<bool> {
    let mut subject =
        Subject { history: history.clone(), lives: lives(history), random: random.fork(), margin };
    (kind.corrupt)(&mut subject)?;
    Some(
        verify(&subject.history, margin)
            .is_err_and(|violation| violation.is_of_order() == kind.is_of_order),
    )
}

/// When an object was stored and when it left.
struct Life {
    object: Object,
    /// The intervals of the calls that stored it.
    stored: Vec<[u64; 2]>,
    left: Vec<u64>,
    /// `remove` was called with it.
    is_marked: bool,
}

impl Life {
    /// Stored once, not forbidden, and left so often.
    fn is_single(&self, left: usize) -> bool {
        self.stored.len() == 1 && self.left.len() == left && !self.is_marked
    }
}

fn lives(history: &History) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let before = history.before.stored.iter();
    lives.extend(before.map(|stored| Life {
        object: stored.object,
        stored: vec![[0, 0]],
        left: Vec::new(),
        is_marked: !stored.is_resumable,
    }));
    let mut with = |object: Object, change: &dyn Fn(&mut Life)| {
        let known = lives.iter().position(|life| life.object == object);
        let nth = known.unwrap_or_else(|| {
            lives.push(Life { object, stored: Vec::new(), left: Vec::new(), is_marked: false });
            lives.len() - 1
        });
        change(&mut lives[nth]);
    };
    for (_, event) in history.events() {
        match event.call {
            Call::Add { object, answer: Answer::Inserted | Answer::Replaced(_) } => {
                with(object, &|life| life.stored.push([event.invoked, event.returned]));
            }
            Call::Remove { object, .. } => with(object, &|life| life.is_marked = true),
            _ => {}
        }
    }
    for (departure, _) in history.departures() {
        with(departure.object, &|life| life.left.push(departure.at));
    }
    lives
}

/// A history to corrupt.
struct Subject {
    history: History,
    lives: Vec<Life>,
    random: fastrand::Rng,
    margin: u64,
}

impl Subject {
    fn choose(&mut self, fits: impl Fn(&Life) -> bool) -> Option<usize> {
        let fitting: Vec<_> = (0..self.lives.len()).filter(|&nth| fits(&self.lives[nth])).collect();
        self.random.choice(fitting)
    }

    /// A call that nobody made, by a thread of its own. Its clock stands so that nothing is expired
    /// for it, unless it is later.
    fn add_call(&mut self, invoked: u64, call: Call, clock: u64) -> Option<()> {
        let event = Event { invoked, returned: invoked + 1, clock: [clock; 2], call };
        self.history.logs.push(Log { events: vec![event], departures: Vec::new() });
        Some(())
    }

    fn later(&mut self, than: u64) -> u64 {
        than + self.margin + 1 + self.random.u64(..2000)
    }

    fn after_departure(&mut self, call: impl Fn(Object) -> Call) -> Option<()> {
        let nth = self.choose(|life| life.is_single(1))?;
        let invoked = self.later(self.lives[nth].left[0]);
        self.add_call(invoked, call(self.lives[nth].object), 0)
    }

    fn while_stored(&mut self, call: impl Fn(Object) -> Call) -> Option<()> {
        let nth = self.choose(|life| life.is_single(0))?;
        let invoked = self.later(self.lives[nth].stored[0][1]);
        self.add_call(invoked, call(self.lives[nth].object), 0)
    }

    /// At the end, where the mark that `remove` leaves matters to nobody.
    fn failed_remove(&mut self) -> Option<()> {
        let nth = self.choose(|life| life.is_single(0))?;
        let invoked = self.later(self.history.end());
        self.add_call(invoked, Call::Remove { object: self.lives[nth].object, done: false }, 0)
    }

    fn early_hit(&mut self) -> Option<()> {
        let earliest = self.margin + 3;
        let nth = self.choose(|life| {
            life.stored.len() == 1 && life.stored[0][0] > earliest && !life.is_marked
        })?;
        let Life { object, ref stored, .. } = self.lives[nth];
        self.add_call(
            stored[0][0] - earliest,
            Call::Lookup { key: object.key, found: Some(object) },
            0,
        )
    }

    /// It lasts as long as the history: no time is right for it.
    fn second_take(&mut self) -> Option<()> {
        let nth = self.choose(|life| life.is_single(1))?;
        let object = self.lives[nth].object;
        let returned = self.history.end();
        let call = Call::Take { key: object.key, taken: Some(object) };
        let event = Event { invoked: 0, returned, clock: [0; 2], call };
        let departure = Departure { event: 0, object, cause: RemovalCause::Taken, at: returned };
        self.history.logs.push(Log { events: vec![event], departures: vec![departure] });
        Some(())
    }

    /// The old session becomes one that was never stored, for the caller and the hook alike.
    fn wrong_old(&mut self) -> Option<()> {
        for log in &mut self.history.logs {
            let departed = log.departures.iter_mut();
            let mut replaced =
                departed.filter(|departure| departure.cause == RemovalCause::Replaced);
            let Some(departure) = replaced.find(|departure| departure.object.key != Object::FILLER)
            else {
                continue;
            };
            departure.object.number = u32::MAX;
            if let Call::Add { answer: Answer::Replaced(old), .. } =
                &mut log.events[departure.event].call
            {
                *old = departure.object;
                return Some(());
            }
        }
        None
    }

    /// Nobody was told that a session left by itself, and at the end it is not there.
    fn unseen_departure(&mut self) -> Option<()> {
        let by_itself = |cause| {
            matches!(cause, RemovalCause::Evicted | RemovalCause::Expired | RemovalCause::Flushed)
        };
        let nth = self.choose(|life| life.stored.len() == 1 && life.left.len() == 1)?;
        let object = self.lives[nth].object;
        self.forget(|departure| departure.object == object && by_itself(departure.cause))
    }

    fn unseen_take(&mut self) -> Option<()> {
        self.forget(|departure| {
            departure.cause == RemovalCause::Taken && departure.object.key != Object::FILLER
        })
    }

    fn forget(&mut self, fits: impl Fn(&Departure) -> bool) -> Option<()> {
        for log in &mut self.history.logs {
            if let Some(nth) = log.departures.iter().position(&fits) {
                log.departures.remove(nth);
                return Some(());
            }
        }
        None
    }

    fn observe_any(&mut self, call: impl Fn(Object) -> (Call, u64)) -> Option<()> {
        let nth = self.choose(|_| true)?;
        let invoked = self.random.u64(..=self.history.end());
        let (call, clock) = call(self.lives[nth].object);
        self.add_call(invoked, call, clock)
    }

    fn forbidden_hit(&mut self) -> Option<()> {
        let removed = self.history.events().find_map(|(_, event)| match event.call {
            Call::Remove { object, .. } => Some((object, event.returned)),
            _ => None,
        });
        let (object, returned) = removed?;
        let invoked = self.later(returned);
        self.add_call(invoked, Call::Lookup { key: object.key, found: Some(object) }, 0)
    }

    /// Another cause for a departure: one that its long life, or the room in the cache, rules out.
    fn wrong_cause(&mut self) -> Option<()> {
        let is_roomy = self.history.is_roomy;
        let departures = self.history.logs.iter_mut().flat_map(|log| &mut log.departures);
        let mut long_lived = departures.filter(|departure| {
            departure.object.key != Object::FILLER && departure.object.expires > START + LONG / 2
        });
        let departure = long_lived.next()?;
        departure.cause = if is_roomy { RemovalCause::Evicted } else { RemovalCause::Expired };
        Some(())
    }

    /// What was counted, by a look that nobody took or at rest.
    fn too_many(&mut self) -> Option<()> {
        let capacity = self.history.before.capacity;
        let is_resized =
            self.history.events().any(|(_, event)| matches!(event.call, Call::Resize { .. }));
        if is_resized || capacity == usize::MAX {
            self.history.after.len += 1;
            return Some(());
        }
        self.add_call(0, Call::Observe { len: capacity + 1, capacity }, 0)
    }
}
