//! What a server can do to a tier: each costs hits, and nothing else.

use std::time::{Duration, Instant};

use sessile::{Context, Protocol};

use crate::node::{Node, SOON, hasty, wait};
use crate::server::Server;

const ONCE: Protocol = Protocol::TLS1_3;
const MANY: Protocol = Protocol::TLS1_2;

#[test]
fn a_killed_server_is_found_again_and_gets_what_it_missed() {
    let Some(mut server) = Server::start(&[]) else { return };
    let node = Node::new(&server);
    node.add(1, ONCE);
    node.settle();
    server.kill();
    node.add(2, ONCE); // its answer is lost
    node.add(3, MANY);
    wait("the tier is down", || !node.tier.stats().is_up);
    (10..20).for_each(|number| node.add(number, ONCE));
    assert!(node.take(1) && !node.fetch(1) && node.take(10));
    server.restart();
    node.wait_until_up();
    node.settle();
    let stats = node.tier.stats();
    assert!(stats.reconnects == 2 && stats.unanswered > 0, "{stats:?}");
    let other = Node::new(&server);
    assert!(!other.fetch(1) && !other.fetch(10), "taken");
    assert!(other.fetch(11) && other.fetch_old(3));
}

#[test]
fn a_stopped_server_delays_nobody_beyond_the_budget() {
    let Some(server) = Server::start(&[]) else { return };
    let nodes = [0; 5].map(|_| Node::new(&server));
    let loser = Node::with(&server, 100, hasty);
    server.signal("STOP");
    let mut times: Vec<_> = (0..1000)
        .map(|number| {
            elapsed(|| {
                nodes[0].add(number, ONCE);
                assert!(nodes[0].take(number));
            })
        })
        .collect();
    // A busy machine prolongs some of them; one that waited for the server would take a minute.
    times.sort_unstable();
    assert!(times[500] < Duration::from_millis(20), "{:?}", times[500]);
    let stats = nodes[0].tier.stats();
    assert!(stats.is_up && stats.unanswered == 0, "nothing has come to an end: {stats:?}");
    assert_eq!((stats.asked, stats.written, stats.deleted, stats.unavailable), (0, 0, 0, 0));

    let waits = nodes
        .iter()
        .map(|node| elapsed(|| assert!(!node.fetch_within(1000, Duration::from_millis(20)))));
    let least = waits.min().unwrap();
    assert!(least < Duration::from_millis(200), "{least:?}");
    for node in &nodes {
        assert!((1001..1020).all(|number| !node.fetch_within(number, SOON)), "at once");
        wait("the first was asked", || node.tier.stats().asked == 1);
        let stats = node.tier.stats();
        assert!(stats.is_up && stats.unavailable == 19, "{stats:?}");
    }

    loser.add(2000, ONCE);
    wait("the tier is down", || !loser.tier.stats().is_up);
    assert!(!loser.fetch_within(2001, SOON), "at once");
    let stats = loser.tier.stats();
    assert_eq!((stats.asked, stats.unavailable), (0, 1), "{stats:?}");
    server.signal("CONT");
    assert!(loser.take(2000));
    loser.wait_until_up();
    nodes.iter().chain([&loser]).for_each(Node::settle);
    assert_eq!(server.len(), 0);
}

fn elapsed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

#[test]
fn a_full_server_refuses_and_the_cache_goes_on() {
    let Some(server) = Server::start(&["--maxmemory", "2mb"]) else { return };
    for is_strict in [false, true] {
        let node = Node::with(&server, 100_000, |tier| tier.strict(is_strict));
        (0..20_000).for_each(|number| node.add(number, ONCE));
        node.settle();
        let stats = node.tier.stats();
        assert!(stats.refused_writes > 10_000, "{stats:?}");
        let taken = (0..20_000).filter(|number| node.take(*number)).count() as u64;
        assert_eq!(taken, 20_000 - stats.moved, "strict {is_strict}");
        node.settle();
        redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap();
    }
}

#[test]
fn an_emptied_server_costs_hits() {
    let Some(server) = Server::start(&[]) else { return };
    let (node, other) = (Node::new(&server), Node::new(&server));
    node.add(1, ONCE);
    node.settle();
    redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap();
    assert!(!other.fetch(1));
    assert!(node.take(1));
    node.add(2, ONCE);
    node.settle();
    assert!(other.fetch(2));
}

#[test]
fn garbage_is_refused_and_counted() {
    let Some(server) = Server::start(&[]) else { return };
    let (node, other) = (Node::new(&server), Node::new(&server));
    (1..=4).for_each(|number| node.add(number, ONCE));
    node.settle();
    let mut contents = server.contents();
    contents.sort();
    let [one, two, three, four] = contents.try_into().unwrap();
    let mut changed = two.1.clone();
    *changed.last_mut().unwrap() ^= 1;
    redis::pipe()
        .set(&one.0, b"garbage")
        .set(&two.0, changed)
        .set(&three.0, four.1)
        .cmd("DEL")
        .arg(&four.0)
        .cmd("HSET")
        .arg(&four.0)
        .arg("not")
        .arg("a string")
        .exec(&mut server.connection())
        .unwrap();
    for number in 1..=4 {
        assert!(!other.fetch(number) && !other.take(number));
        assert!(node.take(number));
    }
    let stats = other.tier.stats();
    assert_eq!((stats.malformed, stats.forged, stats.found), (1, 2, 0), "{stats:?}");
    node.settle();
}

#[test]
fn a_value_from_another_namespace_is_refused() {
    let Some(server) = Server::start(&[]) else { return };
    let node = Node::with(&server, 100, |tier| tier.prefix("a:"));
    let other = Node::with(&server, 100, |tier| tier.prefix("b:"));
    node.add(1, ONCE);
    node.settle();
    let (mut name, value) = server.contents().pop().unwrap();
    name[0] = b'b';
    redis::cmd("SET").arg(&name).arg(value).exec(&mut server.connection()).unwrap();
    assert!(!other.fetch(1));
    assert_eq!(other.tier.stats().forged, 1);
}

#[test]
fn a_revoked_context_takes_nothing_older_from_the_tier() {
    let Some(server) = Server::start(&[]) else { return };
    let (node, other) = (Node::new(&server), Node::new(&server));
    node.add(1, MANY);
    node.settle();
    other.cache.revoke(Context::NONE);
    assert!(other.fetch_old(1));
    assert!(!other.get(1));
}
