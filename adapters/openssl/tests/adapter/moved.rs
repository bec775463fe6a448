//! Sessions that a program moves by hand keep their age, their generation, and their one use of
//! early data.

use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use openssl::ssl::{Ssl, SslContext, SslSession, SslStream, SslVersion};
use sessile::{Context, Hooks, Session};
use sessile_openssl::ServerStore;

use crate::ages::assert_chain_ends;
use crate::support::{BOTH, Client, Pipe, Site};

const EARLY: &[u8] = b"transfer 100";

fn server(store: &ServerStore, version: SslVersion) -> SslContext {
    Site::new().server(version, |context| {
        context.set_max_early_data(1024).unwrap();
        store.attach(context, Context::NONE).unwrap();
    })
}

/// The first flight of a client that offers a new ticket, with early data.
fn first_flight(client: &Client, server: &SslContext) -> Vec<u8> {
    client.visit(server, None);
    let mut ssl = client.ssl(client.sessions().pop().as_ref());
    ssl.set_connect_state();
    let pipe = Pipe::default();
    let mut stream = SslStream::new(ssl, pipe.clone()).unwrap();
    stream.write_early_data(EARLY).unwrap();
    pipe.sent()
}

/// Whether a server accepts the early data of a first flight, on a connection that is left open.
fn accepts(server: &SslContext, flight: &[u8]) -> bool {
    let mut ssl = Ssl::new(server).unwrap();
    ssl.set_accept_state();
    let pipe = Pipe::default();
    pipe.receive(flight);
    let mut stream = SslStream::new(ssl, pipe).unwrap();
    let read = stream.read_early_data(&mut [0; 64]);
    std::mem::forget(stream);
    read.is_ok_and(|read| read == EARLY.len())
}

fn times(server: &SslContext, flight: &[u8], mut between: impl FnMut()) -> usize {
    (0..3)
        .filter(|_| {
            let is_accepted = accepts(server, flight);
            between();
            is_accepted
        })
        .count()
}

#[test]
fn a_session_that_is_added_again_brings_early_data_once() {
    let store = ServerStore::new(100).unwrap();
    let server = server(&store, SslVersion::TLS1_3);
    let flight = first_flight(&Client::new(), &server);
    let sessions: Vec<SslSession> = store.sessions().iter().map(|one| (**one).clone()).collect();
    let again = || sessions.iter().for_each(|one| drop(store.add_session(one).unwrap()));
    assert_eq!(times(&server, &flight, again), 1);
}

#[test]
fn a_handle_that_a_hook_adds_again_brings_early_data_once() {
    let store = ServerStore::new(100).unwrap();
    let server = server(&store, SslVersion::TLS1_3);
    let left: Arc<Mutex<Vec<Session<SslSession>>>> = Arc::default();
    let leaving = Arc::clone(&left);
    let hooks = Hooks::new().on_removed(move |one: &Session<SslSession>, _| {
        leaving.lock().unwrap().push(one.clone());
    });
    store.cache().set_hooks(hooks);
    let flight = first_flight(&Client::new(), &server);
    let again =
        || left.lock().unwrap().drain(..).for_each(|one| drop(store.cache().add(one).unwrap()));
    assert_eq!(times(&server, &flight, again), 1);
}

#[test]
fn a_session_in_two_stores_brings_early_data_once() {
    let stores = [(); 2].map(|()| ServerStore::new(100).unwrap());
    let servers = stores.each_ref().map(|store| server(store, SslVersion::TLS1_3));
    let flight = first_flight(&Client::new(), &servers[0]);
    stores[0].sessions().iter().for_each(|one| drop(stores[1].add_session(one).unwrap()));
    assert_eq!(servers.iter().filter(|server| accepts(server, &flight)).count(), 1);
}

#[test]
fn a_session_that_was_read_from_der_brings_no_early_data() {
    let store = ServerStore::new(100).unwrap();
    let server = server(&store, SslVersion::TLS1_3);
    let flight = first_flight(&Client::new(), &server);
    for one in store.sessions() {
        let copy = SslSession::from_der(&one.to_der().unwrap()).unwrap();
        assert!(store.add_session(&copy).unwrap().changed());
    }
    assert!(!accepts(&server, &flight));
}

