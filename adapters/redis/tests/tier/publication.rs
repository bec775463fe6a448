//! Sessions that other nodes published: held before their client comes, ended when they are
//! removed anywhere, and never a second right to a ticket.

use std::time::Duration;

use sessile::{Context, Mode, Protocol, Source};

use crate::node::{Built, Node, SOON, id, session, wait};
use crate::server::Server;

const ONCE: Protocol = Protocol::TLS1_3;
const MANY: Protocol = Protocol::TLS1_2;

fn published(tier: Built) -> Built {
    tier.publish(true)
}

fn nodes(server: &Server) -> [Node; 3] {
    let nodes = [0; 3].map(|_| Node::with(server, 1000, published));
    wait("all listen", || nodes.iter().all(|node| node.tier.stats().is_listening));
    nodes
}

#[test]
fn peers_hold_a_session_before_its_client_comes() {
    let Some(mut server) = Server::start(&[]) else { return };
    let nodes = nodes(&server);
    (0..100).for_each(|number| nodes[0].add(number, MANY));
    wait("they came", || nodes[1..].iter().all(|node| node.cache.len() == 100));
    nodes[0].settle();
    server.kill();
    for node in &nodes {
        assert!((0..100).all(|number| node.get(number)), "without a tier");
        assert_eq!(node.tier.stats().asked, 0);
    }
    let view = nodes[1].cache.view(Context::NONE).protocol(MANY);
    let (_, source) = view.get_if(&id(1), |_| true).unwrap();
    assert_eq!(source, Source::Tier, "no early data");
    assert_eq!(nodes[0].tier.stats().published, 100);
    assert_eq!(nodes[0].tier.stats().received, 0, "its own");
}

#[test]
fn a_session_that_is_removed_anywhere_is_removed_everywhere() {
    let Some(server) = Server::start(&[]) else { return };
    let nodes = nodes(&server);
    (0..3).for_each(|number| nodes[0].add(number, MANY));
    wait("they came", || nodes.iter().all(|node| node.cache.len() == 3));
    // By a node that received it, by the one that made it, and by one that has lost it.
    let remove =
        |node: &Node, number| node.cache.view(Context::NONE).protocol(MANY).remove_id(&id(number));
    assert!(remove(&nodes[1], 0) && remove(&nodes[0], 1));
    wait("they went", || nodes.iter().all(|node| node.cache.len() == 1));
    nodes[2].cache.set_capacity(1).unwrap();
    nodes[2].add(9, ONCE);
    assert!(!nodes[2].get(2) && !remove(&nodes[2], 2), "evicted there");
    wait("the last went", || nodes[..2].iter().all(|node| node.cache.is_empty()));
    nodes.iter().for_each(Node::settle);
    assert_eq!(server.len(), 1, "the ticket");
    assert!(nodes.iter().all(|node| !node.fetch_old(2)));
}

#[test]
fn a_ticket_is_not_published_and_has_one_taker() {
    let Some(server) = Server::start(&[]) else { return };
    let nodes = nodes(&server);
    (0..100).for_each(|number| nodes[0].add(number, ONCE));
    nodes[0].add(200, MANY);
    wait("what was published after them came", || nodes[1..].iter().all(|node| node.get(200)));
    nodes[0].settle();
    assert_eq!(nodes[0].tier.stats().published, 1);
    for number in 0..100 {
        assert!(nodes[1..].iter().all(|node| !node.take(number)), "not without the tier");
        let takers = nodes[1..].iter().filter(|node| node.fetch(number) && node.take(number));
        assert_eq!(takers.count(), 1);
    }
}

