//! Write-behind and read-through without failures.

use std::time::{Duration, Instant};

use sessile::{Context, Protocol, Source};
use sessile_redis::hello::Offer;
use sessile_redis::{KeyRing, SealingKey};

use crate::node::{Node, SOON, id, ring, session, wait};
use crate::server::Server;

const ONCE: Protocol = Protocol::TLS1_3;
const MANY: Protocol = Protocol::TLS1_2;

#[test]
fn what_the_cache_holds_is_written_and_what_it_loses_is_deleted() {
    let Some(server) = Server::start(&[]) else { return };
    let node = Node::new(&server);
    (0..100).for_each(|number| node.add(number, ONCE));
    (100..200).for_each(|number| node.add(number, MANY));
    node.settle();
    assert_eq!((server.len(), node.tier.stats().written), (200, 200));
    (0..100).for_each(|number| assert!(node.take(number)));
    node.cache.clear();
    node.settle();
    assert_eq!((server.len(), node.tier.stats().deleted), (0, 200));
}

#[test]
fn a_value_lives_as_long_as_its_session_and_says_nothing() {
    let Some(server) = Server::start(&[]) else { return };
    let node = Node::new(&server);
    node.cache.set_timeout(Duration::from_secs(100));
    let begun = Instant::now();
    node.add(1, ONCE);
    node.settle();
    let (name, value) = server.contents().pop().unwrap();
    let ttl: u64 = redis::cmd("TTL").arg(&name).query(&mut server.connection()).unwrap();
    assert!(ttl <= 101 && ttl + begun.elapsed().as_secs() >= 98, "{ttl}");
    let secret = 1u64.to_be_bytes();
    assert!(!value.windows(secret.len()).any(|part| part == secret));
}

#[test]
fn another_node_has_a_ticket_once_and_a_session_id_again_and_again() {
    let Some(server) = Server::start(&[]) else { return };
    let (one, other, third) = (Node::new(&server), Node::new(&server), Node::new(&server));
    one.add(1, ONCE);
    one.add(2, MANY);
    one.settle();
    assert!(!other.take(1), "a lookup asks memory only");
    assert!(other.fetch(1) && !third.fetch(1));
    assert!(other.take(1) && !other.take(1));
    for node in [&other, &third] {
        assert!(node.fetch_old(2));
        assert!(node.get(2) && node.get(2));
        assert_eq!(node.cache.len(), 1, "kept");
    }
    assert_eq!(other.cache.stats().tier_hits, 2);
    assert!(one.take(1), "relaxed: the node that made it, and one other");
}

#[test]
fn a_fetched_session_comes_from_the_tier() {
    let Some(server) = Server::start(&[]) else { return };
    let (one, other) = (Node::new(&server), Node::new(&server));
    one.add(1, ONCE);
    one.settle();
    assert!(other.fetch(1));
    let view = other.cache.view(Context::NONE).protocol(ONCE);
    assert_eq!(view.take_if(&id(1), |_| true).unwrap().1, Source::Tier);
}

