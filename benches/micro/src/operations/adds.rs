//! The four ends of an add. What is added is made before and not counted; what leaves is freed
//! inside.

use crate::stock::{Payload, Rounds, Stock, Time};
use crate::{LARGE, Operation, SMALL};
use sessile::{Added, Session};
use std::hint::black_box;

/// The very object that is stored.
pub(super) struct Identical {
    stock: Stock,
    rounds: Rounds,
}

impl Operation for Identical {
    const NAME: &'static str = "add, identical";
    const SIZES: &'static [usize] = &[SMALL];
    type Input = Session<Payload>;

    fn new(sessions: usize, time: Time) -> Self {
        let stock = Stock::full(sessions, time);
        let rounds = Rounds::of(&stock.cache);
        Self { stock, rounds }
    }

    fn prepare(&mut self, n: usize) -> Vec<Session<Payload>> {
        self.rounds.sessions(n)
    }

    #[inline]
    fn run(&self, session: Session<Payload>) -> bool {
        matches!(self.stock.cache.add(session), Ok(Added::Identical))
    }
}

/// Another object with an id that is stored.
pub(super) struct Replacing {
    stock: Stock,
    rounds: Rounds,
}

impl Operation for Replacing {
    const NAME: &'static str = "add, replacing";
    const SIZES: &'static [usize] = &[SMALL];
    type Input = Session<Payload>;

    fn new(sessions: usize, time: Time) -> Self {
        let stock = Stock::full(sessions, time);
        let rounds = Rounds::of(&stock.cache);
        Self { stock, rounds }
    }

    fn prepare(&mut self, n: usize) -> Vec<Session<Payload>> {
        self.rounds.successors(n)
    }

    #[inline]
    fn run(&self, session: Session<Payload>) -> bool {
        matches!(black_box(self.stock.cache.add(session)), Ok(Added::Replaced(_)))
    }
}

/// A new session while there is room: the cache is filled to a half, emptied, and filled again.
pub(super) struct Below {
    stock: Stock,
    half: usize,
}

impl Operation for Below {
    const NAME: &'static str = "add, below capacity";
    const SIZES: &'static [usize] = &[SMALL];
    type Input = Session<Payload>;

    fn new(sessions: usize, time: Time) -> Self {
        Self { stock: Stock::empty(sessions, time), half: sessions / 2 }
    }

    fn prepare(&mut self, n: usize) -> Vec<Session<Payload>> {
        if self.stock.cache.len() + n > self.half {
            self.stock.cache.clear();
        }
        self.stock.fresh(n)
    }

    #[inline]
    fn run(&self, session: Session<Payload>) -> bool {
        matches!(self.stock.cache.add(session), Ok(Added::Inserted))
    }
}

/// A new session in a full cache, which evicts another for it.
pub(super) struct AtCapacity(Stock);

impl Operation for AtCapacity {
    const NAME: &'static str = "add, at capacity";
    const SIZES: &'static [usize] = &[SMALL, LARGE];
    const COUNTED_SIZES: &'static [usize] = Self::SIZES;
    type Input = Session<Payload>;

    fn new(sessions: usize, time: Time) -> Self {
        Self(Stock::full(sessions, time))
    }

    fn prepare(&mut self, n: usize) -> Vec<Session<Payload>> {
        self.0.fresh(n)
    }

    #[inline]
    fn run(&self, session: Session<Payload>) -> bool {
        matches!(self.0.cache.add(session), Ok(Added::Inserted))
    }
}
