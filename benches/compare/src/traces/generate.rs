//! Synthetic traces. Read the order of the policies from them, not the third digit.

use super::{Event, Op};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, Geometric, Zipf};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The kinds of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Zipf over eight times the capacity; one request in ten replaces a client by a new one.
    Zipf,
    /// The same with scans of twice the capacity by ids that never return.
    ZipfWithScans,
    /// Sessions: half never return, the others a geometric number of times.
    Tls12,
    /// The same among three times as many that never return.
    Tls12Flood,
    /// Two single-use tickets for each handshake; three fifths of the clients come back with one.
    Tls13,
}

impl Scenario {
    pub(crate) const ALL: [Self; 5] =
        [Self::Zipf, Self::ZipfWithScans, Self::Tls12, Self::Tls12Flood, Self::Tls13];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zipf => "trace-zipf",
            Self::ZipfWithScans => "trace-zipf-scans",
            Self::Tls12 => "trace-tls12",
            Self::Tls12Flood => "trace-tls12-flood",
            Self::Tls13 => "trace-tls13",
        }
    }

    /// About so many events for a cache of `capacity`; always the same ones.
    pub(crate) fn generate(self, capacity: usize, events: usize) -> Vec<Event> {
        let mut random = StdRng::seed_from_u64(20_480);
        match self {
            Self::Zipf => zipf(&mut random, capacity, events, usize::MAX),
            Self::ZipfWithScans => zipf(&mut random, capacity, events, 8 * capacity),
            Self::Tls12 => sessions(&mut random, capacity, events, 0),
            Self::Tls12Flood => sessions(&mut random, capacity, events, 3),
            Self::Tls13 => tickets(&mut random, capacity, events),
        }
    }
}

/// Zipf with clients that come and go, and a scan after so many requests.
fn zipf(random: &mut StdRng, capacity: usize, events: usize, scan_after: usize) -> Vec<Event> {
    const EXPONENT: f64 = 0.9;
    const TURNOVER: f64 = 0.1;
    let population = 8 * capacity;
    let ranks = Zipf::new(population as f64, EXPONENT).expect("the parameters are valid");
    let mut clients: Vec<u32> = (0..population as u32).collect();
    let mut newest = population as u32;
    let mut next = || {
        newest += 1;
        newest
    };
    let mut trace = Vec::with_capacity(events + 2 * capacity);
    let mut until_scan = scan_after;
    while trace.len() < events {
        if random.random_bool(TURNOVER) {
            clients[random.random_range(0..population)] = next();
        }
        let rank = ranks.sample(random) as usize - 1;
        trace.push(Event { op: Op::GetOrAdd, id: clients[rank] });
        until_scan -= 1;
        if until_scan == 0 {
            trace.extend((0..2 * capacity).map(|_| Event { op: Op::GetOrAdd, id: next() }));
            until_scan = scan_after;
        }
    }
    trace
}

/// When a client comes back, in clients that arrive meanwhile: soon, or after the cache has turned
/// over.
fn gap(random: &mut StdRng, capacity: usize) -> u64 {
    const SOON: f64 = 0.8;
    let mean = if random.random_bool(SOON) { 0.15 } else { 2.0 } * capacity as f64;
    let wait: f64 = Exp1.sample(random);
    (wait * mean) as u64 + 1
}

/// TLS 1.2: each client makes a session and resumes it.
fn sessions(random: &mut StdRng, capacity: usize, events: usize, one_shots: u32) -> Vec<Event> {
    const NEVER_RETURNS: f64 = 0.5;
    const MEAN_RETURNS: f64 = 4.0;
    // At least one return: the rest is geometric with a mean of one less.
    let further = Geometric::new(1.0 / MEAN_RETURNS).expect("a probability");
    let mut returns = BinaryHeap::<Reverse<(u64, u32, u64)>>::new();
    let mut trace = Vec::with_capacity(events + 64);
    let mut newest = 0;
    let mut now = 0_u64;
    while trace.len() < events {
        while let Some(&Reverse((_, id, left))) =
            returns.peek().filter(|Reverse((at, ..))| *at <= now)
        {
            returns.pop();
            trace.push(Event { op: Op::Get, id });
            if left > 0 {
                returns.push(Reverse((now + gap(random, capacity), id, left - 1)));
            }
        }
        for nth in 0..=one_shots {
            newest += 1;
            trace.push(Event { op: Op::Add, id: newest });
            if nth == one_shots && !random.random_bool(NEVER_RETURNS) {
                let left = further.sample(random);
                returns.push(Reverse((now + gap(random, capacity), newest, left)));
            }
        }
        now += 1;
    }
    trace
}

/// TLS 1.3: each handshake brings two tickets, of which one may be used once, for a handshake that
/// brings two more.
fn tickets(random: &mut StdRng, capacity: usize, events: usize) -> Vec<Event> {
    const RETURNS: f64 = 0.6;
    let mut returns = BinaryHeap::<Reverse<(u64, u32)>>::new();
    let mut trace = Vec::with_capacity(events + 64);
    let mut newest = 0;
    let mut now = 0_u64;
    while trace.len() < events {
        if let Some(&Reverse((_, id))) = returns.peek().filter(|Reverse((at, _))| *at <= now) {
            returns.pop();
            trace.push(Event { op: Op::Take, id });
        }
        for _ in 0..2 {
            newest += 1;
            trace.push(Event { op: Op::Add, id: newest });
        }
        if random.random_bool(RETURNS) {
            returns.push(Reverse((now + gap(random, capacity), newest)));
        }
        now += 1;
    }
    trace
}
