//! TLS 1.3: a ticket is resumed once, whoever presents it and however many do so at the same
//! moment.

use std::sync::Arc;

use crate::support::{Counting, Site, answer, hello, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::TLS13;
use sessile::Context;
use sessile_rustls::ServerStore;
use testkit::race;

#[test]
fn five_tickets_are_five_resumptions() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let mut issuing = site.server(&TLS13, store.for_context(Context::NONE));
    issuing.send_tls13_tickets = 5;
    let issuing = Arc::new(issuing);
    let mut silent = site.server(&TLS13, store.for_context(Context::NONE));
    silent.send_tls13_tickets = 0;
    let silent = Arc::new(silent);
    let client = Arc::new(site.client());

    assert_eq!(shake(&client, &issuing), Full);
    assert_eq!(store.stats().number, 5);
    for left in (0..5).rev() {
        assert_eq!(shake(&client, &silent), Resumed);
        assert_eq!(store.stats().number, left);
    }
    assert_eq!(shake(&client, &silent), Full);
}

#[test]
fn a_handshake_is_two_puts_and_a_resumption_one_take() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let counting = Counting::new(store.for_context(Context::NONE));
    let server = Arc::new(site.server(&TLS13, counting.clone()));
    let client = Arc::new(site.client());

    let counts: Vec<_> = (0..3)
        .map(|_| {
            shake(&client, &server);
            counting.counts()
        })
        .collect();
    assert_eq!(counts, [(2, 0, 0), (4, 0, 1), (6, 0, 2)]);
    let stats = store.stats();
    assert_eq!((stats.added, stats.taken, stats.hits, stats.number), (6, 2, 2, 4));
}

#[test]
fn a_replayed_hello_is_not_resumed() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS13, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());

    assert_eq!(shake(&client, &server), Full);
    let offer = hello(&client);
    assert_eq!(answer(&server, &offer), Resumed);
    assert_eq!(answer(&server, &offer), Full);
}

#[test]
fn of_racing_replays_one_is_resumed() {
    const THREADS: usize = 4;
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS13, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());

    for _ in 0..50 {
        shake(&client, &server);
        let offer = hello(&client);
        let replays = race(THREADS, |_| answer(&server, &offer) == Resumed);
        assert_eq!(replays.into_iter().filter(|resumed| *resumed).count(), 1);
    }
}
