//! At quiescence the tier is as the cache is, whatever the order of the hooks' calls.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use sessile::{Added, Context, Protocol, Secret, Session, Timestamp};
use sessile_redis::Uses;

use crate::node::{Built, Node, id, ring};
use crate::rounds;
use crate::server::Server;

const THREADS: u64 = 3;
const OPERATIONS: usize = 40;
/// So few that all threads meet at each.
const IDS: u64 = 6;

/// Payloads, each of which was stored once, that left the cache by an operation that ends them.
type Ended = Mutex<HashSet<Vec<u8>>>;

/// A tier whose hooks fall asleep between what happened and the news of it.
fn sleepy(tier: Built) -> Built {
    tier.uses(|session| {
        if rand::rng().random_ratio(1, 40) {
            std::thread::sleep(Duration::from_micros(rand::rng().random_range(1..400)));
        }
        if session.protocol() == Protocol::TLS1_2 { Uses::Many } else { Uses::Once }
    })
}

fn operate(node: &Node, random: &mut StdRng, stored: &AtomicU64, ended: &Ended) {
    let (number, is_old) = (random.random_range(0..IDS), random.random());
    let protocol = if is_old { Protocol::TLS1_2 } else { Protocol::TLS1_3 };
    let view = node.cache.view(Context::NONE).protocol(protocol);
    let end = |session: &Session<Secret>| _ = ended.lock().unwrap().insert(session.to_vec());
    match random.random_range(0..10) {
        0..5 => {
            let payload = stored.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let builder = Session::<Secret>::builder(id(number)).protocol(protocol);
            if let Ok(Added::Replaced(old)) = view.add(builder.build(Secret::from(&payload[..]))) {
                end(&old);
            }
        }
        5..8 => view.take(&id(number)).iter().for_each(end),
        8 => {
            let session = view.peek(&id(number));
            session.iter().filter(|session| view.remove(session)).for_each(end);
        }
        _ => _ = view.get(&id(number)),
    }
}

/// What is stored, by id and protocol.
type Stored = HashMap<(Vec<u8>, u16), Vec<u8>>;

fn in_tier(server: &Server, prefix: &str) -> Stored {
    let key = |session: &Session<Secret>| (session.id().as_bytes().to_vec(), session.protocol().0);
    let open = |(name, value): (Vec<u8>, Vec<u8>)| {
        let now = Timestamp::from(std::time::SystemTime::now());
        let opened = ring().open_session::<Secret>(&name, &value, now, Duration::from_secs(2));
        let session = opened.unwrap();
        name.starts_with(prefix.as_bytes()).then(|| (key(&session), session.to_vec()))
    };
    server.contents().into_iter().filter_map(open).collect()
}

fn in_cache(node: &Node) -> Stored {
    let one = |session: Session<Secret>| {
        ((session.id().as_bytes().to_vec(), session.protocol().0), session.to_vec())
    };
    node.cache.iter().map(one).collect()
}

fn run(server: &Server, number: u64, capacity: usize, queue: usize) {
    let prefix = format!("{number}:");
    let node =
        Node::with(server, capacity, |tier| sleepy(tier).prefix(prefix.as_bytes()).queue(queue));
    let (stored, ended) = (AtomicU64::new(0), Ended::default());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (node, stored, ended) = (&node, &stored, &ended);
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(number * THREADS + thread);
                for _ in 0..OPERATIONS {
                    operate(node, &mut random, stored, ended);
                }
            });
        }
    });
    node.settle();
    let (tier, cache, ended) = (in_tier(server, &prefix), in_cache(&node), ended.into_inner());
    for (key, payload) in &cache {
        assert_eq!(tier.get(key), Some(payload), "run {number}, {:?}", node.tier.stats());
    }
    let ended = ended.unwrap();
    for (key, payload) in tier.iter().filter(|(key, _)| !cache.contains_key(*key)) {
        let is_evicted = capacity < usize::try_from(2 * IDS).unwrap();
        assert!(is_evicted && !ended.contains(payload), "run {number}: {key:?} is left");
    }
    redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap();
}

#[test]
fn a_tier_ends_as_its_cache_ends() {
    let Some(server) = Server::start(&[]) else { return };
    let seed = rand::rng().next_u64() >> 32;
    println!("seed {seed}");
    for number in 0..rounds(1000) {
        // Without and with evictions, without and with a queue that overflows.
        let capacity = if number % 2 == 0 { 100 } else { 8 };
        let queue = if number % 4 < 2 { 1000 } else { 3 };
        run(&server, seed + number, capacity, queue);
    }
}
