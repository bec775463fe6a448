//! Threads that a panic ends in mid-operation, at each point at which user code runs, while other
//! threads churn.
//!
//! The panic is armed for the victim's thread alone and is triggered at its `k`th pass of the
//! point, for k = 0, 1, 2. The thread dies of it. Afterwards table, counts and payloads must be
//! whole, and the cache must work on.
#![forbid(unsafe_code)]

use super::outcome::{Figures, Outcome};
use super::support::{Injected, PanicTrigger, Point, ledger_with_trigger, repeat};
use anyhow::{Result, ensure};
use sessile::{Clock, Session, SessionCache, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use testkit::{Ledger, Payload, START, disturbed, ensure_accounted, ensure_reclaimed, id};

type Cache = SessionCache<Payload>;

/// Keys in use: some more than there is room for.
const KEYS: u64 = 60;
const CAPACITY: usize = 40;
const PASSES: u32 = 3;

/// A clock that moves on with each reading, so that sessions expire all the time.
struct Restless(AtomicU64);

impl Clock for Restless {
    fn now(&self) -> Timestamp {
        PanicTrigger::pass(Point::Clock);
        Timestamp::from(START + self.0.fetch_add(1, Ordering::Relaxed) / 16)
    }
}

/// What the victim does.
type Operation = (&'static str, fn(&Cache, &Arc<Ledger>, u64));

const OPERATIONS: [Operation; 16] = [
    ("add", |cache, ledger, key| drop(cache.add(ledger.session(key)))),
    ("add of one key twice", |cache, ledger, key| {
        drop(cache.add(ledger.session(key)));
        drop(cache.add(ledger.session(key)));
    }),
    ("adds beyond the capacity", |cache, ledger, key| {
        (0..80).for_each(|n| drop(cache.add(ledger.session(key + n))))
    }),
    ("get", |cache, _, key| drop(cache.get(&id(key)))),
    ("get of nothing", |cache, _, key| drop(cache.get(&id(KEYS + key)))),
    ("read", |cache, ledger, key| {
        drop(cache.add(ledger.session(key)));
        let read = |session: &Session<Payload>| {
            PanicTrigger::pass(Point::Reader);
            session.number()
        };
        // Whether it is still there is a matter of chance.
        let _ = cache.read(&id(key), read);
    }),
    ("take", |cache, ledger, key| {
        drop(cache.add(ledger.session(key)));
        drop(cache.take(&id(key)));
    }),
    ("remove", |cache, ledger, key| {
        let mine = ledger.session(key);
        drop(cache.add(mine.clone()));
        cache.remove(&mine);
    }),
    ("remove by id", |cache, ledger, key| {
        drop(cache.add(ledger.session(key)));
        cache.remove_id(&id(key));
    }),
    ("flush", |cache, ledger, key| {
        drop(cache.add(ledger.session(key)));
        cache.flush_expired_at(u64::MAX);
    }),
    ("clear", |cache, ledger, key| {
        drop(cache.add(ledger.session(key)));
        cache.clear();
    }),
    // A table of this size finds memory.
    ("shrink and grow", |cache, ledger, key| {
        (0..40).for_each(|n| drop(cache.add(ledger.session(key + n))));
        let _ = cache.set_capacity(14);
        let _ = cache.set_capacity(CAPACITY);
    }),
    ("grow", |cache, _, _| _ = cache.set_capacity(1000)),
    ("snapshot", |cache, _, _| drop(cache.snapshot())),
    ("collect", |cache, _, _| cache.collect()),
    ("drop of the last handle", |cache, ledger, key| {
        drop(cache.add(ledger.session(key)));
        let taken = cache.take(&id(key));
        cache.collect();
        drop(taken);
    }),
];

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    let mut outcome = Outcome::new("panics: a thread dies of one");
    let mut burnt = BTreeMap::new();
    let (cache, ledger) = with_trigger()?;
    let churn = |random: &mut fastrand::Rng| churn(&cache, &ledger, random);
    repeat(time, |round| {
        for operation in &OPERATIONS {
            for point in Point::ALL {
                for passes in 0..PASSES {
                    let key = (round * 31 + u64::from(passes) * 7) % KEYS;
                    let died =
                        disturbed(1, churn, || die(&cache, &ledger, operation, key, point, passes));
                    let (Ok(true) | Err(_)) = died else { continue };
                    *burnt.entry(format!("{point:?}")).or_insert(0u64) += 1;
                    let what = format_args!("{point:?}, pass {passes}, in {}", operation.0);
                    outcome.attempt(what, || died.and_then(|_| check(&cache, &ledger)));
                }
            }
        }
    });
    outcome.attempt("every point was reached", || {
        let missing: Vec<_> =
            Point::ALL.iter().filter(|point| !burnt.contains_key(&format!("{point:?}"))).collect();
        ensure!(missing.is_empty(), "never reached: {missing:?}");
        Ok(())
    });
    outcome.note(format!(
        "panics: {burnt:?}; caught in deferred drops: {}",
        cache.stats().drop_panics
    ));
    drop(cache);
    outcome.attempt("the cache goes", || ledger.ensure_alive(0));
    figures.faults.push(outcome);
    Ok(())
}

/// A cache all of whose user code may trigger a panic.
fn with_trigger() -> Result<(Cache, Arc<Ledger>)> {
    let ledger = ledger_with_trigger();
    let second_tier = Arc::clone(&ledger);
    let cache = SessionCache::builder()
        .capacity(CAPACITY)
        .timeout(Duration::from_secs(40))
        .clock(Restless(AtomicU64::new(0)))
        .weigher(|_: &Session<Payload>| {
            PanicTrigger::pass(Point::Weigher);
            10
        })
        .max_weight(10 * CAPACITY)
        .on_added(|_| PanicTrigger::pass(Point::OnAdded))
        .on_removed(|_, _| PanicTrigger::pass(Point::OnRemoved))
        .on_miss(move |asked, _| {
            PanicTrigger::pass(Point::OnMiss);
            let supplied = asked.as_bytes()[0] & 1 == 0;
            supplied.then(|| Session::new(*asked, second_tier.payload(0)))
        })
        .build()?;
    Ok((cache, ledger))
}

fn churn(cache: &Cache, ledger: &Arc<Ledger>, random: &mut fastrand::Rng) {
    let key = random.u64(..KEYS);
    match random.u8(..8) {
        0..=2 => drop(cache.add(ledger.session(key))),
        3 => drop(cache.take(&id(key))),
        4 => _ = cache.remove_id(&id(key)),
        5 => drop(cache.get(&id(key)).inspect(|found| _ = cache.remove(found))),
        6 => _ = cache.read(&id(key), |found| found.number()),
        _ => drop(cache.get(&id(key))),
    }
}

/// Whether a thread that runs the operation dies of the panic; false when it never came to the
/// point.
fn die(
    cache: &Cache,
    ledger: &Arc<Ledger>,
    operation: &Operation,
    key: u64,
    point: Point,
    passes: u32,
) -> Result<bool> {
    let (died, has_burnt) = thread::scope(|scope| {
        let (armed, is_lit) = std::sync::mpsc::channel();
        let victim = scope.spawn(move || {
            // Tells whether the panic was triggered when the thread unwinds, too: a deferred drop's
            // panic goes no further.
            let _teller = Teller(armed);
            PanicTrigger::arm(point, passes);
            (operation.1)(cache, ledger, key);
        });
        (victim.join(), is_lit.recv())
    });
    let has_burnt = has_burnt?;
    match died {
        Ok(()) => ensure!(!has_burnt || point == Point::Drop, "the panic went nowhere"),
        Err(panic) => {
            ensure!(has_burnt && panic.is::<Injected>(), "another panic than the injected one")
        }
    }
    Ok(has_burnt)
}

struct Teller(std::sync::mpsc::Sender<bool>);

impl Drop for Teller {
    fn drop(&mut self) {
        // The other end waits for it.
        let _ = self.0.send(PanicTrigger::disarm());
    }
}

fn check(cache: &Cache, ledger: &Arc<Ledger>) -> Result<()> {
    ensure_accounted(cache, ledger)?;
    cache.set_capacity(CAPACITY)?;
    // What the migration moved was counted twice meanwhile.
    ensure_reclaimed(cache)?;
    let all = cache.snapshot();
    ensure!(all.iter().all(|one| Session::handle_count(one) == 2), "a count was lost");
    drop(all);
    // No permit and no weight was lost if there is still room for all.
    cache.clear();
    (0..4 * CAPACITY as u64).for_each(|n| drop(cache.add(ledger.session(KEYS + n))));
    ensure!(cache.len() == CAPACITY, "{} fit into {CAPACITY}", cache.len());
    Ok(())
}