#[test]
fn a_revoked_session_that_is_added_again_is_not_resumed() {
    for version in BOTH {
        let store = ServerStore::new(100).unwrap();
        let (server, client) = (server(&store, version), Client::new());
        client.visit(&server, None);
        let (offered, stored) = (client.sessions().pop().unwrap(), store.sessions());
        store.revoke(Context::NONE);
        for one in &stored {
            let _ = store.add_session(one);
        }
        assert!(!client.visit(&server, Some(&offered)), "{version:?}");
        let offered = client.sessions().pop().unwrap();
        assert!(client.visit(&server, Some(&offered)), "{version:?}: of the new generation");
        for one in &stored {
            let builder = Session::<SslSession>::builder(one.id()).context(one.context());
            drop(store.cache().add(builder.protocol(one.protocol()).build((**one).clone())));
        }
        assert!(
            !client.visit(&server, Some(&offered_of(&client, &server, version, &store))),
            "{version:?}"
        );
    }
}

/// A session that is revoked, and filed anew by the program.
fn offered_of(
    client: &Client,
    server: &SslContext,
    version: SslVersion,
    store: &ServerStore,
) -> SslSession {
    client.sessions();
    store.flush_sessions(0);
    assert!(!client.visit(server, None), "{version:?}");
    let (offered, stored) = (client.sessions().pop().unwrap(), store.sessions());
    store.revoke(Context::NONE);
    store.flush_sessions(0);
    for one in &stored {
        let builder = Session::<SslSession>::builder(one.id()).context(one.context());
        drop(store.cache().add(builder.protocol(one.protocol()).build((**one).clone())));
    }
    offered
}

#[test]
fn a_revoked_session_that_was_read_from_der_is_not_resumed() {
    for version in BOTH {
        let store = ServerStore::new(100).unwrap();
        let (server, client) = (server(&store, version), Client::new());
        client.visit(&server, None);
        let (offered, stored) = (client.sessions().pop().unwrap(), store.sessions());
        store.revoke(Context::NONE);
        store.flush_sessions(0);
        for one in &stored {
            let _ = store.add_session(&SslSession::from_der(&one.to_der().unwrap()).unwrap());
        }
        assert!(!client.visit(&server, Some(&offered)), "{version:?}");
    }
}

/// Whatever is issued is taken out and added by the program.
#[test]
fn a_chain_of_sessions_that_are_added_again_ends() {
    let age = Duration::from_secs(1);
    let store = ServerStore::new(100).unwrap().max_age(age);
    let (server, client) = (server(&store, SslVersion::TLS1_3), Client::new());
    assert_chain_ends(age, || {
        let stored = store.sessions();
        store.flush_sessions(0);
        stored.iter().for_each(|one| drop(store.add_session(one)));
        client.visit(&server, client.sessions().pop().as_ref())
    });
}

#[test]
fn contexts_of_one_name_keep_their_own_maximum_age() {
    for version in BOTH {
        let long = ServerStore::new(100).unwrap();
        let short = long.clone().max_age(Duration::ZERO);
        let (made_by, resumed_by, client) =
            (server(&long, version), server(&short, version), Client::new());
        client.visit(&made_by, None);
        let session = client.sessions().pop().unwrap();
        // A session is valid through its last second.
        sleep(Duration::from_millis(1_100));
        assert!(!client.visit(&resumed_by, Some(&session)), "{version:?}");
    }
}

#[test]
fn what_is_issued_from_a_session_is_of_its_generation() {
    let store = ServerStore::new(100).unwrap();
    let (server, client) = (server(&store, SslVersion::TLS1_3), Client::new());
    client.visit(&server, None);
    let generation = store.sessions()[0].generation();
    store.revoke(Context::digest(["another"]));
    assert!(client.visit(&server, client.sessions().pop().as_ref()));
    assert!(store.sessions().iter().all(|one| one.generation() == generation));
}
