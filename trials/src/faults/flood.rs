//! A wall of ids: what a peer who chooses ids can do to the others.
//!
//! The hash is keyed, so from outside no ids can be chosen that share a set. Two floods remain. Ids
//! that are alike, as misses and as adds, must cost what random ids cost. And one id in many
//! contexts, which are compared and not hashed, does share a set: its lookups must stay bounded by
//! the fourteen slots of a set, and the others' sessions must stay.
//!
//! Times are p99 of single calls. Both kinds are timed in turns, and the ratio is the median over
//! the rounds, so that a disturbance from outside strikes both or is outvoted.
#![forbid(unsafe_code)]

use super::outcome::{Figures, Outcome};
use super::support::median;
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use sessile::{Context, Session, SessionCache, SessionId};
use std::collections::HashSet;
use std::hint::black_box;
use std::time::{Duration, Instant};
use testkit::ensure_whole;

const CAPACITY: usize = 20_480;

/// Ids of each kind.
const IDS: u64 = 1 << 17;

const ROUNDS: usize = 15;
const CALLS_PER_ROUND: usize = 20_000;

/// How much slower the p99 of a flood may be than that of random ids.
const RATIO_MAX: f64 = 2.0;

/// Slots of a set: the most sessions that one id can have, in different contexts.
const SET: usize = 14;

/// Makes the `n`th id of a kind.
type Kind = (&'static str, fn(u64) -> Vec<u8>);

const KINDS: [Kind; 8] = [
    ("equal prefixes", |n| [&[0xAB; 24][..], &n.to_be_bytes()].concat()),
    ("equal suffixes", |n| [&n.to_le_bytes()[..], &[0xCD; 24]].concat()),
    ("multiples of a power of two", |n| [&(n << 40).to_le_bytes()[..], &[0; 24]].concat()),
    ("one counter in both halves", |n| {
        [&[0; 8][..], &n.to_le_bytes(), &[0; 8], &n.to_le_bytes()].concat()
    }),
    ("differences that cancel out", |n| {
        [&n.to_le_bytes()[..], &[0; 8], &(!n).to_le_bytes(), &[0; 8]].concat()
    }),
    ("one or two bits set", |n| {
        let mut bytes = vec![0; 32];
        // 256 bits, in pairs and with a number of their own beyond.
        bytes[(n as usize / 8) % 32] |= 1 << (n % 8);
        bytes[(n as usize / 2048) % 32] ^= 1 << (n / 256 % 8);
        bytes[31] ^= (n >> 16) as u8;
        bytes
    }),
    ("all bytes equal, any length", |n| vec![n as u8; 1 + (n as usize / 256) % 32]),
    ("short", |n| n.to_le_bytes()[..3].to_vec()),
];

fn ids_of(kind: fn(u64) -> Vec<u8>) -> Result<Vec<SessionId>> {
    (0..IDS).map(|n| Ok(SessionId::try_from(&kind(n)[..])?)).collect()
}

fn random_ids(seed: u64) -> Vec<SessionId> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut one = || {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        SessionId::from(bytes)
    };
    (0..IDS).map(|_| one()).collect()
}

pub(crate) fn run(_time: Duration, figures: &mut Figures) -> Result<()> {
    figures.faults.push(alike()?);
    figures.faults.push(one_id()?);
    Ok(())
}

/// A cache to which these sessions were added.
fn full_of(ids: &[SessionId]) -> Result<SessionCache<u64>> {
    let cache = SessionCache::new(CAPACITY)?;
    ids.iter().for_each(|id| drop(cache.add(Session::new(*id, 0))));
    Ok(cache)
}

fn alike() -> Result<Outcome> {
    let mut outcome = Outcome::new("flood: ids that are alike");
    for (name, kind) in KINDS {
        let (alike, random) = (ids_of(kind)?, random_ids(2));
        let distinct = alike.iter().collect::<HashSet<_>>().len();
        let mut ratios = [0.0; 2];
        outcome.attempt(format_args!("misses, {name}"), || {
            let cache = full_of(&random_ids(1)[..CAPACITY])?;
            let get = |id: &SessionId| drop(black_box(cache.get(black_box(id))));
            ratios[0] = least_of_three(|| ratio_of_p99(&alike, &random, get))?;
            ensure_ratio(ratios[0])
        });
        outcome.attempt(format_args!("adds, {name}"), || {
            let cache = full_of(&alike)?;
            ensure_whole(&cache)?;
            let expected = distinct.min(CAPACITY) * 995 / 1000;
            ensure!(
                cache.len() >= expected,
                "{} of {} stored",
                cache.len(),
                distinct.min(CAPACITY)
            );
            // What of a cache full of random ids is found as fast as what of one full of these?
            let other = full_of(&random)?;
            let get_alike = |id: &SessionId| drop(black_box(cache.get(black_box(id))));
            let get_other = |id: &SessionId| drop(black_box(other.get(black_box(id))));
            let newest = alike.len() - CAPACITY;
            let (alike, random) = (&alike[newest..], &random[newest..]);
            ratios[1] = least_of_three(|| ratio_between(alike, get_alike, random, get_other))?;
            ensure_ratio(ratios[1])
        });
        outcome.note(format!(
            "{name} ({distinct} ids): p99 of get {:.2} times that of random ids as misses, {:.2} as hits",
            ratios[0], ratios[1]
        ));
    }
    Ok(outcome)
}

/// Measures again what is too large: a flood that works is slow each time, other work on the
/// machine now and then.
fn least_of_three(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        least = least.min(measure()?);
        if least <= RATIO_MAX {
            break;
        }
    }
    Ok(least)
}

