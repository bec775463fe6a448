//! A ticket is taken once on one node, whatever the tier does meanwhile.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use sessile::{Context, Protocol};
use sessile_redis::Uses;
use sessile_redis::hello::Offer;

use crate::node::{Node, id};
use crate::rounds;
use crate::server::Server;

const THREADS: u64 = 4;
const TICKETS: u64 = 50;

/// Threads race for the tickets of one round, which is more than the cache holds.
fn race(node: &Node, tickets: u64) -> (u64, u64) {
    let taken = AtomicU64::new(0);
    let takers: Vec<AtomicU64> = (0..tickets).map(|_| AtomicU64::new(0)).collect();
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (barrier, takers, taken) = (&barrier, &takers, &taken);
            scope.spawn(move || {
                for first in (0..tickets).step_by(TICKETS as usize) {
                    let round: Vec<u64> = (first..first + TICKETS).collect();
                    let own = |number: &&u64| **number % THREADS == thread;
                    round.iter().filter(own).for_each(|number| node.add(*number, Protocol::TLS1_3));
                    barrier.wait();
                    for chunk in round.chunks(10) {
                        if rand::rng().random_ratio(1, 3) {
                            let tickets = chunk.iter().map(|number| id(*number)).collect();
                            let offer = Offer { session_id: None, tickets };
                            let budget = Duration::from_millis(5);
                            node.tier.prefetch_in_blocking(Context::NONE, &offer, budget);
                        }
                        for number in chunk.iter().filter(|number| node.take(**number)) {
                            taken.fetch_add(1, Ordering::Relaxed);
                            takers[*number as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let twice = takers.iter().filter(|taker| taker.load(Ordering::Relaxed) > 1).count();
    (twice as u64, taken.into_inner())
}

fn node(server: &Server, capacity: usize, is_strict: bool) -> Node {
    Node::with(server, capacity, |tier| {
        tier.strict(is_strict).uses(|_| {
            // Between a removal and its news.
            if rand::rng().random_ratio(1, 500) {
                std::thread::sleep(Duration::from_micros(500));
            }
            Uses::Once
        })
    })
}

fn check(node: &Node, tickets: u64) {
    let (twice, taken) = race(node, tickets);
    let stats = node.tier.stats();
    println!("{taken} of {tickets} tickets taken, {twice} twice; {stats:?}");
    assert_eq!(twice, 0);
    assert!(taken > tickets / 4, "{taken} of {tickets} were taken");
    assert!(node.cache.stats().tier_hits > tickets / 1000, "some of the tier's");
}

#[test]
fn a_node_takes_a_ticket_once() {
    let Some(server) = Server::start(&[]) else { return };
    check(&node(&server, 40, false), rounds(100_000));
}

#[test]
fn a_strict_node_takes_a_ticket_once() {
    let Some(server) = Server::start(&[]) else { return };
    check(&node(&server, 40, true), rounds(20_000));
}

/// What was in the tier a moment ago is put there again, for ever.
#[test]
fn a_node_takes_a_ticket_once_from_a_tier_that_replays() {
    let Some(server) = Server::start(&[]) else { return };
    let (node, is_over) = (node(&server, 40, false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.connection();
            while !is_over.load(Ordering::Relaxed) {
                let contents = server.contents();
                std::thread::sleep(Duration::from_millis(2));
                let mut pipeline = redis::pipe();
                for (name, value) in contents {
                    pipeline.set(name, value).ignore();
                }
                pipeline.exec(&mut connection).unwrap();
            }
        });
        let end = End(&is_over);
        check(&node, rounds(20_000));
        drop(end);
    });
    assert!(node.tier.stats().withheld > 0);
}

/// Ends the other threads of a test, also one that fails.
pub(crate) struct End<'e>(pub(crate) &'e AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The server is killed, stopped, emptied and filled while threads race.
#[test]
fn a_node_takes_a_ticket_once_beside_a_failing_server() {
    let Some(mut server) = Server::start(&[]) else { return };
    let (node, is_over) = (node(&server, 40, false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (server, is_over) = (&mut server, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                match rand::rng().random_range(0..3) {
                    0 => {
                        server.kill();
                        std::thread::sleep(Duration::from_millis(50));
                        server.restart();
                    }
                    1 => {
                        server.signal("STOP");
                        std::thread::sleep(Duration::from_millis(300));
                        server.signal("CONT");
                    }
                    _ => redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap(),
                }
            }
        });
        let end = End(is_over);
        let (twice, taken) = race(&node, rounds(50_000));
        drop(end);
        println!("{taken} taken, {twice} twice; {:?}", node.tier.stats());
        assert_eq!(twice, 0);
        assert!(node.tier.stats().reconnects > 1);
    });
    node.wait_until_up();
    node.settle();
}
