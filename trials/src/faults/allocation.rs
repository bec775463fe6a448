//! Each allocation of each operation fails once.
//!
//! The allocator refuses the n-th allocation of one operation, for n = 0, 1, 2, … until the operation asks for no more. What
//! follows is one of three:
//!
//! - *refused*: the operation says that there is no memory, and nothing changed;
//! - *done*: it succeeded all the same, and everything is as if nothing had been refused;
//! - *aborted*: the process ended by `handle_alloc_error`. This is a success only at the places of [`DOCUMENTED`].
//!
//! Because of the third, tries are made in child processes: this program, told by a hidden option what to do. A child goes
//! through n until it dies of one or is done; the parent reads what it printed and starts the next child behind that n.

use super::allocator::refuse;
use super::backtraces::{self, Site};
use super::outcome::{Figures, Outcome};
use super::payload::{Ledger, Payload};
use super::support::{START, ensure_reclaimed, ensure_whole, id};
use anyhow::{Context, Result, bail, ensure};
use sessile::{Added, BuildError, Capacity, Hooks, ManualClock, Rejection, Session, SessionCache, Stats};
use std::collections::BTreeMap;
use std::env;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type Cache = SessionCache<Payload>;

const CAPACITY: usize = 100;

/// Allocations of one operation that are tried at most.
const TRIES_MAX: usize = 400;

/// Where the documentation says that the process ends when memory is exhausted. crossbeam-epoch reports no failure, which the
/// source says at `enqueue`; everything else that is not here is to be refused.
const DOCUMENTED: [(&str, &str); 4] = [
    // `Session::new` and `SessionBuilder::build`; `try_build` reports it.
    ("sessile", "src/session/handle.rs"),
    ("sessile", "src/cache/snapshot.rs"),
    // The queue of what was retired.
    ("sessile", "src/reclaim/limbo.rs"),
    ("crossbeam-epoch", ""),
];

/// What an operation works on.
struct Setting {
    cache: Cache,
    ledger: Arc<Ledger>,
    /// Made beforehand, so that making them is no part of the operation.
    newcomers: Vec<Session<Payload>>,
}

/// How an operation ended that was not aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Refused,
}

struct Case {
    name: &'static str,
    prepare: fn() -> Result<Setting>,
    run: fn(&Setting) -> Result<End>,
}

const CASES: [Case; 25] = [
    Case { name: "build", prepare: warm, run: |_| built(SessionCache::<u64>::new(1000)) },
    Case {
        name: "build unbounded",
        prepare: warm,
        run: |_| built(SessionCache::<u64>::new(Capacity::Unbounded)),
    },
    Case { name: "try_build", prepare: warm, run: try_build },
    Case { name: "session", prepare: warm, run: |_| done(Session::new(id(1), 1)) },
    Case { name: "first get of a thread", prepare: cold, run: |setting| done(setting.cache.get(&id(1))) },
    Case { name: "first add of a thread", prepare: cold, run: |setting| add(setting, 1) },
    Case { name: "get", prepare: warm, run: |setting| done(setting.cache.get(&id(99))) },
    Case { name: "read", prepare: warm, run: |setting| done(setting.cache.read(&id(99), |_| ())) },
    Case { name: "insert", prepare: roomy, run: |setting| add(setting, 1) },
    Case { name: "64 evicting adds", prepare: warm, run: |setting| add(setting, 64) },
    Case { name: "8 adds with a removal hook", prepare: hooked, run: |setting| add(setting, 8) },
    Case { name: "64 replacements", prepare: warm, run: replace },
    Case {
        name: "64 takes",
        prepare: warm,
        run: |setting| each(setting, |cache, n| drop(cache.take(&id(n)))),
    },
    Case {
        name: "64 removals",
        prepare: warm,
        run: |setting| each(setting, |cache, n| drop(cache.remove_id(&id(n)))),
    },
    Case {
        name: "a take with a removal hook",
        prepare: hooked,
        run: |setting| done(setting.cache.take(&id(99))),
    },
    Case {
        name: "flush_expired",
        prepare: warm,
        run: |setting| done(setting.cache.flush_expired(START + 100_000)),
    },
    Case { name: "clear", prepare: warm, run: |setting| done(setting.cache.clear()) },
    Case { name: "clear with a removal hook", prepare: hooked, run: |setting| done(setting.cache.clear()) },
    Case { name: "grow", prepare: warm, run: |setting| resized(setting.cache.set_capacity(1000)) },
    Case { name: "shrink", prepare: warm, run: |setting| resized(setting.cache.set_capacity(20)) },
    Case { name: "growth of an unbounded cache", prepare: unbounded, run: |setting| add(setting, 800) },
    Case { name: "snapshot", prepare: warm, run: |setting| done(setting.cache.snapshot()) },
    Case {
        name: "stats and len",
        prepare: warm,
        run: |setting| done((setting.cache.stats(), setting.cache.len())),
    },
    Case { name: "collect", prepare: littered, run: |setting| done(setting.cache.collect()) },
    Case { name: "set_hooks", prepare: warm, run: |setting| done(setting.cache.set_hooks(Hooks::new())) },
];

