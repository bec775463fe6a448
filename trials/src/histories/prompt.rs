//! Is what `remove` promises so when it returns?
//!
//! Who adds a session after its `remove` has returned is refused. No shared word orders the two
//! calls, so this is a promise about time: a mark that still waits in a processor's store buffer
//! breaks it, and no model knows of such buffers. Histories meet it once in a few hundred thousand;
//! here two threads do nothing else. One removes a session at some moment, the other goes on adding
//! it, and keeps its line busy, until it is refused.
//!
//! The same is done with a mark that is stored and not exchanged. How often that is late says what
//! this machine would show.

use super::stamp::Stopwatch;
use anyhow::{Result, anyhow};
use serde::Serialize;
use sessile::{Session, SessionCache, SessionId};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::scope;
use testkit::spin_until;

const ROUNDS: usize = 500_000;

/// The longest that the one who adds waits to be refused, in nanoseconds.
const PATIENCE: u64 = 20_000;

/// How long the one who removes waits first, in nanoseconds: by turns, so that all moments of an
/// add are met.
const DELAYS: [u64; 8] = [300, 400, 500, 600, 700, 800, 900, 1000];

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Promptness {
    /// Removals, and adds that began after one had returned and were not refused.
    pub(super) removals: u64,
    pub(super) late_refusals: u64,
    /// The same of a mark that is stored.
    late_stores: u64,
}

impl fmt::Display for Promptness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { removals, late_refusals, late_stores } = self;
        write!(
            f,
            "{removals} removals, refused too late: {late_refusals}; by a mark that is stored: {late_stores}"
        )
    }
}

/// What one thread forbids and another does.
trait Subject: Sync {
    fn forbid(&self, round: usize);
    /// Whether it was still done.
    fn is_done(&self, round: usize) -> bool;
}

pub(super) fn measure(watch: Stopwatch) -> Result<Promptness> {
    let removals = Removals::new()?;
    let stores = Stores((0..ROUNDS).map(|_| Marked::default()).collect());
    Ok(Promptness {
        removals: ROUNDS as u64,
        late_refusals: late(&removals, watch)?,
        late_stores: late(&stores, watch)?,
    })
}

struct Removals {
    cache: SessionCache<()>,
    sessions: Vec<Session<()>>,
}

impl Removals {
    fn new() -> Result<Self> {
        let id = |round: usize| SessionId::new(&round.to_le_bytes());
        let sessions = (0..ROUNDS).map(|round| Ok(Session::new(id(round)?, ())));
        Ok(Self { cache: SessionCache::new(100)?, sessions: sessions.collect::<Result<_>>()? })
    }
}

impl Subject for Removals {
    fn forbid(&self, round: usize) {
        self.cache.remove(&self.sessions[round]);
    }

    fn is_done(&self, round: usize) -> bool {
        let session = &self.sessions[round];
        // Keeps the line here, so that a mark has far to go.
        drop(session.clone());
        let is_done = self.cache.add(session.clone()).is_ok();
        if is_done {
            self.cache.remove_id(&session.id());
        }
        is_done
    }
}

/// A mark beside a count that others raise, as in a session.
#[derive(Default)]
#[repr(align(64))]
struct Marked {
    count: AtomicUsize,
    is_forbidden: AtomicBool,
}

struct Stores(Vec<Marked>);

impl Subject for Stores {
    fn forbid(&self, round: usize) {
        self.0[round].is_forbidden.store(true, Ordering::Relaxed);
    }

    fn is_done(&self, round: usize) -> bool {
        let marked = &self.0[round];
        let is_done = !marked.is_forbidden.load(Ordering::Acquire);
        marked.count.fetch_add(1, Ordering::AcqRel);
        is_done
    }
}

/// Where the two threads meet: the rounds that each has begun or ended, and when the last thing was
/// forbidden.
#[derive(Default)]
struct Meeting {
    begun: AtomicUsize,
    ended: AtomicUsize,
    forbidden: AtomicU64,
}

/// Rounds in which something was done that had been forbidden before it began.
fn late(subject: &impl Subject, watch: Stopwatch) -> Result<u64> {
    let meeting = Meeting::default();
    scope(|scope| {
        let forbidding =
            scope.spawn(|| (0..ROUNDS).for_each(|round| forbid(subject, round, &meeting, watch)));
        let late = (0..ROUNDS).filter(|&round| is_late(subject, round, &meeting, watch)).count();
        forbidding.join().map_err(|_| anyhow!("the removing thread panicked"))?;
        Ok(late as u64)
    })
}

fn forbid(subject: &impl Subject, round: usize, meeting: &Meeting, watch: Stopwatch) {
    spin_until(|| meeting.begun.load(Ordering::Acquire) > round);
    let moment = watch.stamp() + DELAYS[round % DELAYS.len()];
    while watch.stamp() < moment {}
    subject.forbid(round);
    meeting.forbidden.store(watch.stamp(), Ordering::Relaxed);
    meeting.ended.store(round + 1, Ordering::Release);
}

fn is_late(subject: &impl Subject, round: usize, meeting: &Meeting, watch: Stopwatch) -> bool {
    meeting.begun.store(round + 1, Ordering::Release);
    let end = watch.stamp() + PATIENCE;
    let mut began = 0;
    loop {
        let begins = watch.stamp();
        if !subject.is_done(round) || begins > end {
            break;
        }
        began = begins;
    }
    spin_until(|| meeting.ended.load(Ordering::Acquire) > round);
    began > meeting.forbidden.load(Ordering::Relaxed) + watch.margin()
}
