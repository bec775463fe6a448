//! TLS 1.3: stateful tickets, each resumed at most once.

use std::sync::Barrier;
use std::thread;

use openssl::ssl::{Ssl, SslContext, SslSession, SslVersion};
use sessile::Context;
use sessile_openssl::ServerStore;

use crate::support::{Client, Link, Site, duplicate, retried_client, retrying_server};

fn server_of(store: &ServerStore) -> SslContext {
    Site::new().server(SslVersion::TLS1_3, |context| store.attach(context, Context::NONE).unwrap())
}

fn store_and_server() -> (ServerStore, SslContext) {
    let store = ServerStore::new(100).unwrap();
    let server = server_of(&store);
    (store, server)
}

#[test]
fn each_ticket_is_resumed_and_gone() {
    let (store, server) = store_and_server();
    let client = Client::new();
    assert!(!client.visit(&server, None));
    let tickets = client.sessions();
    assert_eq!((tickets.len(), store.stats().number), (2, 2));
    for ticket in &tickets {
        assert!(client.visit(&server, Some(ticket)));
    }
    let stats = store.stats();
    assert_eq!((stats.taken, stats.hits), (2, 2));
    assert_eq!(client.sessions().len(), 2, "one new ticket for each that was used");
}

#[test]
fn a_replayed_ticket_is_not_resumed() {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let ticket = client.sessions().pop().unwrap();
    let replay = duplicate(&ticket);
    assert!(client.visit(&server, Some(&ticket)));
    assert!(!client.visit(&server, Some(&replay)));
    assert_eq!((store.stats().hits, store.stats().misses), (1, 1));
}

