//! Configurations share one cache and resume each other's sessions only if their contexts are
//! equal.

use std::sync::Arc;

use crate::support::{BOTH, Site, answer, hello, shake};
use rustls::HandshakeKind::{Full, Resumed};
use sessile::Context;
use sessile_rustls::ServerStore;

#[test]
fn another_context_never_resumes() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let store = ServerStore::new(100).unwrap();
        let mutual = Context::digest(["localhost", "client certificate"]);
        let open = Context::digest(["localhost", "no client certificate"]);
        let mutual = Arc::new(site.server(version, store.for_context(mutual)));
        let open = Arc::new(site.server(version, store.for_context(open)));
        let client = Arc::new(site.client());

        assert_eq!(shake(&client, &open), Full);
        let offer = hello(&client);
        for _ in 0..3 {
            assert_eq!(answer(&mutual, &offer), Full);
        }
        assert_eq!(store.stats().context_misses, 3);
        assert_eq!(answer(&open, &offer), Resumed, "the session was not lost to the attempts");
    }
}

#[test]
fn the_same_context_resumes() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let store = ServerStore::new(100).unwrap();
        let parts = ["localhost", "no client certificate"];
        let first = Arc::new(site.server(version, store.for_context(Context::digest(parts))));
        let second = Arc::new(site.server(version, store.for_context(Context::digest(parts))));
        let client = Arc::new(site.client());

        assert_eq!(shake(&client, &first), Full);
        assert_eq!(shake(&client, &second), Resumed);
        assert_eq!(shake(&client, &first), Resumed);
    }
}

#[test]
fn one_id_names_a_session_in_each_context() {
    use rustls::server::StoresServerSessions;

    let store = ServerStore::new(100).unwrap();
    let one = store.for_context(Context::from_bytes([1; 32]));
    let two = store.for_context(Context::from_bytes([2; 32]));
    let key = vec![7; 32];

    assert!(one.put(key.clone(), b"one".to_vec()));
    assert!(two.put(key.clone(), b"two".to_vec()));
    assert_eq!(one.get(&key).as_deref(), Some(b"one".as_slice()));
    assert_eq!(two.take(&key).as_deref(), Some(b"two".as_slice()));
    assert_eq!(two.take(&key), None);
    assert_eq!(one.take(&key).as_deref(), Some(b"one".as_slice()));
}
