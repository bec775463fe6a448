//! TLS 1.2: one session is stored by a full handshake and resumed by its id as often as the client
//! asks.

use std::sync::Arc;

use crate::support::{Counting, Site, answer, hello, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::TLS12;
use sessile::Context;
use sessile_rustls::ServerStore;

#[test]
fn one_session_resumes_again_and_again() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS12, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());

    assert_eq!(shake(&client, &server), Full);
    for _ in 0..10 {
        assert_eq!(shake(&client, &server), Resumed);
    }
    let stats = store.stats();
    assert_eq!((stats.number, stats.added, stats.hits, stats.taken), (1, 1, 10, 0));
}

#[test]
fn a_full_handshake_is_one_put_and_a_resumption_one_get() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let counting = Counting::new(store.for_context(Context::NONE));
    let server = Arc::new(site.server(&TLS12, counting.clone()));
    let client = Arc::new(site.client());

    assert_eq!(shake(&client, &server), Full);
    let (puts, gets, takes) = counting.counts();
    assert_eq!((puts, takes), (1, 0));
    assert_eq!(shake(&client, &server), Resumed);
    assert_eq!(counting.counts(), (puts, gets + 1, 0));
}

#[test]
fn a_removed_session_costs_a_full_handshake() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS12, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());

    assert_eq!(shake(&client, &server), Full);
    let offer = hello(&client);
    assert_eq!(answer(&server, &offer), Resumed);
    assert_eq!(store.cache().clear(), 1);
    assert_eq!(answer(&server, &offer), Full);
}