#[test]
fn of_racing_connections_one_resumes() {
    const THREADS: usize = 4;
    let (store, server) = store_and_server();
    let client = Client::new();
    for round in 0..20 {
        client.visit(&server, None);
        let ticket = client.sessions().pop().unwrap();
        let replays: Vec<SslSession> = (0..THREADS).map(|_| duplicate(&ticket)).collect();
        let barrier = Barrier::new(THREADS);
        let resumed: usize = thread::scope(|scope| {
            let race = |replay: SslSession| {
                let (client, server, barrier) = (&client, &server, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    usize::from(client.visit(server, Some(&replay)))
                })
            };
            let threads: Vec<_> = replays.into_iter().map(race).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(resumed, 1, "round {round}");
    }
    assert_eq!(store.stats().taken, 20);
}

#[test]
fn a_reusable_store_resumes_a_ticket_again() {
    let store = ServerStore::new(100).unwrap().reusable(true);
    let server = server_of(&store);
    let client = Client::new();
    client.visit(&server, None);
    let ticket = client.sessions().pop().unwrap();
    for _ in 0..3 {
        assert!(client.visit(&server, Some(&duplicate(&ticket))));
    }
    assert_eq!(store.stats().taken, 0);
}

#[test]
fn a_hello_retry_does_not_lose_the_session() {
    let store = ServerStore::new(100).unwrap();
    let server = retrying_server(&store);
    let client = retried_client();
    client.visit(&server, None);
    let ticket = client.sessions().pop().unwrap();
    let replay = duplicate(&ticket);
    assert!(
        client.visit(&server, Some(&ticket)),
        "taken at the first ClientHello, resumed at the second"
    );
    assert!(!client.visit(&server, Some(&replay)));
    let stats = store.stats();
    assert_eq!((stats.taken, stats.hits, stats.misses), (1, 1, 2), "the replay looks twice");
}

#[test]
fn removed_expired_and_unknown_tickets_are_not_resumed() {
    let (store, server) = store_and_server();
    let client = Client::new();
    for hide in [
        |store: &ServerStore| {
            store.sessions().iter().for_each(|one| assert!(store.remove_session(one)))
        },
        |store: &ServerStore| store.sessions().iter().for_each(|one| one.set_created_at(1)),
        |store: &ServerStore| assert!(store.flush_sessions(0) > 0),
    ] {
        client.visit(&server, None);
        let ticket = client.sessions().pop().unwrap();
        hide(&store);
        assert!(!client.visit(&server, Some(&ticket)));
        client.sessions();
        store.flush_sessions(0);
    }
    assert_eq!((store.stats().taken, store.stats().timeouts), (0, 1));
}

#[test]
fn a_broken_connection_takes_its_last_ticket_with_it() {
    let (store, server) = store_and_server();
    let client = Client::new();
    let mut link = Link::new(client.ssl(None), Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    assert_eq!(store.stats().number, 2);
    drop(link);
    assert_eq!((store.stats().number, store.stats().removed), (1, 1));
}

/// Whoever saw a ticket on the wire can send it, but not prove that it is theirs.
#[test]
fn a_broken_binder_does_not_spend_the_ticket() {
    for retries in [false, true] {
        let store = ServerStore::new(100).unwrap();
        let server = retrying_server(&store);
        let groups = if retries { "X25519:P-256" } else { "P-256" };
        let client = Client::with(|context| context.set_groups_list(groups).unwrap());
        client.visit(&server, None);
        let ticket = client.sessions().pop().unwrap();
        for _ in 0..3 {
            let mut link =
                Link::new(client.ssl(Some(&duplicate(&ticket))), Ssl::new(&server).unwrap());
            if retries {
                assert!(link.client.do_handshake().is_err());
                assert!(link.server.do_handshake().is_err());
            }
            link.spoil_a_flight();
            assert_eq!(store.stats().number, 2, "it is back");
        }
        assert_eq!(store.stats().resumed, 0);
        assert!(client.visit(&server, Some(&duplicate(&ticket))));
        assert!(!client.visit(&server, Some(&ticket)), "and spent by its owner");
    }
}

/// What fails after the binder was right was the owner's own, also where a copy was resumed.
#[test]
fn a_connection_that_fails_after_it_resumed_spends_the_ticket() {
    let (store, server) = store_and_server();
    for resuming in [&server, &server_of(&store)] {
        let client = Client::new();
        client.visit(&server, None);
        let ticket = client.sessions().pop().unwrap();
        let before = store.stats().number;
        let mut link =
            Link::new(client.ssl(Some(&duplicate(&ticket))), Ssl::new(resuming).unwrap());
        assert!(link.client.do_handshake().is_err());
        assert!(link.server.do_handshake().is_err());
        link.spoil_a_flight();
        assert_eq!(store.stats().number, before - 1);
        assert!(!client.visit(resuming, Some(&ticket)));
    }
}

/// A client offers a ticket whose hash the server does not speak any more, and beside it a
/// pre-shared key that fits.
#[test]
fn a_ticket_that_is_passed_over_is_neither_spent_nor_inherited_from() {
    let (store, site) = (ServerStore::new(100).unwrap(), Site::new());
    let server_of = |suites: &str| {
        site.server(SslVersion::TLS1_3, |context| {
            context.set_ciphersuites(suites).unwrap();
            context.set_psk_server_callback(|_, identity, key| {
                let is_known = identity == Some(b"known");
                key[..32].fill(7);
                Ok(if is_known { 32 } else { 0 })
            });
            store.attach(context, Context::NONE).unwrap();
        })
    };
    let client = Client::with(|context| {
        context.set_psk_client_callback(|_, _, identity, key| {
            identity[..6].copy_from_slice(b"known\0");
            key[..32].fill(7);
            Ok(32)
        });
    });
    let (former, present) =
        (server_of("TLS_AES_256_GCM_SHA384"), server_of("TLS_AES_128_GCM_SHA256"));
    assert!(!client.visit(&former, None), "the key is of the other hash");
    let ticket = client.sessions().pop().unwrap();
    assert_eq!(store.stats().number, 2);
    assert!(client.visit(&present, Some(&duplicate(&ticket))), "by the key");
    assert_eq!(store.stats().number, 2, "what the key leads to has no place");
    assert!(client.visit(&former, Some(&ticket)));
}

/// However the store was built, a handshake of two rounds resumes what it has taken.
#[test]
fn a_hello_retry_resumes_in_a_store_on_any_cache() {
    for store in [ServerStore::new(100), ServerStore::build(sessile::SessionCache::builder())] {
        let store = store.unwrap();
        let server = retrying_server(&store);
        let client = retried_client();
        client.visit(&server, None);
        let ticket = client.sessions().pop().unwrap();
        assert!(client.visit(&server, Some(&duplicate(&ticket))));
    }
}

/// A handshake has taken the ticket and waits for the second ClientHello when the session is
/// removed.
#[test]
fn what_is_removed_during_a_handshake_does_not_come_back() {
    for (clears, fails) in [(false, false), (false, true), (true, false), (true, true)] {
        let store = ServerStore::new(100).unwrap();
        let server = retrying_server(&store);
        let client = retried_client();
        client.visit(&server, None);
        let ticket = client.sessions().pop().unwrap();
        let ids: Vec<_> = store.sessions().iter().map(sessile::Session::id).collect();
        let ssl = client.ssl(Some(&duplicate(&ticket)));
        let mut link = Link::new(ssl, Ssl::new(&server).unwrap());
        assert!(link.client.do_handshake().is_err() && link.server.do_handshake().is_err());
        assert_eq!(store.stats().number, 1, "the server waits, and has taken one of two");
        let view = store.view(Context::NONE).protocol(sessile::Protocol::TLS1_3);
        match clears {
            true => _ = store.cache().clear(),
            false => ids.iter().for_each(|id| _ = view.remove_id(id)),
        }
        if fails {
            link.spoil_a_flight();
            assert_eq!(store.stats().number, 0, "it is not given back");
            assert!(!client.visit(&server, Some(&duplicate(&ticket))));
        } else {
            link.handshake().unwrap();
            assert!(!link.server.ssl().session_reused(), "nor resumed");
        }
    }
}
