//! Where the weight binds: the order is as good as by count, and so is the time, however few
//! sessions the bytes allow.

use sessile::{Session, SessionCache};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use testkit::{Rng, assert_whole, id, scaled, store};

const KIB: u64 = 1 << 10;
/// What sessions weigh on average.
const MEAN: u64 = 65 * KIB / 2;

/// A session that weighs 1 to 64 KiB, by its number.
fn weight_of(n: u64) -> u64 {
    (1 + Rng::with_seed(!n).u64(..64)) * KIB
}

fn weighed(capacity: usize, max_weight: u64) -> SessionCache<u64> {
    let builder = SessionCache::builder()
        .capacity(capacity)
        .weigher(|one: &Session<u64>| weight_of(**one) as usize);
    builder.max_weight(max_weight as usize).build().unwrap()
}

fn add(cache: &SessionCache<u64>, n: u64) {
    store(cache, Session::new(id(n), n));
}

/// A list by bytes, exact: the least recently used goes.
struct Exact {
    places: HashMap<u64, u64>,
    order: BTreeMap<u64, u64>,
    moments: u64,
    room: u64,
    capacity: usize,
}

impl Exact {
    fn new(capacity: usize, max_weight: u64) -> Self {
        Self {
            places: HashMap::new(),
            order: BTreeMap::new(),
            moments: 0,
            room: max_weight,
            capacity,
        }
    }

    fn place(&mut self, n: u64) {
        self.moments += 1;
        self.places.insert(n, self.moments);
        self.order.insert(self.moments, n);
    }

    fn remove(&mut self, n: u64) -> bool {
        let place = self.places.remove(&n);
        place.is_some_and(|place| self.order.remove(&place).is_some())
    }

    fn add(&mut self, n: u64) {
        while self.room < weight_of(n) || self.places.len() == self.capacity {
            let (_, oldest) = self.order.pop_first().expect("what is stored fills the room");
            self.places.remove(&oldest);
            self.room += weight_of(oldest);
        }
        self.room -= weight_of(n);
        self.place(n);
    }

    fn get(&mut self, n: u64) -> bool {
        let is_there = self.remove(n);
        if is_there {
            self.place(n);
        }
        is_there
    }

    fn take(&mut self, n: u64) -> bool {
        let is_there = self.remove(n);
        if is_there {
            self.room += weight_of(n);
        }
        is_there
    }
}

/// Hits of the cache and of the exact list. Each client gets a session and comes back once, with
/// `single_use` to take it, else to use it and come again; most soon, some late.
fn hits(cache: &SessionCache<u64>, max_weight: u64, single_use: bool, adds: u64) -> (u64, u64) {
    let fit = max_weight / MEAN;
    let mut exact = Exact::new(cache.capacity(), max_weight);
    let mut random = Rng::with_seed(fit);
    let mut due: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let (mut seen, mut expected) = (0, 0);
    for n in 0..adds {
        add(cache, n);
        exact.add(n);
        // Half of those with a session for one use never come back.
        let uses = if single_use { n % 2 } else { 3 };
        let mut when = n;
        for _ in 0..uses {
            // Exponential, about as long as the cache holds a session.
            let mean = if single_use { 1.5 } else { 0.7 };
            let uniform = (random.u64(..1 << 20) + 1) as f64 / (1u64 << 20) as f64;
            when += (-uniform.ln() * fit as f64 * mean) as u64;
            due.entry(when).or_default().push(n);
        }
        for back in due.remove(&n).unwrap_or_default() {
            if single_use {
                seen += u64::from(cache.take(&id(back)).is_some());
                expected += u64::from(exact.take(back));
            } else {
                seen += u64::from(cache.get(&id(back)).is_some());
                expected += u64::from(exact.get(back));
            }
        }
    }
    (seen, expected)
}

/// The hit ratio beside that of an exact list by bytes, in percent.
fn share_of_exact(fit: u64, slots_for: u64, single_use: bool, adds: u64) -> f64 {
    let cache = weighed((fit * slots_for) as usize, fit * MEAN);
    let (seen, expected) = hits(&cache, fit * MEAN, single_use, adds);
    assert_whole(&cache);
    100.0 * seen as f64 / expected as f64
}

#[test]
fn the_order_is_nearly_that_of_an_exact_list_by_bytes() {
    for (fit, slots_for) in [(8, 1000), (100, 1), (100, 10), (100, 1000), (2000, 10)] {
        for single_use in [true, false] {
            // Enough of them that chance takes no part.
            let adds = (fit * scaled(40, 10)).max(4000);
            let share = share_of_exact(fit, slots_for, single_use, adds);
            assert!(
                share >= 95.0,
                "{share} % of the hits: {fit} in a cache for {slots_for} times as many"
            );
        }
    }
}

#[test]
#[ignore = "minutes: figures for the documents"]
fn shares_of_the_hits_of_an_exact_list() {
    for fit in [2, 8, 30, 100, 1000, 20_000] {
        for slots_for in [1, 10, 1000] {
            let share = |single_use| share_of_exact(fit, slots_for, single_use, fit * 40 + 4000);
            println!(
                "{fit:6} fit, capacity x {slots_for:4}: single use {:.1} %, reused {:.1} %",
                share(true),
                share(false)
            );
        }
    }
}

/// The median and the longest of the adds to a cache that is full, the longest as the least of
/// several rounds.
fn times(cache: &SessionCache<u64>, fit: u64) -> (Duration, Duration) {
    let mut next = 0;
    let mut lap = |adds: u64| -> Vec<Duration> {
        let one = |n: u64| {
            let session = Session::new(id(n), n);
            let start = Instant::now();
            store(cache, session);
            start.elapsed()
        };
        let mut times: Vec<_> = (next..next + adds).map(one).collect();
        next += adds;
        times.sort_unstable();
        times
    };
    lap(fit * 4 + 10_000);
    let laps: Vec<_> = (0..9).map(|_| lap(4_000)).collect();
    let median = laps.iter().map(|lap| lap[lap.len() / 2]).min().unwrap();
    (median, laps.iter().map(|lap| lap[lap.len() - 1]).min().unwrap())
}

#[test]
#[ignore = "times: of a release build on a quiet machine"]
fn an_add_takes_as_long_as_by_count() {
    for fit in [2, 100, 2000, 20_000] {
        let by_count = times(&SessionCache::new(fit as usize).unwrap(), fit);
        println!("{fit:6} by count: median {:?}, longest {:?}", by_count.0, by_count.1);
        for slots_for in [1, 10, 1000] {
            let even = SessionCache::builder()
                .capacity((fit * slots_for) as usize)
                .weigher(|_: &Session<u64>| 1 << 10);
            let even = times(&even.max_weight((fit as usize) << 10).build().unwrap(), fit);
            let mixed = times(&weighed((fit * slots_for) as usize, fit * MEAN), fit);
            println!("   capacity x {slots_for:4}: one weight {even:?}, 1 to 64 KiB {mixed:?}");
        }
    }
}