fn ensure_ratio(ratio: f64) -> Result<()> {
    ensure!(ratio <= RATIO_MAX, "p99 is {ratio:.2} times that of random ids");
    Ok(())
}

/// One id in a thousand contexts, in a cache full of other sessions.
fn one_id() -> Result<Outcome> {
    let mut outcome = Outcome::new("flood: one id, many contexts");
    let context = |n: u64| {
        let mut bytes = [0x55; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Context::from_bytes(bytes)
    };
    let wall = SessionId::from([0x77; 32]);
    for stored in [CAPACITY / 2, CAPACITY] {
        outcome.attempt(format_args!("beside {stored} others"), || {
            let others = random_ids(1);
            let cache = full_of(&others[..CAPACITY])?;
            others[stored..CAPACITY].iter().for_each(|id| _ = cache.remove_id(id));
            let found =
                || others[..stored].iter().filter(|id| cache.read(id, |_| ()).is_some()).count();
            let before = found();
            for n in 0..1000 {
                drop(cache.add(Session::<u64>::builder(wall).context(context(n)).build(n)));
                let same =
                    (0..=n).rev().take(30).filter(|&n| cache.view(context(n)).get(&wall).is_some());
                ensure!((1..=SET).contains(&same.count()), "after {n} contexts");
            }
            let walls = cache.iter().filter(|one| one.id() == wall).count();
            ensure!((1..=SET).contains(&walls), "{walls} sessions with one id");
            let lost = before - found();
            // In a full cache each of the fourteen needs somebody's permit, wherever it is stored.
            ensure!(lost <= 2 * SET, "{lost} of the others' sessions are lost");
            ensure_whole(&cache)
        });
    }
    let (mut ratio, mut hot_ratio) = (0.0, 0.0);
    outcome.attempt("lookups in the wrong context", || {
        let cache = full_of(&random_ids(1)[..CAPACITY])?;
        for n in 0..1000 {
            drop(cache.add(Session::<u64>::builder(wall).context(context(n)).build(n)));
        }
        let absent = random_ids(3);
        let walls = vec![wall; absent.len()];
        let get = |id: &SessionId| drop(black_box(cache.get(black_box(id))));
        ratio = least_of_three(|| {
            let before = cache.stats().context_misses;
            let ratio = ratio_of_p99(&walls, &absent, get)?;
            ensure!(
                cache.stats().context_misses - before == (ROUNDS * CALLS_PER_ROUND) as u64,
                "not all met the wall"
            );
            Ok(ratio)
        })?;
        // The same again beside one absent id over and over, whose set is in the processor's cache
        // as the wall's is.
        let hot = vec![absent[0]; absent.len()];
        hot_ratio = ratio_of_p99(&walls, &hot, get)?;
        ensure_ratio(ratio)
    });
    outcome.note(format!(
        "p99 of a lookup that meets fourteen: {ratio:.2} times that of random misses, {hot_ratio:.2} of one miss repeated"
    ));
    Ok(outcome)
}

fn ratio_of_p99(
    flood: &[SessionId],
    usual: &[SessionId],
    call: impl Fn(&SessionId),
) -> Result<f64> {
    ratio_between(flood, &call, usual, &call)
}

/// The median, over rounds in turns, of the p99 of one call divided by that of another.
fn ratio_between(
    flood: &[SessionId],
    with_flood: impl Fn(&SessionId),
    usual: &[SessionId],
    with_usual: impl Fn(&SessionId),
) -> Result<f64> {
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let (at, other) = (part(flood, round), part(usual, round));
        // Who goes first has the colder caches.
        let (of_flood, of_usual) = if round % 2 == 0 {
            let first = p99_nanoseconds(at, &with_flood)?;
            (first, p99_nanoseconds(other, &with_usual)?)
        } else {
            let first = p99_nanoseconds(other, &with_usual)?;
            (p99_nanoseconds(at, &with_flood)?, first)
        };
        ratios.push(of_flood as f64 / of_usual.max(1) as f64);
    }
    Ok(median(ratios))
}

/// The ids of one round, in a circle.
fn part(ids: &[SessionId], round: usize) -> impl Iterator<Item = &SessionId> {
    ids.iter().cycle().skip(round * CALLS_PER_ROUND % ids.len()).take(CALLS_PER_ROUND)
}

fn p99_nanoseconds<'i>(
    ids: impl Iterator<Item = &'i SessionId>,
    call: impl Fn(&SessionId),
) -> Result<u64> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for id in ids {
        let start = Instant::now();
        call(id);
        histogram.record(start.elapsed().as_nanos() as u64)?;
    }
    Ok(histogram.value_at_quantile(0.99))
}

#[cfg(test)]
mod tests {
    use super::{IDS, KINDS, RATIO_MAX, ids_of, random_ids, ratio_between, ratio_of_p99};
    use sessile::SessionId;
    use std::collections::HashSet;
    use std::hint::black_box;

    fn work(rounds: u32) -> impl Fn(&SessionId) {
        move |id| {
            for n in 0..rounds {
                black_box((id, n));
            }
        }
    }

    #[test]
    fn a_slower_flood_is_seen() {
        let ids = random_ids(1);
        assert!(ratio_between(&ids, work(2_000), &ids, work(200)).unwrap() > RATIO_MAX);
        assert!(ratio_of_p99(&ids, &ids, work(2000)).unwrap() < RATIO_MAX);
    }

    #[test]
    fn kinds_are_floods() {
        for (name, kind) in KINDS {
            let distinct = ids_of(kind).unwrap().into_iter().collect::<HashSet<_>>().len() as u64;
            assert!((8000..=IDS).contains(&distinct), "{name}: {distinct}");
        }
    }
}
