//! 0-RTT: data that a recorded ClientHello brings again is refused.

use std::sync::Arc;

use openssl::ssl::{ErrorCode, Ssl, SslContext, SslStream, SslVersion};
use sessile::Context;
use sessile_openssl::ServerStore;

use crate::support::{Client, Pipe, Site};

const EARLY: &[u8] = b"transfer 100";

fn early_server(store: &ServerStore) -> SslContext {
    Site::new().server(SslVersion::TLS1_3, |context| {
        context.set_max_early_data(1024).unwrap();
        store.attach(context, Context::NONE).unwrap();
    })
}

/// The first flight of a client with early data, as it would be recorded on the wire.
fn first_flight(client: &Client, server: &SslContext) -> Vec<u8> {
    client.visit(server, None);
    let ticket = client.sessions().pop().unwrap();
    let mut ssl = client.ssl(Some(&ticket));
    ssl.set_connect_state();
    let pipe = Pipe::default();
    let mut stream = SslStream::new(ssl, pipe.clone()).unwrap();
    assert_eq!(stream.write_early_data(EARLY).unwrap(), EARLY.len());
    pipe.sent()
}

/// What a server makes of a first flight: the early data, if it accepts them.
fn play(server: &SslContext, flight: &[u8]) -> Option<Vec<u8>> {
    let mut ssl = Ssl::new(server).unwrap();
    ssl.set_accept_state();
    let pipe = Pipe::default();
    pipe.receive(flight);
    let mut stream = SslStream::new(ssl, pipe).unwrap();
    let mut buffer = [0; 64];
    match stream.read_early_data(&mut buffer) {
        Ok(0) => None,
        Ok(read) => Some(buffer[..read].to_vec()),
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::WANT_READ, "{error}");
            None
        }
    }
}

#[test]
fn a_replayed_first_flight_is_answered_once() {
    let store = ServerStore::new(100).unwrap();
    let server = early_server(&store);
    let flight = first_flight(&Client::new(), &server);
    let accepted: Vec<_> = (0..4).map(|_| play(&server, &flight)).collect();
    assert_eq!(accepted, [Some(EARLY.to_vec()), None, None, None]);
    assert_eq!((store.stats().taken, store.stats().misses), (1, 3));
}

#[test]
fn racing_replays_are_answered_once() {
    let store = ServerStore::new(100).unwrap();
    let server = early_server(&store);
    let client = Client::new();
    for round in 0..20 {
        let flight = Arc::new(first_flight(&client, &server));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (server, flight) = (server.clone(), Arc::clone(&flight));
                std::thread::spawn(move || play(&server, &flight).is_some())
            })
            .collect();
        let accepted = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(accepted.filter(|accepted| *accepted).count(), 1, "round {round}");
    }
}

/// libssl's own protection asks its own cache, where nothing is: it refuses early data always.
#[test]
fn a_reusable_store_leaves_the_protection_to_libssl() {
    let store = ServerStore::new(100).unwrap().reusable(true);
    let server = early_server(&store);
    let flight = first_flight(&Client::new(), &server);
    assert_eq!(play(&server, &flight), None);
}