/// A removal and a publication that come from nobody who has a key.
#[test]
fn what_was_not_sealed_by_a_node_is_refused() {
    let Some(server) = Server::start(&[]) else { return };
    let nodes = nodes(&server);
    nodes[0].add(1, MANY);
    wait("it came", || nodes[1].cache.len() == 1);
    nodes[0].settle();
    let (name, value) = server.contents().pop().unwrap();
    let message = |name: &[u8], value: &[u8]| {
        let length = u16::try_from(name.len()).unwrap().to_be_bytes();
        [&[0; 8][..], &length, name, value].concat()
    };
    let mut other = name.clone();
    *other.last_mut().unwrap() ^= 1;
    let mut connection = server.connection();
    let mut say = |message: Vec<u8>| {
        let heard: i64 = redis::cmd("PUBLISH")
            .arg(b"sessile:published")
            .arg(message)
            .query(&mut connection)
            .unwrap();
        assert_eq!(heard, 3);
    };
    say(b"nonsense".to_vec());
    say(message(&other, &value));
    say(message(&other, b"garbage"));
    say(message(&name[..10], &value));
    nodes[0].add(2, MANY);
    wait("what came after them came", || nodes[1].tier.stats().received == 2);
    let stats = nodes[1].tier.stats();
    assert_eq!((stats.forged, stats.malformed, stats.received), (1, 1, 2), "{stats:?}");
}

#[test]
fn a_listener_comes_back_after_a_restart() {
    let Some(mut server) = Server::start(&[]) else { return };
    let nodes = nodes(&server);
    server.kill();
    wait("nobody listens", || nodes.iter().all(|node| !node.tier.stats().is_listening));
    nodes[0].add(1, MANY);
    server.restart();
    wait("all listen", || nodes.iter().all(|node| node.tier.stats().is_listening));
    nodes[0].wait_until_up();
    nodes[0].add(2, MANY);
    wait("the second came", || nodes[1].get(2));
    nodes[0].settle();
    // A node that has asked nothing since does not know yet that its connection is gone.
    wait("the first lies in the tier", || nodes[1].get(1) || nodes[1].fetch_old(1));
}

/// A cache whose mode stores nothing: its hooks hear nevertheless, and the tier has it all.
#[test]
fn what_a_cache_does_not_store_lies_in_the_tier() {
    let Some(server) = Server::start(&[]) else { return };
    let (node, other) = (Node::new(&server), Node::new(&server));
    node.cache.set_mode(Mode { store: false, ..Mode::default() });
    for number in 0..10 {
        assert!(node.cache.add(session(number, ONCE)).is_err());
        assert!(node.cache.add(session(100 + number, MANY)).is_err());
    }
    node.settle();
    assert_eq!((node.cache.len(), server.len()), (0, 20));
    assert_eq!(node.tier.stats().written, 20);
    for number in 0..10 {
        let at = if number < 5 { &node } else { &other };
        assert!(at.fetch(number) && at.take(number), "{number}");
        assert!(!node.fetch(number) && !other.fetch(number), "once");
        assert!(node.fetch_old(100 + number) && node.get(100 + number));
        assert!(other.fetch_old(100 + number) && other.get(100 + number));
    }
    assert_eq!(node.cache.len(), 0);
    let view = node.cache.view(Context::NONE).protocol(MANY);
    (100..110).for_each(|number| _ = view.remove_id(&id(number)));
    node.settle();
    assert_eq!(server.len(), 0);
    assert!(!node.fetch_old(100));
}

#[test]
fn callers_do_not_wait_for_a_tier_that_let_another_wait_in_vain() {
    let Some(server) = Server::start(&[]) else { return };
    let (node, other) = (Node::new(&server), Node::new(&server));
    node.add(1, MANY);
    node.settle();
    server.signal("STOP");
    assert!(!other.fetch_within(1000, Duration::from_millis(5)));
    wait("it is asked", || other.tier.stats().asked == 1);
    for number in 0..1000 {
        assert!(!other.fetch_within(number, SOON), "at once");
    }
    let stats = other.tier.stats();
    assert_eq!((stats.asked, stats.unavailable), (1, 1000), "{stats:?}");
    server.signal("CONT");
    wait("the answer has come", || other.fetch_old(1));
    // Who does not mean to wait keeps nobody from asking.
    let before = other.tier.stats();
    (2000..2100).for_each(|number| _ = other.fetch_within(number, Duration::ZERO));
    assert_eq!(other.tier.stats().unavailable, before.unavailable);
    wait("all were asked", || other.tier.stats().asked == before.asked + 100);
}
