//! A ticket is taken once on one node, whatever the tier does meanwhile.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;
use sessile::Protocol;
use sessile_redis::Uses;

use crate::node::{Built, Node, SOON, hasty, wait};
use crate::rounds;
use crate::server::{Server, fail_for_ever};

const THREADS: usize = 4;
const TICKETS: usize = 50;

/// A race for tickets in rounds, of more tickets than the cache holds.
struct Race<'r> {
    node: &'r Node,
    /// How long a fetch waits at most.
    budget: Duration,
    takers: Vec<AtomicU64>,
    barrier: Barrier,
}

impl Race<'_> {
    /// How many tickets were taken twice, and how many at all.
    fn run(node: &Node, budget: Duration, tickets: u64) -> (usize, usize) {
        let takers = (0..tickets).map(|_| AtomicU64::new(0)).collect();
        let race = Race { node, budget, takers, barrier: Barrier::new(THREADS) };
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let race = &race;
                scope.spawn(move || {
                    (0..tickets).step_by(TICKETS).for_each(|first| race.round(thread, first));
                });
            }
        });
        let taken = |least: u64| {
            race.takers.iter().filter(|takers| takers.load(Ordering::Relaxed) >= least).count()
        };
        (taken(2), taken(1))
    }

    fn round(&self, thread: usize, first: u64) {
        let mut tickets: Vec<u64> = (first..first + TICKETS as u64).collect();
        for number in tickets.iter().skip(thread).step_by(THREADS) {
            self.node.add(*number, Protocol::TLS1_3);
        }
        self.barrier.wait();
        // Else the races are with sessions that are not written yet.
        let is_written = first / TICKETS as u64 % 4 == 0;
        if is_written && thread == 0 {
            self.node.tier.settle_blocking(Duration::from_millis(100));
        }
        self.barrier.wait();
        for _ in 0..if is_written { 2 } else { 1 } {
            tickets.shuffle(&mut rand::rng());
            tickets.iter().for_each(|number| self.try_to_take(*number));
            self.barrier.wait();
        }
    }

    fn try_to_take(&self, number: u64) {
        if rand::rng().random_ratio(1, 5) {
            self.node.fetch_within(number, self.budget);
        }
        if self.node.take(number) {
            self.takers[number as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn node(server: &Server, change: impl FnOnce(Built) -> Built) -> Node {
    Node::with(server, 40, |tier| {
        change(tier).negative_timeout(Duration::from_millis(1)).uses(|_| {
            // Between a removal and its news.
            if rand::rng().random_ratio(1, 50) {
                std::thread::sleep(Duration::from_micros(300));
            }
            Uses::Once
        })
    })
}

fn check(node: &Node, tickets: u64) {
    let (twice, taken) = Race::run(node, SOON, tickets);
    let hits = node.cache.stats().tier_hits;
    println!("{taken} of {tickets} taken, {hits} from the tier, {twice} twice");
    println!("{:?}", node.tier.stats());
    assert_eq!(twice, 0);
    assert!(taken > 0 && hits > 0, "what was to be raced for was there");
}

#[test]
fn a_node_takes_a_ticket_once() {
    let Some(server) = Server::start(&[]) else { return };
    check(&node(&server, |tier| tier), rounds(100_000));
}

#[test]
fn a_strict_node_takes_a_ticket_once() {
    let Some(server) = Server::start(&[]) else { return };
    check(&node(&server, |tier| tier.strict(true)), rounds(20_000));
}

/// What was in the tier a moment ago is put there again, for ever.
#[test]
fn a_node_takes_a_ticket_once_from_a_tier_that_replays() {
    let Some(server) = Server::start(&[]) else { return };
    let (node, is_over) = (node(&server, |tier| tier), AtomicBool::new(false));
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
                if !pipeline.is_empty() {
                    pipeline.exec(&mut connection).unwrap();
                }
            }
        });
        let end = End(&is_over);
        // Until a deletion was asked for at the moment at which it was not confirmed yet.
        for _ in 0..10 {
            check(&node, rounds(20_000));
            if node.tier.stats().withheld > 0 {
                break;
            }
        }
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
    let (node, is_over) = (node(&server, hasty), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (server, is_over) = (&mut server, &is_over);
        scope.spawn(move || fail_for_ever(server, is_over));
        let end = End(is_over);
        let (twice, taken) = Race::run(&node, Duration::from_millis(5), rounds(50_000));
        wait("the tier has lost its server", || {
            // It hears of that by what it sends.
            node.add(u64::MAX, Protocol::TLS1_3);
            let stats = node.tier.stats();
            !stats.is_up || stats.reconnects > 1
        });
        drop(end);
        println!("{taken} taken, {twice} twice; {:?}", node.tier.stats());
        assert_eq!(twice, 0);
    });
    wait("the tier has found it again", || node.tier.stats().reconnects > 1);
    node.settle();
}