fn done<R>(result: R) -> Result<End> {
    drop(black_box(result));
    Ok(End::Done)
}

fn built<T: Send + Sync + 'static>(built: Result<SessionCache<T>, BuildError>) -> Result<End> {
    match built {
        Ok(cache) => done(cache),
        Err(BuildError::OutOfMemory) => Ok(End::Refused),
        Err(error) => bail!("refused for another reason: {error}"),
    }
}

fn resized(resized: Result<(), BuildError>) -> Result<End> {
    match resized {
        Ok(()) => Ok(End::Done),
        Err(BuildError::OutOfMemory) => Ok(End::Refused),
        Err(error) => bail!("refused for another reason: {error}"),
    }
}

fn try_build(setting: &Setting) -> Result<End> {
    let payload = setting.ledger.payload(1);
    match Session::<Payload>::builder(id(1)).try_build(payload) {
        Ok(session) => done(session),
        Err(payload) => {
            drop(payload);
            Ok(End::Refused)
        }
    }
}

/// Adds so many newcomers, up to the first that is refused.
fn add(setting: &Setting, count: usize) -> Result<End> {
    for session in setting.newcomers.iter().take(count) {
        let before = setting.cache.stats();
        match setting.cache.add(session.clone()) {
            Added::Inserted => {}
            Added::Rejected(Rejection::Allocation) => {
                let after = setting.cache.stats();
                ensure!(after.rejected == before.rejected + 1, "a refusal is not counted");
                ensure!(after == counting(before, &after), "a refusal changed the cache");
                ensure!(Session::handle_count(session) == 1, "a refused session is still held");
                return Ok(End::Refused);
            }
            other => bail!("{other:?}"),
        }
    }
    Ok(End::Done)
}

/// `before` with the refusals of `after`.
fn counting(mut before: Stats, after: &Stats) -> Stats {
    before.rejected = after.rejected;
    before
}

fn replace(setting: &Setting) -> Result<End> {
    // One key over and over, so that each of them retires its predecessor.
    let sessions: &[Session<Payload>] = &setting.newcomers;
    let (first, second) = (&sessions[0], &sessions[CAPACITY]);
    ensure!(first.id() == second.id(), "the newcomers repeat after {CAPACITY}");
    for n in 0..64 {
        drop(setting.cache.add(if n % 2 == 0 { first.clone() } else { second.clone() }));
    }
    Ok(End::Done)
}

fn each(setting: &Setting, remove: fn(&Cache, u64)) -> Result<End> {
    (0..CAPACITY as u64).for_each(|n| remove(&setting.cache, n));
    Ok(End::Done)
}

