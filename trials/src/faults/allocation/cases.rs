//! The operations whose allocations fail, and what each works on.
#![forbid(unsafe_code)]

use crate::faults::backtraces::Site;
use anyhow::{Result, bail, ensure};
use sessile::{Added, BuildError, Capacity, Hooks, Rejection, Session, SessionCache, Stats};
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use testkit::{Ledger, Payload, START, clocked, ensure_reclaimed, id};

type Cache = SessionCache<Payload>;

const CAPACITY: usize = 100;

/// What an operation works on.
pub(super) struct Setting {
    pub(super) cache: Cache,
    pub(super) ledger: Arc<Ledger>,
    /// Made beforehand, so that making them is no part of the operation.
    pub(super) newcomers: Vec<Session<Payload>>,
}

/// How an operation ended of which an allocation was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Refused,
    /// The process was aborted.
    Aborted(Site),
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) prepare: fn() -> Result<Setting>,
    pub(super) run: fn(&Setting) -> Result<Ending>,
}

const fn case(
    name: &'static str,
    prepare: fn() -> Result<Setting>,
    run: fn(&Setting) -> Result<Ending>,
) -> Case {
    Case { name, prepare, run }
}

pub(super) const CASES: [Case; 25] = [
    case("build", warm, |_| settled(SessionCache::<u64>::new(1000))),
    case("build unbounded", warm, |_| settled(SessionCache::<u64>::new(Capacity::Unbounded))),
    case("try_build", warm, try_build),
    case("session", warm, |_| done(|| Session::new(id(1), 1))),
    case("first get of a thread", cold, |setting| done(|| setting.cache.get(&id(1)))),
    case("first add of a thread", cold, |setting| add(setting, 1)),
    case("get", warm, |setting| done(|| setting.cache.get(&id(99)))),
    case("read", warm, |setting| done(|| setting.cache.read(&id(99), |_| ()))),
    case("insert", roomy, |setting| add(setting, 1)),
    case("64 evicting adds", warm, |setting| add(setting, 64)),
    case("8 adds with a removal hook", hooked, |setting| add(setting, 8)),
    case("64 replacements", warm, replace),
    case("takes of all", warm, |setting| done(|| setting.each(|cache, n| cache.take(&id(n))))),
    case("removals of all", warm, |setting| {
        done(|| setting.each(|cache, n| cache.remove_id(&id(n))))
    }),
    case("a take with a removal hook", hooked, |setting| done(|| setting.cache.take(&id(99)))),
    case("flush_expired", warm, |setting| done(|| setting.cache.flush_expired_at(START + 100_000))),
    case("clear", warm, |setting| done(|| setting.cache.clear())),
    case("clear with a removal hook", hooked, |setting| done(|| setting.cache.clear())),
    case("grow", warm, |setting| settled(setting.cache.set_capacity(1000))),
    case("shrink", warm, |setting| settled(setting.cache.set_capacity(20))),
    case("growth of an unbounded cache", unbounded, |setting| add(setting, 800)),
    case("snapshot", warm, |setting| done(|| setting.cache.snapshot())),
    case("stats and len", warm, |setting| done(|| (setting.cache.stats(), setting.cache.len()))),
    case("collect", littered, |setting| done(|| setting.cache.collect())),
    case("set_hooks", warm, |setting| done(|| setting.cache.set_hooks(Hooks::new()))),
];

impl Setting {
    fn each<R>(&self, operation: fn(&Cache, u64) -> R) {
        for number in 0..CAPACITY as u64 {
            operation(&self.cache, number);
        }
    }
}

/// An operation that cannot say that there is no memory.
fn done<R>(operation: impl FnOnce() -> R) -> Result<Ending> {
    black_box(operation());
    Ok(Ending::Done)
}

fn settled<T>(result: Result<T, BuildError>) -> Result<Ending> {
    match result {
        Ok(_) => Ok(Ending::Done),
        Err(BuildError::OutOfMemory) => Ok(Ending::Refused),
        Err(error) => bail!("refused for another reason: {error}"),
    }
}

