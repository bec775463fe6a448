//! The client's side: what is remembered of a server, and offered to it.

use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVersion};
use sessile::Context;
use sessile_openssl::{ClientStore, ServerStore};

use crate::support::{BOTH, Link, Site};

fn server(version: SslVersion) -> (ServerStore, SslContext) {
    let store = ServerStore::new(100).unwrap();
    let context = Site::new().server(version, |context| store.attach(context, Context::NONE).unwrap());
    (store, context)
}

fn client(store: &ClientStore, name: Context) -> SslContext {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    store.attach(&mut builder, name).unwrap();
    builder.build()
}

fn connect(client: &SslContext, server: &SslContext, name: &str) -> Link {
    let mut ssl = Ssl::new(client).unwrap();
    ClientStore::offer(&mut ssl, name).unwrap();
    let mut link = Link::new(ssl, Ssl::new(server).unwrap());
    link.handshake().unwrap();
    link
}

fn visit(client: &SslContext, server: &SslContext, name: &str) -> bool {
    let mut link = connect(client, server, name);
    link.exchange();
    let resumed = link.resumed();
    link.close();
    resumed
}

#[test]
fn a_server_that_was_met_is_resumed() {
    for version in BOTH {
        let store = ClientStore::new(10).unwrap();
        let (client, (_, server)) = (client(&store, Context::NONE), server(version));
        let resumed: Vec<_> = (0..5).map(|_| visit(&client, &server, "a:443")).collect();
        assert_eq!(resumed, [false, true, true, true, true], "{version:?}");
        assert_eq!(store.stats().number, 1, "{version:?}: one entry for a server");
    }
}

#[test]
fn tls13_tickets_are_offered_once_each() {
    let store = ClientStore::new(10).unwrap();
    let (client, (servers, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_3));
    visit(&client, &server, "a:443");
    servers.flush_sessions(0);
    // Two tickets were given; the server knows neither of them any more, nor is it asked again.
    let offers: Vec<_> =
        (0..3).map(|_| ClientStore::offer(&mut Ssl::new(&client).unwrap(), "a:443").unwrap()).collect();
    assert_eq!(offers, [true, true, false]);
}

#[test]
fn a_tls12_session_is_offered_until_its_connection_breaks() {
    let store = ClientStore::new(10).unwrap();
    let (client, (_, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_2));
    visit(&client, &server, "a:443");
    drop(connect(&client, &server, "a:443"));
    assert!(!ClientStore::offer(&mut Ssl::new(&client).unwrap(), "a:443").unwrap());
    assert_eq!(store.stats().number, 0);
}

#[test]
fn servers_and_contexts_are_kept_apart() {
    for version in BOTH {
        let store = ClientStore::new(10).unwrap();
        let trusting = client(&store, Context::digest(["any certificate"]));
        let strict = client(&store, Context::digest(["this certificate"]));
        let (_, server) = server(version);
        assert!(!visit(&trusting, &server, "a:443"));
        assert!(!visit(&trusting, &server, "b:443"), "{version:?}");
        assert!(!visit(&strict, &server, "a:443"), "{version:?}");
        assert!(visit(&trusting, &server, "a:443"), "{version:?}");
        let again = client(&store, Context::digest(["this certificate"]));
        assert!(visit(&again, &server, "a:443"), "{version:?}: contexts of one name share, by copies");
    }
}

#[test]
fn a_connection_without_a_store_is_offered_nothing() {
    let bare = SslContextBuilder::new(SslMethod::tls_client()).unwrap().build();
    assert!(!ClientStore::offer(&mut Ssl::new(&bare).unwrap(), "a:443").unwrap());
    let store = ClientStore::new(10).unwrap();
    let (client, (_, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_3));
    let mut nameless = Link::new(Ssl::new(&client).unwrap(), Ssl::new(&server).unwrap());
    nameless.handshake().unwrap();
    nameless.exchange();
    nameless.close();
    assert_eq!(store.stats().number, 0, "nobody said whose the tickets are");
}

#[test]
fn a_cleared_store_offers_nothing() {
    let store = ClientStore::new(10).unwrap();
    let (client, (_, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_3));
    visit(&client, &server, "a:443");
    assert_eq!(store.clear(), 1);
    assert!(!visit(&client, &server, "a:443"));
    let stats = store.stats();
    assert_eq!((stats.connect, stats.connect_good), (2, 2));
}
