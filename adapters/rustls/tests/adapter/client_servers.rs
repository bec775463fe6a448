//! The client store: what it remembers by server name and context, and how much of it.

use std::sync::Arc;

use crate::support::{BOTH, Site, name, shake, shake_with};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::NamedGroup;
use rustls::client::ClientSessionStore;
use rustls::version::TLS12;
use sessile::{BuildError, Context};
use sessile_rustls::{ClientStore, ServerStore};

#[test]
fn clients_resume_from_it_in_both_versions() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let server = ServerStore::new(100).unwrap();
        let server = Arc::new(site.server(version, server.for_context(Context::NONE)));
        let store = ClientStore::new(100).unwrap();
        let client = Arc::new(site.client_with(store.for_context(Context::NONE)));

        assert_eq!(shake(&client, &server), Full);
        for _ in 0..20 {
            assert_eq!(shake(&client, &server), Resumed);
        }
        assert!(store.len() <= 2, "{}", store.len());
        store.clear();
        assert_eq!(shake(&client, &server), Full);
    }
}

#[test]
fn a_server_that_forgot_the_tls12_session_is_met_afresh() {
    let site = Site::new(&["localhost"]);
    let server_store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS12, server_store.for_context(Context::NONE)));
    let client =
        Arc::new(site.client_with(ClientStore::new(100).unwrap().for_context(Context::NONE)));

    assert_eq!(shake(&client, &server), Full);
    server_store.cache().clear();
    assert_eq!(shake(&client, &server), Full);
    assert_eq!(shake(&client, &server), Resumed, "by the session that replaced it");
}

#[test]
fn servers_are_told_apart_by_name() {
    for version in BOTH {
        let site = Site::new(&["a.example", "b.example"]);
        let server = ServerStore::new(100).unwrap();
        let server = Arc::new(site.server(version, server.for_context(Context::NONE)));
        let store = ClientStore::new(100).unwrap();
        let client = Arc::new(site.client_with(store.for_context(Context::NONE)));

        assert_eq!(shake_with("a.example", &client, &server), Full);
        assert_eq!(shake_with("b.example", &client, &server), Full);
        assert_eq!(shake_with("A.EXAMPLE", &client, &server), Resumed, "case does not matter");
        assert_eq!(shake_with("b.example", &client, &server), Resumed);
    }
}

#[test]
fn contexts_do_not_spend_each_others_tickets() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let server = ServerStore::new(100).unwrap();
        let server = Arc::new(site.server(version, server.for_context(Context::NONE)));
        let store = ClientStore::new(100).unwrap();
        let one = Arc::new(site.client_with(store.for_context(Context::digest(["one"]))));
        let two = Arc::new(site.client_with(store.for_context(Context::digest(["two"]))));

        assert_eq!(shake(&one, &server), Full);
        assert_eq!(shake(&two, &server), Full);
        assert_eq!(shake(&one, &server), Resumed);
        assert_eq!(shake(&two, &server), Resumed);
    }
}

#[test]
fn the_group_hint_is_the_last_one_set() {
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    assert_eq!(store.kx_hint(&name("localhost")), None);
    for group in [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::Unknown(0xfefe)] {
        store.set_kx_hint(name("localhost"), group);
        assert_eq!(store.kx_hint(&name("localhost")), Some(group));
    }
    assert_eq!(store.kx_hint(&name("192.0.2.1")), None);
}

#[test]
fn servers_beyond_the_capacity_are_forgotten() {
    const CAPACITY: usize = 32;
    let store = ClientStore::new(CAPACITY).unwrap();
    let context = store.for_context(Context::NONE);
    for number in 0..1_000 {
        let server = name(&format!("host{number}.example"));
        context.set_kx_hint(server.clone(), NamedGroup::X25519);
        assert_eq!(
            context.kx_hint(&server),
            Some(NamedGroup::X25519),
            "the newest is always there"
        );
        assert!(store.len() <= CAPACITY);
    }
    assert_eq!(store.capacity(), CAPACITY);
    assert!(store.stats().evicted > 0);
    assert_eq!(context.kx_hint(&name("host0.example")), None);
}

#[test]
fn a_capacity_of_zero_is_refused() {
    assert!(matches!(ClientStore::new(0), Err(BuildError::ZeroCapacity)));
}
