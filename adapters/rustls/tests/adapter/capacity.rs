//! A full store makes room: newcomers are resumed, those not used for longest are not.

use std::sync::Arc;

use crate::support::{Site, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::server::StoresServerSessions;
use rustls::version::{TLS12, TLS13};
use sessile::{BuildError, Context, Mode};
use sessile_rustls::ServerStore;

#[test]
fn a_capacity_of_zero_is_refused() {
    assert!(matches!(ServerStore::new(0), Err(BuildError::ZeroCapacity)));
}

#[test]
fn the_store_stays_within_its_capacity() {
    const CAPACITY: usize = 64;
    let store = ServerStore::new(CAPACITY).unwrap();
    let context = store.for_context(Context::NONE);
    for number in 0..1_000_u32 {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        assert!(context.put(key.to_vec(), vec![1; 100]));
        assert!(store.cache().len() <= CAPACITY);
        assert!(context.get(&key).is_some(), "the newest is always there");
    }
    let stats = store.stats();
    assert_eq!(stats.added - stats.evicted, stats.number);
    assert_eq!(stats.cache_full, stats.evicted);
}

#[test]
fn the_session_not_used_for_longest_leaves() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(2).unwrap();
    let server = Arc::new(site.server(&TLS12, store.for_context(Context::NONE)));
    let clients = [(); 3].map(|()| Arc::new(site.client()));

    assert_eq!(shake(&clients[0], &server), Full);
    assert_eq!(shake(&clients[1], &server), Full);
    assert_eq!(shake(&clients[0], &server), Resumed);
    assert_eq!(shake(&clients[2], &server), Full);
    assert_eq!(shake(&clients[0], &server), Resumed, "used since client 1 was");
    assert_eq!(shake(&clients[1], &server), Full, "evicted");
}

#[test]
fn a_store_switched_off_sends_no_tickets() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let context = store.for_context(Context::NONE);
    assert!(context.can_cache());
    store.cache().set_mode(Mode { store: false, ..Mode::default() });
    assert!(!context.can_cache());
    assert!(!context.put(vec![1; 32], vec![1; 100]));

    for version in [&TLS12, &TLS13] {
        let server = Arc::new(site.server(version, context.clone()));
        let client = Arc::new(site.client());
        assert_eq!(shake(&client, &server), Full);
        assert_eq!(shake(&client, &server), Full);
    }
    assert!(store.cache().is_empty());
}
