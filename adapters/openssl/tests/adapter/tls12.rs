//! TLS 1.2: sessions by id, resumed until they leave.

use std::time::Duration;

use foreign_types::ForeignTypeRef;
use openssl::ssl::{ShutdownState, Ssl, SslContext, SslVersion};
use sessile::{Added, Context};
use sessile_openssl::ServerStore;

use crate::support::{Client, Link, Site, duplicate, renamed};

fn store_and_server() -> (ServerStore, SslContext) {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new()
        .server(SslVersion::TLS1_2, |context| store.attach(context, Context::NONE).unwrap());
    (store, server)
}

#[test]
fn a_session_is_resumed_again_and_again() {
    let (store, server) = store_and_server();
    let client = Client::new();
    assert!(!client.visit(&server, None));
    let session = client.sessions().pop().unwrap();
    for _ in 0..5 {
        assert!(client.visit(&server, Some(&session)));
    }
    let stats = store.stats();
    assert_eq!((stats.added, stats.hits, stats.number), (1, 5, 1));
}

#[test]
fn what_is_stored_is_the_very_session_of_the_connection() {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    let stored = store.sessions().pop().unwrap();

    let mut link = Link::new(client.ssl(Some(&session)), Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    let used = link.server.ssl().session().unwrap();
    assert_eq!(used.as_ptr(), stored.as_ptr(), "no copy, no serialization");
    link.close();
}

#[test]
fn a_broken_connection_takes_its_session_with_it() {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();

    let mut link = Link::new(client.ssl(Some(&session)), Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    drop(link);
    assert_eq!((store.stats().removed, store.stats().number), (1, 0));
    assert!(!client.visit(&server, Some(&session)));
}

#[test]
fn a_connection_that_is_declared_closed_keeps_its_session() {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();

    let mut link = Link::new(client.ssl(Some(&session)), Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    for side in [&mut link.client, &mut link.server] {
        side.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
    }
    drop(link);
    assert_eq!(store.stats().number, 1);
    assert!(client.visit(&server, Some(&session)));
}

#[test]
fn a_removed_session_is_not_resumed() {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    let stored = store.sessions().pop().unwrap();
    assert!(store.remove_session(&stored));
    assert!(!client.visit(&server, Some(&session)));
    assert_eq!(store.stats().hits, 0, "the removal is no lookup");
}

#[test]
fn an_expired_session_is_not_resumed() {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    let stored = store.sessions().pop().unwrap();
    stored.set_created_at(stored.created_at().unwrap() - Duration::from_secs(7_201));
    assert!(!client.visit(&server, Some(&session)));
    let stats = store.stats();
    assert_eq!((stats.timeouts, stats.expired, stats.hits), (1, 1, 0));
    assert_eq!(stats.number, 1, "that of the second visit");
}

#[test]
fn a_session_that_is_replaced_in_mid_flight_gives_way_to_its_successor() {
    let (store, server) = store_and_server();
    let client = Client::new();
    let mut link = Link::new(client.ssl(None), Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    let session = client.sessions().pop().unwrap();
    let first = store.sessions().pop().unwrap();
    let second = duplicate(&first);
    assert!(matches!(store.add_session(&second), Ok(Added::Replaced(_))));

    // The connection goes on, and the next one resumes from the successor.
    link.exchange();
    link.close();
    let mut next = Link::new(client.ssl(Some(&session)), Ssl::new(&server).unwrap());
    next.handshake().unwrap();
    assert!(next.resumed());
    assert_eq!(next.server.ssl().session().unwrap().as_ptr(), second.as_ptr());
    next.close();

    // By identity the first one is not there any more; by id its successor is, as in OpenSSL since
    // 1.1.
    assert!(!store.remove_session(&first));
    assert!(store.remove_id_of(&first));
    assert_eq!(store.stats().number, 0);
}

#[test]
fn garbage_ids_are_misses() {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    let before = store.stats().misses;
    for length in 1..=32_u8 {
        let garbage = renamed(&session, &vec![length; usize::from(length)]);
        assert!(!client.visit(&server, Some(&garbage)), "{length} bytes");
    }
    let stats = store.stats();
    assert_eq!((stats.misses - before, stats.hits), (32, 0));
}
