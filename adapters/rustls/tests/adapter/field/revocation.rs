//! Client authorities are replaced: no session of those before stays.

use std::sync::Arc;

use rustls::HandshakeKind::{Full, Resumed};
use rustls::server::StoresServerSessions;
use rustls::version::TLS12;
use sessile::{CoarseClock, Context};
use sessile_rustls::ServerStore;

use super::tier::{Answer, cache_with_tier};
use crate::support::{BOTH, Pair, Site, shake, try_shake};

#[test]
fn replaced_client_authorities_end_the_sessions() {
    for version in BOTH {
        let (site, old, new) =
            (Site::new(&["localhost"]), Site::new(&["old"]), Site::new(&["new"]));
        let store = ServerStore::new(100).unwrap();
        let context = Context::digest(["localhost", "client certificate"]);
        let server = |authority| {
            Arc::new(site.server_for(version, store.for_context(context), Some(authority)))
        };
        let before = server(&old);
        let client = Arc::new(site.client_of(Some(&old)));
        assert_eq!(shake(&client, &before), Full);
        assert_eq!(shake(&client, &before), Resumed);

        store.revoke(context);
        let after = server(&new);
        assert!(try_shake(&client, &after).is_err(), "neither by session nor by certificate");
        let client = Arc::new(site.client_of(Some(&new)));
        assert_eq!(shake(&client, &after), Full);
        assert_eq!(shake(&client, &after), Resumed);
    }
}

#[test]
fn a_handshake_under_way_makes_no_session_of_the_new_generation() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let store = ServerStore::new(100).unwrap();
        let context = Context::digest(["localhost"]);
        let before = Arc::new(site.server(version, store.for_context(context)));
        let client = Arc::new(site.client());
        let mut under_way = Pair::new("localhost", &client, &before);
        under_way.begin();
        store.revoke(context);
        let after = Arc::new(site.server(version, store.for_context(context)));
        assert_eq!(under_way.finish(), Ok(Full));
        assert_eq!(shake(&client, &after), Full);
        assert_eq!(shake(&client, &after), Resumed);
        assert_eq!(shake(&client, &before), Full, "a configuration of before resumes nothing");
    }
}

#[test]
fn other_contexts_keep_their_sessions() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let store = ServerStore::new(100).unwrap();
        let server = Arc::new(site.server(version, store.for_context(Context::digest(["kept"]))));
        let client = Arc::new(site.client());
        assert_eq!(shake(&client, &server), Full);
        store.revoke(Context::digest(["revoked"]));
        assert_eq!(shake(&client, &server), Resumed);
    }
}

#[test]
fn a_second_tier_does_not_bring_revoked_sessions_back() {
    for version in BOTH {
        for answer in [Answer::Handle, Answer::Bytes] {
            let site = Site::new(&["localhost"]);
            let store = ServerStore::from_cache(cache_with_tier(answer, CoarseClock));
            let context = Context::digest(["localhost"]);
            let server = || Arc::new(site.server(version, store.for_context(context)));
            let client = Arc::new(site.client());
            assert_eq!(shake(&client, &server()), Full);
            store.revoke(context);
            assert_eq!(shake(&client, &server()), Full, "{answer:?}");
        }
    }
}

#[test]
fn a_revoked_handle_stores_and_finds_nothing() {
    let store = ServerStore::new(100).unwrap();
    let context = Context::digest(["localhost"]);
    let (single, reusable) =
        (store.for_context(context), store.clone().reusable(true).for_context(context));
    assert!(single.put(vec![1; 32], vec![1; 100]) && single.can_cache());
    store.revoke(context);
    let fresh = store.for_context(context);
    assert!(fresh.put(vec![2; 32], vec![1; 100]));
    for handle in [single, reusable] {
        assert!(!handle.can_cache());
        assert!(!handle.put(vec![3; 32], vec![1; 100]));
        for key in [[1; 32], [2; 32], [3; 32]] {
            assert_eq!((handle.get(&key), handle.take(&key)), (None, None));
        }
    }
    assert_eq!(fresh.take(&[1; 32]), None);
    assert!(fresh.take(&[2; 32]).is_some());
}

#[test]
fn a_revoked_handle_gives_no_session_ids_away() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS12, store.for_context(Context::NONE)));
    store.revoke(Context::NONE);
    let client = Arc::new(site.client());
    assert_eq!(shake(&client, &server), Full);
    assert_eq!(shake(&client, &server), Full);
    assert!(store.cache().is_empty());
}
