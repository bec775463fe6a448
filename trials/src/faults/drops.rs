//! Payloads whose drop does more than to free: it panics, it uses the cache again, it ends another
//! cache.
#![forbid(unsafe_code)]

use super::outcome::{Figures, Outcome};
use super::support::{Injected, repeat, within};
use anyhow::{Result, ensure};
use sessile::{ManualClock, Session, SessionCache};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use testkit::{Ledger, Payload, START, ensure_reclaimed, ensure_whole, id};

/// What the drop of a payload does besides being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Nothing,
    Panic,
    Get,
    Read,
    Add,
    Take,
    RemoveId,
    Flush,
    Clear,
    Resize,
    Snapshot,
    Collect,
    EndOtherCache,
}

const DEEDS: [Deed; 12] = [
    Deed::Panic,
    Deed::Get,
    Deed::Read,
    Deed::Add,
    Deed::Take,
    Deed::RemoveId,
    Deed::Flush,
    Deed::Clear,
    Deed::Resize,
    Deed::Snapshot,
    Deed::Collect,
    Deed::EndOtherCache,
];

const WATCHDOG: Duration = Duration::from_secs(10);
const CAPACITY: usize = 30;

type Cache = SessionCache<Doer>;

/// What one attempt shares.
#[derive(Default)]
struct Books {
    ledger: Arc<Ledger>,
    done: AtomicU64,
    panicked: AtomicU64,
}

struct Doer {
    number: u64,
    /// Counted as freed after the deed, panic or not.
    _counted: Payload,
    deed: Deed,
    cache: Weak<Cache>,
    books: Arc<Books>,
    other: Option<Arc<Cache>>,
}

thread_local! {
    /// Deeds that this thread is in the middle of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Deeds may set off further deeds; three deep is enough to see that they nest.
const DEPTH_MAX: u32 = 3;

impl Doer {
    fn session(number: u64, deed: Deed, cache: &Weak<Cache>, books: &Arc<Books>) -> Session<Self> {
        let counted = books.ledger.payload(number);
        let other =
            (deed == Deed::EndOtherCache).then(|| Self::other_cache(cache, books)).flatten();
        let (cache, books) = (cache.clone(), Arc::clone(books));
        Session::new(id(number), Self { number, _counted: counted, deed, cache, books, other })
    }

    /// A cache of its own, full of sessions that in turn use the outer one when they are dropped.
    fn other_cache(cache: &Weak<Cache>, books: &Arc<Books>) -> Option<Arc<Cache>> {
        let other = Arc::new(SessionCache::new(4).ok()?);
        for number in 0..6 {
            drop(other.add(Self::session(number, Deed::Add, cache, books)));
        }
        Some(other)
    }

    fn act(&mut self, cache: &Cache) {
        let key = id(self.number + 1);
        match self.deed {
            Deed::Nothing | Deed::Panic => {}
            Deed::Get => drop(cache.get(&key)),
            Deed::Read => _ = cache.read(&key, |found| found.number),
            Deed::Add => {
                drop(cache.add(Self::session(
                    self.number + 1,
                    Deed::Nothing,
                    &self.cache,
                    &self.books,
                )));
            }
            Deed::Take => drop(cache.take(&key)),
            Deed::RemoveId => _ = cache.remove_id(&key),
            Deed::Flush => _ = cache.flush_expired_at(START + 100_000),
            Deed::Clear => _ = cache.clear(),
            // Both sizes are valid and small.
            Deed::Resize => _ = cache.set_capacity(CAPACITY - (self.number % 2) as usize),
            Deed::Snapshot => drop(cache.snapshot()),
            Deed::Collect => cache.collect(),
            Deed::EndOtherCache => drop(self.other.take()),
        }
    }
}

impl Drop for Doer {
    fn drop(&mut self) {
        let depth = DEPTH.get();
        if self.deed == Deed::Nothing || depth >= DEPTH_MAX {
            return;
        }
        if self.deed == Deed::Panic {
            // A second panic while one unwinds would end the process, whoever threw it.
            if !thread::panicking() {
                self.books.panicked.fetch_add(1, Ordering::SeqCst);
                resume_unwind(Box::new(Injected));
            }
            return;
        }
        // After the cache is gone there is nothing to use again.
        if let Some(cache) = self.cache.upgrade() {
            DEPTH.set(depth + 1);
            self.act(&cache);
            self.books.done.fetch_add(1, Ordering::SeqCst);
            DEPTH.set(depth);
        }
    }
}

/// A way in which sessions leave. The drop may panic at the caller where he holds the last handle.
type Way = (&'static str, fn(&Cache, &ManualClock, &dyn Fn(u64) -> Session<Doer>));

const WAYS: [Way; 9] = [
    ("removal", |cache, _, _| (0..30).for_each(|n| _ = cache.remove_id(&id(n)))),
    ("take", |cache, _, _| (0..30).for_each(|n| drop(cache.take(&id(n))))),
    ("replacement", |cache, _, make| (0..30).for_each(|n| drop(cache.add(make(n))))),
    ("eviction", |cache, _, make| (100..200).for_each(|n| drop(cache.add(make(n))))),
    ("expiry", |cache, clock, _| {
        clock.advance(7201);
        (0..30).for_each(|n| drop(cache.get(&id(n))));
    }),
    ("flush", |cache, clock, _| {
        clock.advance(7201);
        cache.flush_expired_at(START + 7201);
    }),
    ("clear", |cache, _, _| _ = cache.clear()),
    // Always valid, never too large.
    ("shrinking", |cache, _, _| _ = cache.set_capacity(5)),
    ("refusal", |cache, _, make| {
        for n in 0..30 {
            let refused = make(300 + n);
            refused.set_not_resumable();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(cache.add(refused))));
        }
    }),
];

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    let mut panics = Outcome::new("drops: a payload's panics");
    let mut others = Outcome::new("drops: a payload's uses the cache");
    repeat(time, |round| {
        for deed in DEEDS {
            let outcome = if deed == Deed::Panic { &mut panics } else { &mut others };
            for way in &WAYS {
                // Every payload, or every third among innocent ones.
                let every = 1 + 2 * (round % 2);
                outcome.attempt(format_args!("{deed:?} at {}, every {every}", way.0), || {
                    within(WATCHDOG, move || attempt(deed, way, every))
                });
            }
        }
    });
    figures.faults.extend([panics, others]);
    Ok(())
}

