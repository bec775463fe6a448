//! A store that is taken from a context, and put back, while handshakes run there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use openssl::ssl::{Ssl, SslContext, SslVersion};
use sessile::Context;
use sessile_openssl::{ReattachError, ServerStore};

use crate::support::{BOTH, Client, Link, Site};

const NAME: Context = Context::NONE;

fn server(store: &ServerStore, version: SslVersion) -> SslContext {
    Site::new().server(version, |context| store.attach(context, NAME).unwrap())
}

#[test]
fn without_its_store_a_context_resumes_nothing() {
    for version in BOTH {
        let store = ServerStore::new(100).unwrap();
        let server = server(&store, version);
        let client = Client::new();
        assert!(!client.visit(&server, None));
        let session = client.sessions().pop();
        let accepted = store.stats().accept_good;

        assert!(ServerStore::of(&server).is_some());
        assert!(ServerStore::detach(&server).is_some());
        assert!(ServerStore::detach(&server).is_none(), "it is gone once");
        assert!(ServerStore::of(&server).is_none());
        let stored = store.stats().number;
        assert!(!client.visit(&server, session.as_ref()));
        assert_eq!((store.stats().number, store.stats().accept_good), (stored, accepted));

        store.reattach(&server, NAME).unwrap();
        assert!(client.visit(&server, session.as_ref()), "{version:?}");
    }
}

#[test]
fn a_context_keeps_its_name() {
    let store = ServerStore::new(100).unwrap();
    let bare = Site::new().server(SslVersion::TLS1_3, |_| {});
    assert_eq!(store.reattach(&bare, NAME), Err(ReattachError::NeverAttached));
    assert!(ServerStore::detach(&bare).is_none());
    let server = server(&store, SslVersion::TLS1_3);
    let other = Context::digest(["another"]);
    assert_eq!(store.reattach(&server, other), Err(ReattachError::OtherName));
    assert!(ServerStore::of(&server).is_some(), "it has the store that it had");
}

/// A handshake that resumed before the store went is not ended, nor does it lose its context.
#[test]
fn a_handshake_that_resumed_goes_on() {
    for version in BOTH {
        let store = ServerStore::new(100).unwrap();
        let server = server(&store, version);
        let client = Client::new();
        client.visit(&server, None);
        let session = client.sessions().pop();
        for other in [None, Some(ServerStore::new(100).unwrap())] {
            let mut link = Link::new(client.ssl(session.as_ref()), Ssl::new(&server).unwrap());
            link.ask_and_answer_once();
            ServerStore::detach(&server).unwrap();
            let is_other = other.is_some();
            if let Some(other) = other {
                other.reattach(&server, NAME).unwrap();
            }
            link.handshake().unwrap();
            // The first round spends a TLS 1.3 ticket.
            assert_eq!(link.resumed(), version == SslVersion::TLS1_2 || !is_other);
            link.exchange();
            link.close();
            store.reattach(&server, NAME).unwrap();
        }
    }
}

#[test]
fn no_handshake_fails_while_stores_come_and_go() {
    const HANDSHAKES: u64 = 150;
    for version in BOTH {
        let stores = [(); 2].map(|()| ServerStore::new(1_000).unwrap());
        let server = server(&stores[0], version);
        let (is_over, resumed) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let clients = [(); 2].map(|()| {
                scope.spawn(|| {
                    let client = Client::new();
                    for _ in 0..HANDSHAKES {
                        let session = client.sessions().pop();
                        let is_resumed = client.visit(&server, session.as_ref());
                        resumed.fetch_add(u64::from(is_resumed), Ordering::Relaxed);
                    }
                })
            });
            scope.spawn(|| {
                for store in stores.iter().cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    store.reattach(&server, NAME).unwrap();
                    thread::yield_now();
                    ServerStore::detach(&server);
                }
            });
            clients.into_iter().for_each(|client| client.join().unwrap());
            is_over.store(true, Ordering::Relaxed);
        });
        let resumed = resumed.into_inner();
        let counted: u64 = stores.iter().map(|store| store.stats().resumed).sum();
        println!("{version:?}: {resumed} of {} resumed", 2 * HANDSHAKES);
        assert!(counted <= resumed, "a handshake that ends without its store is not counted");
    }
}
