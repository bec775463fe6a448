//! A hook that panics is called by libssl, through C: the panic must end before it gets there.

use openssl::ssl::SslVersion;
use sessile::{Context, Hooks};
use sessile_openssl::ServerStore;

use crate::support::{BOTH, Client, Link, Site};
use openssl::ssl::Ssl;

fn panicking() -> Hooks<openssl::ssl::SslSession> {
    Hooks::new()
        .on_added(|_| panic!("on_added"))
        .on_removed(|_, _| panic!("on_removed"))
        .on_miss(|_, _| panic!("on_miss"))
}

#[test]
fn handshakes_outlive_panicking_hooks() {
    for version in BOTH {
        let store = ServerStore::new(1).unwrap();
        store.cache().set_hooks(panicking());
        let server =
            Site::new().server(version, |context| store.attach(context, Context::NONE).unwrap());
        let client = Client::new();
        for _ in 0..3 {
            // Two sessions for one place: evictions, and misses.
            client.visit(&server, None);
            let session = client.sessions().remove(0);
            client.visit(&server, Some(&session));
        }
        let mut broken = Link::new(client.ssl(None), Ssl::new(&server).unwrap());
        broken.handshake().unwrap();
        drop(broken);
        let stats = store.stats();
        assert!(stats.added > 0 && stats.removed == 1, "{version:?}: {stats:?}");
        assert_eq!(stats.accept_good, 7, "{version:?}");
    }
}

#[test]
fn a_lookup_whose_hook_panics_is_a_miss() {
    let store = ServerStore::new(10).unwrap();
    let server = Site::new()
        .server(SslVersion::TLS1_2, |context| store.attach(context, Context::NONE).unwrap());
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    store.flush_sessions(0);
    store.cache().set_hooks(panicking());
    assert!(!client.visit(&server, Some(&session)));
    store.cache().set_hooks(Hooks::new());
    let session = client.sessions().pop().unwrap();
    assert!(client.visit(&server, Some(&session)), "stored although the hook panicked");
}
