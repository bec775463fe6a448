//! How often a server could be offered a session, and stores with more than a capacity.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Site, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::{TLS12, TLS13};
use sessile::Context;
use sessile_rustls::{ClientStore, ServerStore};

#[test]
fn a_handshake_that_resumes_was_offered_a_session_and_a_hint_is_no_offer() {
    for version in [&TLS12, &TLS13] {
        let site = Site::new(&["localhost"]);
        let server = ServerStore::new(100).unwrap();
        let server = Arc::new(site.server(version, server.for_context(Context::NONE)));
        let store = ClientStore::new(100).unwrap();
        let client = Arc::new(site.client_with(store.for_context(Context::NONE)));
        let kinds = [shake(&client, &server), shake(&client, &server), shake(&client, &server)];
        assert_eq!(kinds, [Full, Resumed, Resumed]);
        let offers = store.offers();
        assert_eq!((offers.handshakes, offers.offered), (3, 2), "{version:?}");
        assert!((offers.ratio() - 2.0 / 3.0).abs() < 1e-9);
    }
}

#[test]
fn a_builder_bounds_bytes_and_time() {
    let builder = ClientStore::builder().max_bytes(1 << 20).timeout(Duration::MAX);
    let store = builder.build().unwrap();
    assert_eq!((store.capacity(), store.status().capacity), (64, Some(64)), "16 KiB an entry");
    assert_eq!(ClientStore::builder().max_bytes(1).build().unwrap().capacity(), 1);
    assert!(ClientStore::builder().capacity(0).build().is_err());
}

/// In seconds: a server that was not used for so long is forgotten.
#[test]
fn a_timeout_of_nothing_remembers_nothing_for_long() {
    let site = Site::new(&["localhost"]);
    let server = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS13, server.for_context(Context::NONE)));
    let store = ClientStore::builder().timeout(Duration::from_secs(1)).build().unwrap();
    let client = Arc::new(site.client_with(store.for_context(Context::NONE)));
    assert_eq!(shake(&client, &server), Full);
    // On a busy machine the second can pass before the next one.
    assert!((0..100).any(|_| shake(&client, &server) == Resumed));
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(shake(&client, &server), Full);
}
