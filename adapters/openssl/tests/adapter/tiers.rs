//! A second tier, which the store's hooks are told of everything for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use openssl::ssl::{Ssl, SslContext, SslSession, SslSessionCacheMode, SslVersion};
use sessile::{Context, Hooks, Operation, Session, SessionId};
use sessile_openssl::ServerStore;

use crate::support::{BOTH, Client, Link, Site};

type Stored = Arc<Mutex<HashMap<SessionId, Session<SslSession>>>>;

/// A store, its server, and a tier that has everything that the store heard of.
fn tiered(version: SslVersion) -> (ServerStore, SslContext, Stored) {
    let (store, tier) = (ServerStore::new(100).unwrap(), Stored::default());
    let (added, asked, absent) = (Arc::clone(&tier), Arc::clone(&tier), Arc::clone(&tier));
    store.cache().set_hooks(
        Hooks::new()
            .on_added(move |session: &Session<SslSession>| {
                _ = added.lock().unwrap().insert(session.id(), session.clone())
            })
            .on_query(move |query| asked.lock().unwrap().get(query.id()).cloned())
            .on_absent(move |query| {
                assert_eq!(query.operation(), Operation::Remove);
                absent.lock().unwrap().remove(query.id());
            }),
    );
    let server =
        Site::new().server(version, |context| store.attach(context, Context::NONE).unwrap());
    (store, server, tier)
}

#[test]
fn an_external_cache_hears_of_each_session() {
    for version in BOTH {
        let (store, server, tier) = tiered(version);
        store.set_session_cache_mode(
            SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL_STORE,
        );
        let client = Client::new();
        assert!(!client.visit(&server, None));
        let sessions = if version == SslVersion::TLS1_2 { 1 } else { 2 };
        assert_eq!(
            (tier.lock().unwrap().len(), store.stats().number),
            (sessions, 0),
            "{version:?}"
        );
        assert!(client.visit(&server, client.sessions().pop().as_ref()), "{version:?}");
    }
}

#[test]
fn a_fatal_alert_reaches_the_tier() {
    for version in BOTH {
        let (store, server, tier) = tiered(version);
        store.set_session_cache_mode(
            SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL_STORE,
        );
        let client = Client::new();
        client.visit(&server, None);
        let session = client.sessions().pop().unwrap();
        let before = tier.lock().unwrap().len();

        let mut link = Link::new(client.ssl(Some(&session)), Ssl::new(&server).unwrap());
        assert!(link.client.do_handshake().is_err());
        assert!(link.server.do_handshake().is_err());
        link.spoil_a_flight();
        assert_eq!(tier.lock().unwrap().len(), before - 1, "{version:?}");
        drop(link);
        client.sessions();
        assert!(!client.visit(&server, Some(&session)), "{version:?}");
    }
}