fn try_build(setting: &Setting) -> Result<Ending> {
    let payload = setting.ledger.payload(1);
    match Session::<Payload>::builder(id(1)).try_build(payload) {
        Ok(_) => Ok(Ending::Done),
        Err(_payload) => Ok(Ending::Refused),
    }
}

/// Adds so many newcomers, up to the first that is refused.
fn add(setting: &Setting, count: usize) -> Result<Ending> {
    for session in setting.newcomers.iter().take(count) {
        let before = setting.cache.stats();
        match setting.cache.add(session.clone()) {
            Ok(Added::Inserted) => {}
            Err(rejected) if rejected.reason() == Rejection::Allocation => {
                let after = setting.cache.stats();
                ensure!(after.rejected == before.rejected + 1, "a refusal is not counted");
                ensure!(after == counting(before, &after), "a refusal changed the cache");
                ensure!(Session::handle_count(session) == 1, "a refused session is still held");
                return Ok(Ending::Refused);
            }
            other => bail!("{other:?}"),
        }
    }
    Ok(Ending::Done)
}

/// `before` with the refusals of `after`.
pub(super) fn counting(mut before: Stats, after: &Stats) -> Stats {
    before.rejected = after.rejected;
    before
}

fn replace(setting: &Setting) -> Result<Ending> {
    // One key over and over, so that each of them retires its predecessor.
    let sessions: &[Session<Payload>] = &setting.newcomers;
    let (first, second) = (&sessions[0], &sessions[CAPACITY]);
    ensure!(first.id() == second.id(), "the newcomers repeat after {CAPACITY}");
    for n in 0..64 {
        drop(setting.cache.add(if n % 2 == 0 { first.clone() } else { second.clone() }));
    }
    Ok(Ending::Done)
}

/// A full cache that this thread has used, with nothing waiting.
fn warm() -> Result<Setting> {
    setting(clocked(CAPACITY).0.build()?, 3 * CAPACITY)
}

fn hooked() -> Result<Setting> {
    let setting = warm()?;
    setting.cache.set_hooks(Hooks::new().on_removed(|_, _| ()));
    Ok(setting)
}

fn roomy() -> Result<Setting> {
    let setting = warm()?;
    setting.cache.clear();
    ensure_reclaimed(&setting.cache)?;
    Ok(setting)
}

/// A cache with a lot to collect.
fn littered() -> Result<Setting> {
    let setting = warm()?;
    (0..CAPACITY as u64).for_each(|n| drop(setting.cache.take(&id(n))));
    Ok(setting)
}

fn unbounded() -> Result<Setting> {
    let cache = clocked(0).0.capacity(Capacity::Unbounded).build()?;
    // Nearly as full as the first table gets.
    let mut setting = setting(cache, 900)?;
    setting.newcomers = (0..800).map(|n| setting.ledger.session(10_000 + n)).collect();
    Ok(setting)
}

/// A cache that this thread has not used.
fn cold() -> Result<Setting> {
    thread::spawn(warm).join().unwrap_or_else(|_| bail!("the other thread died"))
}

fn setting(cache: Cache, stored: usize) -> Result<Setting> {
    let ledger = Ledger::new();
    (0..stored as u64).for_each(|n| drop(cache.add(ledger.session(n % (2 * CAPACITY as u64)))));
    (0..CAPACITY.min(stored) as u64).for_each(|n| drop(cache.add(ledger.session(n))));
    if cache.capacity() == usize::MAX {
        (0..stored as u64).for_each(|n| drop(cache.add(ledger.session(n))));
    }
    ensure_reclaimed(&cache)?;
    let newcomers =
        (0..2 * CAPACITY as u64).map(|n| ledger.session(10_000 + n % CAPACITY as u64)).collect();
    Ok(Setting { cache, ledger, newcomers })
}