/// A full cache that this thread has used, with nothing waiting.
fn warm() -> Result<Setting> {
    setting(SessionCache::builder().capacity(CAPACITY).clock(ManualClock::new(START)).build()?, 3 * CAPACITY)
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
    let cache =
        SessionCache::builder().capacity(Capacity::Unbounded).clock(ManualClock::new(START)).build()?;
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
    let ledger = Arc::new(Ledger::default());
    (0..stored as u64).for_each(|n| drop(cache.add(ledger.session(n % (2 * CAPACITY as u64)))));
    (0..CAPACITY.min(stored) as u64).for_each(|n| drop(cache.add(ledger.session(n))));
    if cache.capacity() == usize::MAX {
        (0..stored as u64).for_each(|n| drop(cache.add(ledger.session(n))));
    }
    ensure_reclaimed(&cache)?;
    let newcomers = (0..2 * CAPACITY as u64).map(|n| ledger.session(10_000 + n % CAPACITY as u64)).collect();
    Ok(Setting { cache, ledger, newcomers })
}

/// What the child does: tries one refusal after the other, and says so beforehand and afterwards.
pub(crate) fn child(name: &str, first: usize) -> Result<()> {
    let case = CASES.iter().find(|case| case.name == name).context("no such case")?;
    for passes in first..TRIES_MAX {
        let setting = (case.prepare)()?;
        let before = setting.cache.stats();
        println!("try {passes}");
        let (ended, was_refused) = refuse(passes, say_where, || (case.run)(&setting));
        let ended = ended?;
        if !was_refused {
            println!("end");
            return Ok(());
        }
        check(setting, &before, ended)?;
        println!("{ended:?}");
    }
    bail!("more than {TRIES_MAX} allocations")
}

fn say_where() {
    let offsets: Vec<_> = backtraces::offsets().iter().map(isize::to_string).collect();
    println!("where {}", offsets.join(" "));
}

/// Nothing was lost, and a refusal changed nothing.
fn check(setting: Setting, before: &Stats, ended: End) -> Result<()> {
    let Setting { cache, ledger, newcomers } = setting;
    if ended == End::Refused && cache.capacity() != usize::MAX {
        let after = cache.stats();
        ensure!(
            after == counting(before.clone(), &after),
            "a refusal changed the cache: {after:?}, before {before:?}"
        );
    }
    ensure_whole(&cache)?;
    for number in 20_000..20_200 {
        ensure!(cache.add(ledger.session(number)).changed(), "an add was refused although there is memory");
    }
    ensure_whole(&cache)?;
    cache.clear();
    ensure_reclaimed(&cache)?;
    drop(newcomers);
    ensure!(ledger.alive() == 0 && ledger.wrong() == 0, "{} payloads are left", ledger.alive());
    Ok(())
}

/// What became of one refusal.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Ended(End),
    Aborted(Site),
}

pub(crate) fn run(_time: Duration, figures: &mut Figures) -> Result<()> {
    let mut outcome = Outcome::new("allocation: each fails once");
    let mut counts = BTreeMap::new();
    let mut sites: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for case in &CASES {
        let fates = match fates_of(case.name) {
            Ok(fates) => fates,
            Err(error) => {
                outcome.attempt(case.name, || Err(error));
                continue;
            }
        };
        for (passes, fate) in fates.iter().enumerate() {
            outcome.attempt(format_args!("{}, allocation {passes}", case.name), || judge(fate));
            let kind = match fate {
                Fate::Ended(end) => format!("{end:?}"),
                Fate::Aborted(site) => {
                    let mark = if is_documented(site) { "" } else { ", UNDOCUMENTED" };
                    let at = sites.entry(format!("{}{mark}", site.place));
                    let cases = at.or_default();
                    if !cases.contains(&case.name) {
                        cases.push(case.name);
                    }
                    "Aborted".into()
                }
            };
            *counts.entry(kind).or_insert(0u64) += 1;
        }
        // Operations without allocations hold, too.
        if fates.is_empty() {
            outcome.attempt(case.name, || Ok(()));
        }
    }
    outcome.note(format!("{counts:?}"));
    outcome.notes.extend(sites.iter().map(|(site, cases)| format!("aborts at {site}: {}", cases.join(", "))));
    figures.faults.push(outcome);
    Ok(())
}

