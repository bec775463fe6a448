//! Lookups of sessions that are stored, and of ids that are not.

use crate::stock::{Payload, Rounds, Stock, Time, id};
use crate::{LARGE, Operation, SMALL};
use sessile::{SessionCache, SessionId};
use std::hint::black_box;

/// A full cache whose sessions have all been used in the present tick.
struct Used {
    stock: Stock,
    rounds: Rounds,
}

impl Used {
    fn new(sessions: usize, time: Time) -> Self {
        let stock = Stock::full(sessions, time);
        let mut rounds = Rounds::of(&stock.cache);
        let all = stock.cache.len();
        rounds.ids(all).iter().for_each(|id| drop(stock.cache.get(id)));
        Self { stock, rounds }
    }
}

fn get(cache: &SessionCache<Payload>, id: &SessionId) -> bool {
    cache.get(id).map(black_box).is_some()
}

/// A handle is made, and given up again.
pub(super) struct Get(Used);

impl Operation for Get {
    const NAME: &'static str = "get";
    const SIZES: &'static [usize] = &[SMALL, LARGE];
    type Input = SessionId;

    fn new(sessions: usize, time: Time) -> Self {
        Self(Used::new(sessions, time))
    }

    fn prepare(&mut self, n: usize) -> Vec<SessionId> {
        self.0.rounds.ids(n)
    }

    #[inline]
    fn run(&self, id: SessionId) -> bool {
        get(&self.0.stock.cache, &id)
    }
}

/// The first lookup of each session in its tick, which notes the use.
pub(super) struct GetFirst {
    used: Used,
    /// Adds between two ticks.
    adds_per_tick: usize,
}

impl Operation for GetFirst {
    const NAME: &'static str = "get, first use in a tick";
    const SIZES: &'static [usize] = &[SMALL];
    type Input = SessionId;

    fn new(sessions: usize, time: Time) -> Self {
        Self { used: Used::new(sessions, time), adds_per_tick: sessions / 32 }
    }

    fn prepare(&mut self, n: usize) -> Vec<SessionId> {
        // One session is replaced until the tick is another.
        let cache = &self.used.stock.cache;
        for successor in self.used.rounds.successors_of_next(self.adds_per_tick) {
            drop(cache.add(successor));
        }
        self.used.rounds.ids(n)
    }

    #[inline]
    fn run(&self, id: SessionId) -> bool {
        get(&self.used.stock.cache, &id)
    }
}

/// A session is read where it is.
pub(super) struct Read(Used);

impl Operation for Read {
    const NAME: &'static str = "read";
    const SIZES: &'static [usize] = &[SMALL, LARGE];
    type Input = SessionId;

    fn new(sessions: usize, time: Time) -> Self {
        Self(Used::new(sessions, time))
    }

    fn prepare(&mut self, n: usize) -> Vec<SessionId> {
        self.0.rounds.ids(n)
    }

    #[inline]
    fn run(&self, id: SessionId) -> bool {
        self.0.stock.cache.read(&id, |session| black_box(session[0])).is_some()
    }
}

/// An id that nobody stored.
pub(super) struct Miss {
    stock: Stock,
    next: u64,
}

impl Operation for Miss {
    const NAME: &'static str = "miss";
    const SIZES: &'static [usize] = &[SMALL, LARGE];
    type Input = SessionId;

    fn new(sessions: usize, time: Time) -> Self {
        Self { stock: Stock::full(sessions, time), next: 1 << 40 }
    }

    fn prepare(&mut self, n: usize) -> Vec<SessionId> {
        let numbers = self.next..self.next + n as u64;
        self.next = numbers.end;
        numbers.map(id).collect()
    }

    #[inline]
    fn run(&self, id: SessionId) -> bool {
        !get(&self.stock.cache, &id)
    }
}
