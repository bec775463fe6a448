//! Payloads whose drop does more than to free: it panics, it uses the cache again, it ends another
//! cache.
#![forbid(unsafe_code)]

use super::outcome::{Figures, Outcome};
use super::support::{Injected, repeat, within};
use anyhow::{Result, ensure};
use sessile::{ManualClock, Session, SessionCache, SessionId};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use testkit::{Ledger, Payload, START, clocked, ensure_reclaimed, ensure_whole, id};

/// What the drop of a payload does besides being counted.
#[derive(Clone, Copy)]
enum Deed {
    Nothing,
    Panic,
    Use(fn(&mut Doer, &Cache)),
}

const DEEDS: [(&str, Deed); 12] = [
    ("panic", Deed::Panic),
    ("get", Deed::Use(|doer, cache| drop(cache.get(&doer.key())))),
    ("read", Deed::Use(|doer, cache| _ = cache.read(&doer.key(), |found| found.number))),
    ("add", Deed::Use(Doer::add)),
    ("take", Deed::Use(|doer, cache| drop(cache.take(&doer.key())))),
    ("remove_id", Deed::Use(|doer, cache| _ = cache.remove_id(&doer.key()))),
    ("flush", Deed::Use(|_, cache| _ = cache.flush_expired_at(START + 100_000))),
    ("clear", Deed::Use(|_, cache| _ = cache.clear())),
    // Both sizes are valid and small.
    (
        "resize",
        Deed::Use(|doer, cache| _ = cache.set_capacity(CAPACITY - doer.number as usize % 2)),
    ),
    ("snapshot", Deed::Use(|_, cache| drop(cache.snapshot()))),
    ("collect", Deed::Use(|_, cache| cache.collect())),
    (END_OF_ANOTHER, Deed::Use(|doer, _| drop(doer.other.take()))),
];

/// The deed for which each payload has a cache of its own.
const END_OF_ANOTHER: &str = "end of another cache";

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
    fn session(
        number: u64,
        deed: Deed,
        cache: &Weak<Cache>,
        books: &Arc<Books>,
        other: Option<Arc<Cache>>,
    ) -> Session<Self> {
        let counted = books.ledger.payload(number);
        let (cache, books) = (cache.clone(), Arc::clone(books));
        Session::new(id(number), Self { number, _counted: counted, deed, cache, books, other })
    }

    /// A cache of its own, full of sessions that in turn use the outer one when they are dropped.
    fn other_cache(cache: &Weak<Cache>, books: &Arc<Books>) -> Option<Arc<Cache>> {
        let other = Arc::new(SessionCache::new(4).ok()?);
        for number in 0..6 {
            drop(other.add(Self::session(number, Deed::Use(Self::add), cache, books, None)));
        }
        Some(other)
    }

    /// The key that it uses.
    fn key(&self) -> SessionId {
        id(self.number + 1)
    }

    fn add(&mut self, cache: &Cache) {
        let innocent = Deed::Nothing;
        drop(cache.add(Self::session(self.number + 1, innocent, &self.cache, &self.books, None)));
    }
}

impl Drop for Doer {
    fn drop(&mut self) {
        let depth = DEPTH.get();
        if depth >= DEPTH_MAX {
            return;
        }
        match self.deed {
            Deed::Nothing => {}
            // A second panic while one unwinds would end the process, whoever threw it.
            Deed::Panic if thread::panicking() => {}
            Deed::Panic => {
                self.books.panicked.fetch_add(1, Ordering::SeqCst);
                resume_unwind(Box::new(Injected));
            }
            // After the cache is gone there is nothing to use again.
            Deed::Use(act) => {
                if let Some(cache) = self.cache.upgrade() {
                    DEPTH.set(depth + 1);
                    act(self, &cache);
                    self.books.done.fetch_add(1, Ordering::SeqCst);
                    DEPTH.set(depth);
                }
            }
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
        for (name, deed) in DEEDS {
            let outcome = if matches!(deed, Deed::Panic) { &mut panics } else { &mut others };
            for way in &WAYS {
                // Every payload, or every third among innocent ones.
                let every = 1 + 2 * (round % 2);
                outcome.attempt(format_args!("{name} at {}, every {every}", way.0), || {
                    within(WATCHDOG, move || attempt(name, deed, way, every))
                });
            }
        }
    });
    figures.faults.extend([panics, others]);
    Ok(())
}

fn attempt(name: &str, deed: Deed, way: &Way, every: u64) -> Result<()> {
    let books = Arc::new(Books::default());
    let (builder, clock) = clocked(CAPACITY);
    let cache: Arc<Cache> = Arc::new(builder.build()?);
    let weak = Arc::downgrade(&cache);
    let make = |number: u64| {
        let does = number.is_multiple_of(every);
        let other = (does && name == END_OF_ANOTHER).then(|| Doer::other_cache(&weak, &books));
        let deed = if does { deed } else { Deed::Nothing };
        Doer::session(number, deed, &weak, &books, other.flatten())
    };
    (0..CAPACITY as u64).for_each(|number| drop(cache.add(make(number))));
    // The caller's own last handle panics at the caller, between two operations.
    let at_caller = catch_unwind(AssertUnwindSafe(|| way.1(&cache, &clock, &make)));
    ensure!(at_caller.is_ok() || matches!(deed, Deed::Panic), "a panic out of nowhere");
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
    books.ledger.ensure_alive(0)?;
    let (did, panicked) =
        (books.done.load(Ordering::SeqCst), books.panicked.load(Ordering::SeqCst));
    ensure!(did + panicked > 0, "no payload did its deed");
    Ok(())
}

/// Every payload that left was dropped, whatever the others did, and every panic in a deferred drop
/// was counted.
fn ensure_accounts(books: &Books, cache: &Cache) -> Result<()> {
    // An inner cache may keep the last few that it retired: no thread works on it.
    let (mut stored, mut garbage) = (cache.len(), 0);
    for inner in cache.iter().filter_map(|one| one.other.clone()) {
        stored += inner.len();
        garbage += inner.stats().garbage.sessions as usize;
    }
    books.ledger.ensure_alive(stored + garbage)?;
    let (panicked, counted) = (books.panicked.load(Ordering::SeqCst), cache.stats().drop_panics);
    ensure!(counted <= panicked, "{counted} panics counted, {panicked} thrown");
    Ok(())
}
