//! What a TLS 1.3 handshake does that resumes by a single-use ticket and hands out two new ones.

use crate::stock::{Payload, Stock, Time, id, random};
use crate::{LARGE, Operation, SMALL};
use sessile::{Added, Session, SessionId};
use std::collections::VecDeque;

/// Two adds and one take in a full cache. One ticket of each pair is taken, about half a capacity
/// after it was added, and in another order; the other one is never used.
pub(super) struct Mix {
    stock: Stock,
    /// The tickets that will be taken, in the order of their adds.
    waiting: VecDeque<SessionId>,
    /// How many wait before the first is taken.
    delay: usize,
    random: fastrand::Rng,
}

/// A handshake's two new tickets and the old one.
pub(super) struct Handshake {
    new: [Session<Payload>; 2],
    old: SessionId,
}

impl Mix {
    /// A pair of new tickets, of which the first will be taken.
    fn pair(&mut self) -> [Session<Payload>; 2] {
        let pair = [(); 2].map(|()| self.stock.fresh(1).swap_remove(0));
        self.waiting.push_back(pair[0].id());
        pair
    }

    /// One of the tickets that have waited longest.
    fn due(&mut self) -> SessionId {
        let among = (self.waiting.len() - self.delay).max(1);
        let place = self.random.usize(..among);
        self.waiting.swap(0, place);
        self.waiting.pop_front().unwrap_or(id(u64::MAX))
    }
}

impl Operation for Mix {
    const NAME: &'static str = "TLS 1.3: 2 adds, 1 take";
    const SIZES: &'static [usize] = &[SMALL, LARGE];
    const COUNTED_SIZES: &'static [usize] = Self::SIZES;
    type Input = Handshake;

    fn new(sessions: usize, time: Time) -> Self {
        let stock = Stock::empty(sessions, time);
        let mut mix =
            Self { stock, waiting: VecDeque::new(), delay: sessions / 4, random: random() };
        // Until the tickets of the beginning are gone.
        for _ in 0..sessions + sessions / 4 {
            for ticket in mix.pair() {
                drop(mix.stock.cache.add(ticket));
            }
            if mix.waiting.len() > mix.delay + MARGIN {
                let due = mix.due();
                drop(mix.stock.cache.take(&due));
            }
        }
        mix
    }

    fn prepare(&mut self, n: usize) -> Vec<Handshake> {
        (0..n).map(|_| Handshake { new: self.pair(), old: self.due() }).collect()
    }

    #[inline]
    fn run(&self, handshake: Handshake) -> bool {
        let added = handshake.new.map(|ticket| self.stock.cache.add(ticket));
        // An old ticket may have been evicted.
        drop(self.stock.cache.take(&handshake.old));
        added.iter().all(|added| matches!(added, Ok(Added::Inserted)))
    }
}

/// Tickets among which the next one is drawn.
const MARGIN: usize = 1024;
