//! Removals from a cache that is half full. What was removed before is freed inside.

use crate::stock::{Payload, Stock, Time, random};
use crate::{Operation, SMALL};
use sessile::{Session, SessionId};
use std::hint::black_box;

/// By id, with a handle for the caller, which is given up.
pub(super) struct Take {
    stock: Stock,
    random: fastrand::Rng,
}

impl Operation for Take {
    const NAME: &'static str = "take";
    const SIZES: &'static [usize] = &[SMALL];
    type Input = SessionId;

    fn new(sessions: usize, time: Time) -> Self {
        Self { stock: Stock::empty(sessions, time), random: random() }
    }

    fn prepare(&mut self, n: usize) -> Vec<SessionId> {
        self.stock.add_fresh(n, &mut self.random)
    }

    #[inline]
    fn run(&self, id: SessionId) -> bool {
        self.stock.cache.take(&id).map(black_box).is_some()
    }
}

/// By identity. The caller's handle is given up, too.
pub(super) struct Remove {
    stock: Stock,
    random: fastrand::Rng,
}

impl Operation for Remove {
    const NAME: &'static str = "remove";
    const SIZES: &'static [usize] = &[SMALL];
    type Input = Session<Payload>;

    fn new(sessions: usize, time: Time) -> Self {
        Self { stock: Stock::empty(sessions, time), random: random() }
    }

    fn prepare(&mut self, n: usize) -> Vec<Session<Payload>> {
        let ids = self.stock.add_fresh(n, &mut self.random);
        ids.iter().filter_map(|id| self.stock.cache.get(id)).collect()
    }

    #[inline]
    fn run(&self, session: Session<Payload>) -> bool {
        self.stock.cache.remove(&session)
    }
}