#[test]
fn strict_has_one_taker_over_all_nodes() {
    let Some(server) = Server::start(&[]) else { return };
    let nodes = [0, 1].map(|_| Node::with(&server, 1000, |tier| tier.strict(true)));
    let [one, other] = &nodes;
    for number in 0..100 {
        one.add(number, ONCE);
    }
    one.settle();
    assert_eq!((one.cache.len(), server.len(), one.tier.stats().moved), (0, 100, 100));
    for number in 0..100 {
        let takers = std::thread::scope(|scope| {
            let threads = [one, other, one, other].map(|node| {
                scope.spawn(move || {
                    node.fetch(number);
                    usize::from(node.take(number))
                })
            });
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(takers, 1, "{number}");
    }
    one.settle();
    other.settle();
    assert_eq!(server.len(), 0);
}

#[test]
fn a_strict_node_fetches_what_it_made() {
    let Some(server) = Server::start(&[]) else { return };
    let node = Node::with(&server, 100, |tier| tier.strict(true));
    node.add(1, ONCE);
    node.settle();
    assert!(!node.take(1) && node.fetch(1) && node.take(1));
    assert!(!node.fetch(1) && !node.take(1));
}

#[test]
fn a_tls12_id_offered_as_a_ticket_deletes_nothing() {
    let Some(server) = Server::start(&[]) else { return };
    let (one, other) = (Node::new(&server), Node::new(&server));
    one.add(1, MANY);
    one.settle();
    assert!(!other.fetch(1));
    assert!(other.fetch_old(1));
}

#[test]
fn what_was_removed_here_is_not_fetched_before_the_tier_has_deleted_it() {
    let Some(server) = Server::start(&[]) else { return };
    let node = Node::new(&server);
    node.add(1, ONCE);
    node.settle();
    server.signal("STOP");
    assert!(node.take(1));
    assert!(!node.fetch_within(1, Duration::from_millis(50)));
    assert_eq!(node.tier.stats().withheld, 1);
    server.signal("CONT");
    node.wait_until_up();
    node.settle();
    assert_eq!(server.len(), 0);
    assert!(!node.fetch(1));
}

#[test]
fn what_was_evicted_here_is_fetched_again() {
    let Some(server) = Server::start(&[]) else { return };
    let node = Node::with(&server, 10, |tier| tier);
    for number in 0..30 {
        node.add(number, ONCE);
        node.settle();
    }
    assert_eq!((node.cache.len(), server.len()), (10, 30), "an eviction deletes nothing");
    assert!(node.fetch(0) && node.take(0) && !node.take(0) && !node.fetch(0));
}

#[test]
fn a_removal_of_what_only_the_tier_has_reaches_it() {
    let Some(server) = Server::start(&[]) else { return };
    let (one, other) = (Node::new(&server), Node::new(&server));
    one.add(1, MANY);
    one.add(2, ONCE);
    one.settle();
    let view = |protocol| other.cache.view(Context::NONE).protocol(protocol);
    view(MANY).remove_id(&id(1));
    view(ONCE).remove_id(&id(2));
    other.settle();
    assert_eq!(server.len(), 0);
}

#[test]
fn a_removal_of_a_copy_reaches_the_tier() {
    let Some(server) = Server::start(&[]) else { return };
    let (one, other) = (Node::new(&server), Node::new(&server));
    one.add(1, MANY);
    one.settle();
    assert!(other.fetch_old(1) && other.get(1));
    other.cache.view(Context::NONE).protocol(MANY).remove_id(&id(1));
    assert!(!other.get(1), "also not what was fetched for the next lookup");
    other.settle();
    assert_eq!(server.len(), 0);
}

#[test]
fn a_lookup_waits_if_the_program_says_so() {
    let Some(server) = Server::start(&[]) else { return };
    let one = Node::new(&server);
    let other = Node::with(&server, 100, |tier| tier.wait_on_miss(SOON));
    one.add(1, ONCE);
    one.settle();
    assert!(other.take(1) && !other.take(1));
}

#[test]
fn what_no_handshake_asked_for_goes_back() {
    let Some(server) = Server::start(&[]) else { return };
    let other = Node::with(&server, 100, |tier| tier.arrival_timeout(Duration::from_millis(50)));
    let one = Node::new(&server);
    one.add(1, ONCE);
    one.settle();
    assert!(other.fetch(1));
    wait("it goes back", || other.tier.stats().given_back == 1);
    assert_eq!(server.len(), 1);
    let calls = ["getdel", "set"].map(|command| server.calls(command));
    assert_eq!(calls, [1, 2], "it had left the server");
    assert!(!other.take(1));
    // On a busy machine it can go back between the two.
    wait("it is taken", || other.fetch(1) && other.take(1));
}

#[test]
fn one_key_is_asked_once_and_an_absent_one_not_again() {
    let Some(server) = Server::start(&[]) else { return };
    let one = Node::new(&server);
    let other = Node::with(&server, 100, |tier| tier.negative_timeout(SOON));
    one.add(1, MANY);
    one.settle();
    server.signal("STOP");
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| other.fetch_old(1))).collect();
        wait("the others have joined", || other.tier.stats().joined == 7);
        server.signal("CONT");
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|found| *found).count()
    });
    assert_eq!((found, other.tier.stats().asked, other.tier.stats().joined), (8, 1, 7));
    assert!(!other.fetch_old(2) && !other.fetch_old(2));
    assert_eq!((other.tier.stats().asked, other.tier.stats().known_missing), (2, 1));
}

#[test]
fn keys_rotate() {
    let Some(server) = Server::start(&[]) else { return };
    let (one, other) = (Node::new(&server), Node::new(&server));
    let next = || SealingKey::from([8; 32]);
    one.add(1, ONCE);
    one.settle();
    one.tier.set_keys(KeyRing::new(next()).and(SealingKey::from([7; 32])));
    one.add(2, ONCE);
    one.settle();
    assert!(other.fetch(1) && !other.fetch(2));
    assert_eq!(other.tier.stats().unknown_key, 1);
    other.tier.set_keys(ring().and(next()));
    one.add(3, ONCE);
    one.settle();
    assert!(other.fetch(3));
}

#[tokio::test]
async fn a_task_fetches_and_its_budget_ends() {
    let Some(server) = Server::start(&[]) else { return };
    let (one, other) = (Node::new(&server), Node::new(&server));
    one.add(1, ONCE);
    one.tier.settle().await;
    let offer = Offer { session_id: Some(id(9)), tickets: vec![id(1)] };
    assert_eq!(other.tier.prefetch_in(Context::NONE, &offer, SOON).await, 1);
    assert!(other.take(1));
    server.signal("STOP");
    // The clock of this task alone, which has nothing to do but to wait.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let offer = Offer { session_id: None, tickets: vec![id(2)] };
    let budget = Duration::from_millis(30);
    assert_eq!(other.tier.prefetch_in(Context::NONE, &offer, budget).await, 0);
    let elapsed = before.elapsed();
    assert!(elapsed >= budget && elapsed < budget * 2, "{elapsed:?}");
    server.signal("CONT");
}

#[test]
fn a_tier_that_is_dropped_leaves_the_cache_working() {
    let Some(server) = Server::start(&[]) else { return };
    let Node { cache, tier } = Node::new(&server);
    drop(tier);
    cache.add(session(1, ONCE)).unwrap();
    assert!(cache.view(Context::NONE).protocol(ONCE).take(&id(1)).is_some());
    let Node { cache, tier } = Node::new(&server);
    drop(cache);
    assert_eq!(tier.stats().pending, 0);
}

/// A deletion that waits must not hit what was added since.
#[test]
fn what_is_added_after_a_removal_stays() {
    let Some(server) = Server::start(&[]) else { return };
    let node = Node::new(&server);
    for protocol in [MANY, ONCE] {
        server.signal("STOP");
        // Something that is not answered, so that what follows waits.
        node.add(100, protocol);
        wait("it is under way", || node.tier.stats().pending == 0);
        for number in 0..10 {
            node.cache.view(Context::NONE).protocol(protocol).remove_id(&id(number));
            node.add(number, protocol);
        }
        server.signal("CONT");
        node.settle();
        let other = Node::new(&server);
        for number in 0..10 {
            let is_there =
                if protocol == MANY { other.fetch_old(number) } else { other.fetch(number) };
            assert!(is_there, "{protocol:?} {number}");
        }
    }
}