fn attempt(deed: Deed, way: &Way, every: u64) -> Result<()> {
    let books = Arc::new(Books::default());
    let clock = Arc::new(ManualClock::new(START));
    let cache: Arc<Cache> =
        Arc::new(SessionCache::builder().capacity(CAPACITY).clock(Arc::clone(&clock)).build()?);
    let weak = Arc::downgrade(&cache);
    let make = |number: u64| {
        let its = if number.is_multiple_of(every) { deed } else { Deed::Nothing };
        Doer::session(number, its, &weak, &books)
    };
    (0..CAPACITY as u64).for_each(|number| drop(cache.add(make(number))));
    // The caller's own last handle panics at the caller, between two operations.
    let at_caller = catch_unwind(AssertUnwindSafe(|| way.1(&cache, &clock, &make)));
    ensure!(at_caller.is_ok() || deed == Deed::Panic, "a panic out of nowhere");
    // What a drop removes in the middle of a collection is left to the next one: at worst one
    // session each time.
    let mut rounds = 0;
    while cache.stats().garbage.sessions > 0 && rounds < 10 * CAPACITY {
        cache.collect();
        rounds += 1;
    }
    ensure_whole(&cache)?;
    ensure_reclaimed(&cache)?;
    ensure_accounts(&books, &cache)?;
    drop((make, cache));
    let alive = books.ledger.alive();
    ensure!(alive == 0, "{alive} payloads outlive the cache");
    let (did, panicked) =
        (books.done.load(Ordering::SeqCst), books.panicked.load(Ordering::SeqCst));
    ensure!(did + panicked > 0, "no payload did its deed");
    Ok(())
}

/// Every payload that left was dropped, whatever the others did, and every panic in a deferred drop
/// was counted.
fn ensure_accounts(books: &Books, cache: &Cache) -> Result<()> {
    let nested: u64 = cache
        .snapshot()
        .iter()
        .filter_map(|one| one.other.as_ref())
        .map(|other| other.len() as u64)
        .sum();
    let (alive, stored) = (books.ledger.alive() as u64, cache.len() as u64);
    let expected = stored + nested;
    ensure!(alive >= expected, "{alive} alive, {expected} stored");
    // An inner cache may keep the last few that it retired: no thread works on it.
    let inner_garbage: u64 = cache
        .snapshot()
        .iter()
        .filter_map(|one| one.other.as_ref())
        .map(|other| other.stats().garbage.sessions)
        .sum();
    ensure!(
        alive == expected + inner_garbage,
        "{alive} alive, {expected} stored, {inner_garbage} inner garbage"
    );
    let (panicked, counted) = (books.panicked.load(Ordering::SeqCst), cache.stats().drop_panics);
    ensure!(counted <= panicked, "{counted} panics counted, {panicked} thrown");
    Ok(())
}