fn judge(fate: &Fate) -> Result<()> {
    let Fate::Aborted(site) = fate else { return Ok(()) };
    ensure!(is_documented(site), "aborts at {} ({})", site.place, site.function);
    Ok(())
}

fn is_documented(site: &Site) -> bool {
    DOCUMENTED.iter().any(|(krate, file)| site.krate == *krate && site.place.starts_with(file))
}

/// The fates of all refusals of one case, in the order of the allocations.
fn fates_of(case: &str) -> Result<Vec<Fate>> {
    let mut fates = Vec::new();
    loop {
        let output = Command::new(env::current_exe()?)
            .args(["faults", "--child", "allocation", case, &fates.len().to_string()])
            // A stack trace of each abort would cost a tenth of a second, and the child says where it was.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .output()
            .context("cannot start a child")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let is_over = read_fates(&text, &mut fates)?;
        let error = String::from_utf8_lossy(&output.stderr);
        match output.status.signal() {
            None if output.status.success() && is_over => return Ok(fates),
            Some(libc::SIGABRT) if error.contains("memory allocation of") => {
                fates.push(Fate::Aborted(site_of(&text)?));
            }
            _ => bail!("allocation {}: {}, {}", fates.len(), output.status, error.trim()),
        }
    }
}

/// Appends what a child says that it saw; true if it came to the end of the case.
fn read_fates(text: &str, fates: &mut Vec<Fate>) -> Result<bool> {
    for line in text.lines() {
        match line {
            "Done" => fates.push(Fate::Ended(End::Done)),
            "Refused" => fates.push(Fate::Ended(End::Refused)),
            "end" => return Ok(true),
            _ if line.starts_with("try ") => {
                ensure!(line["try ".len()..].parse() == Ok(fates.len()), "a try is missing before {line:?}");
            }
            _ if line.starts_with("where ") => {}
            _ => bail!("a child says {line:?}"),
        }
    }
    Ok(false)
}

/// Where the last refusal was.
fn site_of(text: &str) -> Result<Site> {
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("where "))
        .context("aborted before a refusal")?;
    let offsets: Vec<isize> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    backtraces::innermost(&offsets, &["sessile", "crossbeam-epoch", "arc-swap"])
        .context("aborted in a place without a name")
}

#[cfg(test)]
mod tests {
    use super::{End, Fate, is_documented, judge, read_fates};
    use crate::faults::backtraces::Site;

    #[test]
    fn an_abort_elsewhere_is_found() {
        let site = |krate: &str, place: &str| Site {
            krate: krate.into(),
            function: String::new(),
            place: place.into(),
        };
        assert!(is_documented(&site("crossbeam-epoch", "crossbeam-epoch/src/atomic.rs:200")));
        assert!(is_documented(&site("sessile", "src/cache/snapshot.rs:28")));
        assert!(judge(&Fate::Aborted(site("sessile", "src/raw/table.rs:41"))).is_err());
        assert!(judge(&Fate::Ended(End::Refused)).is_ok());
    }

    #[test]
    fn a_child_is_read_up_to_where_it_died() {
        let mut fates = Vec::new();
        assert_eq!(read_fates("try 0\nwhere 1 2\nDone\ntry 1\nwhere 3", &mut fates).ok(), Some(false));
        assert_eq!(fates, [Fate::Ended(End::Done)]);
        assert_eq!(read_fates("try 1\nwhere 1\nRefused\ntry 2\nend\n", &mut fates).ok(), Some(true));
        assert!(read_fates("try 7", &mut fates).is_err(), "a try is missing");
        assert!(read_fates("nonsense", &mut fates).is_err());
    }
}
