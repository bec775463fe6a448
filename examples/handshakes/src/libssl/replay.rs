//! The time of the store's own work, for a cache that cannot be timed where it works.
//!
//! libssl's cache is called from within libssl. So the run is played once more, the same visits,
//! with the calls to the cache alone: both caches by the same loop, each behind the calls that
//! libssl makes, by as many threads as the server has. Sessions are made, and let go by their
//! connections, outside of the measured time.
//!
//! There being no handshakes in between, calls meet far more often than in the run. How little they
//! cost where they never meet, one thread tells that plays alone.

use std::num::NonZero;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::LibsslStore;
use super::calls::{Caller, Id};
use crate::backend::{Identity, Kind, SITE};
use crate::crew::{Schedule, Visitor, clients_of};
use crate::driver::{Load, WORKERS};
use crate::figures::{LONGEST_NANOSECONDS, Timing};
use crate::server::Tls;

/// Tickets that a client keeps, as in the run.
const TICKETS_PER_CLIENT: usize = 8;

/// A short run is played on until each worker has made so many handshakes: what one wait for the
/// processor adds to a thousand of them is more than the calls.
const LEAST_HANDSHAKES: u64 = if cfg!(debug_assertions) { 1_000 } else { 20_000 };

/// Plays a run of `handshakes` by each worker to a new store, twice: by all threads, and by one.
pub(super) fn replay(kind: Kind, load: &Load, tls: Tls, handshakes: u64) -> Result<Timing> {
    let each = handshakes.max(LEAST_HANDSHAKES);
    let handshakes = each * WORKERS as u64;
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS);
    let alone = play(kind, load, tls, each, 1)?;
    let together = play(kind, load, tls, each, threads)?;
    let alone = Timing::of(&alone.handshakes, alone.total, handshakes).per_handshake;
    Ok(Timing {
        alone: Some(alone),
        ..Timing::of(&together.handshakes, together.total, handshakes)
    })
}

fn play(kind: Kind, load: &Load, tls: Tls, each: u64, threads: usize) -> Result<Meter> {
    let store = LibsslStore::new(kind, load.capacity, load.is_full)?;
    let context = store.context(&Identity::new()?, &[tls], SITE)?;
    let mut groups: Vec<Vec<Player>> = (0..threads).map(|_| Vec::new()).collect();
    for worker in 0..WORKERS {
        groups[worker % threads].push(Player::new(load, worker, tls, Caller::new(&context)?)?);
    }
    let barrier = Barrier::new(threads);
    let measured: Vec<Result<Meter>> = thread::scope(|scope| {
        let play = |mut players: Vec<Player>| {
            let barrier = &barrier;
            scope.spawn(move || {
                let mut meter = Meter::new()?;
                barrier.wait();
                for _ in 0..each {
                    players.iter_mut().try_for_each(|player| player.visit(&mut meter))?;
                }
                Ok(meter)
            })
        };
        let threads: Vec<_> = groups.into_iter().map(play).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the replay panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    let mut all = Meter::new()?;
    for meter in measured {
        let meter = meter?;
        all.handshakes.add(&meter.handshakes).context("histograms of one kind add up")?;
        all.total += meter.total;
    }
    Ok(all)
}

/// The calls of one thread, added up by handshake.
struct Meter {
    handshakes: Histogram<u64>,
    total: u64,
    of_this: u64,
}

impl Meter {
    fn new() -> Result<Self> {
        let handshakes =
            Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3).context("histogram")?;
        Ok(Self { handshakes, total: 0, of_this: 0 })
    }

    fn time<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let answer = call();
        let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.of_this += spent;
        self.total += spent;
        answer
    }

    fn end_of_handshake(&mut self) {
        self.handshakes.saturating_record(std::mem::take(&mut self.of_this));
    }
}

/// One worker of the run with its clients, and what each of them holds.
struct Player {
    caller: Caller,
    schedule: Schedule,
    random: StdRng,
    tls: Tls,
    clients: Vec<Vec<Id>>,
}

impl Player {
    fn new(load: &Load, index: usize, tls: Tls, caller: Caller) -> Result<Self> {
        Ok(Self {
            caller,
            schedule: Schedule::of_worker(load, index)?,
            random: StdRng::seed_from_u64(load.seed ^ index as u64),
            tls,
            clients: vec![Vec::new(); clients_of(load, index)],
        })
    }

    fn visit(&mut self, meter: &mut Meter) -> Result<()> {
        let Visitor::Regular(client) = self.schedule.next_visitor() else {
            self.shake(None, meter)?;
            return Ok(());
        };
        let mut held = std::mem::take(&mut self.clients[client]);
        let offered = match self.tls {
            Tls::V1_2 => held.last().copied(),
            Tls::V1_3 => held.pop(),
        };
        held.extend(self.shake(offered, meter)?);
        let surplus = held.len().saturating_sub(TICKETS_PER_CLIENT);
        held.drain(..surplus);
        self.clients[client] = held;
        Ok(())
    }

    /// The calls of one handshake; the ids that the client is given by it.
    fn shake(&mut self, offered: Option<Id>, meter: &mut Meter) -> Result<Vec<Id>> {
        let found = offered.and_then(|id| meter.time(|| self.caller.find(&id)));
        let tickets = match (self.tls, found.is_some()) {
            (Tls::V1_2, true) => 0,
            (Tls::V1_2, false) | (Tls::V1_3, true) => 1,
            (Tls::V1_3, false) => 2,
        };
        let mut given = Vec::with_capacity(tickets);
        for _ in 0..tickets {
            let id: Id = self.random.random();
            let session = self.caller.make(&id)?;
            meter.time(|| self.caller.store(&session));
            given.push(id);
        }
        meter.end_of_handshake();
        Ok(given)
    }
}
