//! Tickets over several nodes: strict has one taker, relaxed one at home and one elsewhere.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;
use sessile::Protocol;

use crate::node::{Built, Node, hasty};
use crate::rounds;
use crate::server::{Server, fail_for_ever};
use crate::single_use::End;

const NODES: usize = 3;
const THREADS: usize = 2 * NODES;
const TICKETS: u64 = 30;

/// How often a ticket was taken by the node that made it, and by others.
#[derive(Default)]
struct Takers {
    home: AtomicU64,
    away: AtomicU64,
}

struct Race<'r> {
    nodes: &'r [Node],
    takers: Vec<Takers>,
    barrier: Barrier,
}

impl Race<'_> {
    fn run(nodes: &[Node], tickets: u64) -> Vec<(u64, u64)> {
        let takers = (0..tickets).map(|_| Takers::default()).collect();
        let race = Race { nodes, takers, barrier: Barrier::new(THREADS) };
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (race, firsts) = (&race, (0..tickets).step_by(TICKETS as usize));
                scope.spawn(move || firsts.for_each(|first| race.round(thread, first)));
            }
        });
        let counts = |takers: Takers| (takers.home.into_inner(), takers.away.into_inner());
        race.takers.into_iter().map(counts).collect()
    }

    fn round(&self, thread: usize, first: u64) {
        let at = thread % NODES;
        let home = |number: u64| number as usize % NODES;
        let mut tickets: Vec<u64> = (first..first + TICKETS).collect();
        if thread < NODES {
            for number in tickets.iter().filter(|number| home(**number) == at) {
                self.nodes[at].add(*number, Protocol::TLS1_3);
            }
            self.nodes[at]
                .tier
                .settle_blocking(Duration::from_millis(rand::rng().random_range(0..5)));
        }
        self.barrier.wait();
        for _ in 0..2 {
            tickets.shuffle(&mut rand::rng());
            for number in &tickets {
                if rand::rng().random() {
                    self.nodes[at].fetch_within(*number, Duration::from_millis(5));
                }
                if self.nodes[at].take(*number) {
                    let takers = &self.takers[*number as usize];
                    let taken = if home(*number) == at { &takers.home } else { &takers.away };
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.barrier.wait();
    }
}

fn nodes(server: &Server, is_strict: bool, change: fn(Built) -> Built) -> Vec<Node> {
    let node = |_| {
        Node::with(server, 1000, |tier| {
            change(tier).strict(is_strict).negative_timeout(Duration::from_millis(1))
        })
    };
    (0..NODES).map(node).collect()
}

fn check(counts: &[(u64, u64)], is_strict: bool) {
    let home = counts.iter().map(|(home, _)| home).sum::<u64>();
    let away = counts.iter().map(|(_, away)| away).sum::<u64>();
    println!("strict {is_strict}: {} tickets, {home} at home, {away} away", counts.len());
    for (number, (home, away)) in counts.iter().enumerate() {
        assert!(*home <= 1 && *away <= 1, "{number}: {home} at home, {away} away");
        assert!(!is_strict || home + away <= 1, "{number}: {home} at home, {away} away");
    }
    assert!(home > 0 && away > 0);
}

#[test]
fn tickets_keep_their_uses_over_nodes() {
    let Some(server) = Server::start(&[]) else { return };
    for is_strict in [false, true] {
        let nodes = nodes(&server, is_strict, |tier| tier);
        check(&Race::run(&nodes, rounds(6000)), is_strict);
    }
}

#[test]
fn tickets_keep_their_uses_over_nodes_beside_a_failing_server() {
    let Some(mut server) = Server::start(&[]) else { return };
    for is_strict in [false, true] {
        let (nodes, is_over) = (nodes(&server, is_strict, hasty), AtomicBool::new(false));
        let counts = std::thread::scope(|scope| {
            let (server, is_over) = (&mut server, &is_over);
            scope.spawn(move || fail_for_ever(server, is_over));
            let _end = End(is_over);
            Race::run(&nodes, rounds(6000))
        });
        check(&counts, is_strict);
    }
}
