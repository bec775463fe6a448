//! Keys come from the peer: of any length, known or not, they are answered and change nothing.

use std::sync::Arc;

use crate::support::{BOTH, Site, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::server::StoresServerSessions;
use sessile::Context;
use sessile_rustls::ServerStore;

#[test]
fn keys_of_a_session_ids_length_are_stored() {
    let context = ServerStore::new(100).unwrap().for_context(Context::NONE);
    for length in [1, 2, 31, 32] {
        let key = vec![5; length];
        assert!(context.put(key.clone(), vec![9; length]));
        assert_eq!(context.get(&key), Some(vec![9; length]));
        assert!(context.put(key.clone(), vec![8; length]), "overwritten");
        assert_eq!(context.take(&key), Some(vec![8; length]));
        assert_eq!(context.take(&key), None);
    }
}

#[test]
fn keys_of_other_lengths_are_refused() {
    let store = ServerStore::new(100).unwrap();
    let context = store.for_context(Context::NONE);
    let before = store.stats();
    for length in [0, 33, 64, 65_535] {
        let key = vec![5; length];
        assert!(!context.put(key.clone(), vec![9; 100]));
        assert_eq!(context.get(&key), None);
        assert_eq!(context.take(&key), None);
    }
    assert_eq!(store.stats(), before, "refused before the lookup");
}

#[test]
fn values_of_any_length_come_back_whole() {
    let context = ServerStore::new(100).unwrap().for_context(Context::NONE);
    for length in [0, 1, 150, 8_192, 100_000] {
        let value: Vec<u8> = (0..length).map(|index| index as u8).collect();
        assert!(context.put(vec![1; 32], value.clone()));
        assert_eq!(context.take(&[1; 32]), Some(value));
    }
}

#[test]
fn a_session_of_another_server_costs_a_full_handshake() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let elsewhere = ServerStore::new(100).unwrap();
        let store = ServerStore::new(100).unwrap();
        let other = Arc::new(site.server(version, elsewhere.for_context(Context::NONE)));
        let server = Arc::new(site.server(version, store.for_context(Context::NONE)));
        let client = Arc::new(site.client());

        assert_eq!(shake(&client, &other), Full);
        assert_eq!(shake(&client, &server), Full);
        assert!(store.stats().misses >= 1);
        assert_eq!(shake(&client, &server), Resumed);
    }
}

#[test]
fn a_value_that_is_no_session_costs_a_full_handshake() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let store = ServerStore::new(100).unwrap();
        let context = store.for_context(Context::NONE);
        let server = Arc::new(site.server(version, context.clone()));
        let client = Arc::new(site.client());

        assert_eq!(shake(&client, &server), Full);
        for session in store.cache().view(Context::NONE).snapshot() {
            assert!(context.put(session.id().as_bytes().to_vec(), b"not a session".to_vec()));
        }
        assert_eq!(shake(&client, &server), Full);
    }
}
