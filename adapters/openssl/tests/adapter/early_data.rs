//! 0-RTT: data that a recorded ClientHello brings again is refused.

use std::sync::{Arc, Mutex};

use openssl::ssl::{
    ClientHelloResponse, ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions,
    SslSession, SslStream, SslVersion,
};
use sessile::{Context, Hooks, Session};
use sessile_openssl::{ClientStore, ServerStore};

use crate::support::{Client, Counter, Link, Pipe, Site, counted, duplicate, retried_client};

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

/// A server's connection on which a flight has arrived.
fn opened(server: &SslContext, flight: &[u8]) -> SslStream<Pipe> {
    let mut ssl = Ssl::new(server).unwrap();
    ssl.set_accept_state();
    let pipe = Pipe::default();
    pipe.receive(flight);
    SslStream::new(ssl, pipe).unwrap()
}

/// What a server makes of a first flight: the early data, if it accepts them, and the connection,
/// which is still open.
fn play_open(server: &SslContext, flight: &[u8]) -> (Option<Vec<u8>>, SslStream<Pipe>) {
    let mut stream = opened(server, flight);
    let mut buffer = [0; 64];
    let data = match stream.read_early_data(&mut buffer) {
        Ok(0) => None,
        Ok(read) => Some(buffer[..read].to_vec()),
        Err(error) => {
            assert!(matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::SYSCALL), "{error:?}");
            None
        }
    };
    (data, stream)
}

fn play(server: &SslContext, flight: &[u8]) -> Option<Vec<u8>> {
    play_open(server, flight).0
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

#[test]
fn a_reusable_store_accepts_no_early_data() {
    let store = ServerStore::new(100).unwrap().reusable(true);
    let server = early_server(&store);
    let client = Client::new();
    assert_eq!(accepted(&server, &first_flight(&client, &server)), 0);
    client.visit(&server, None);
    let ticket = client.sessions().pop().unwrap();
    assert!(client.visit(&server, Some(&duplicate(&ticket))), "and resumes nevertheless");
    assert!(client.visit(&server, Some(&ticket)));
}

/// How often a first flight is answered with its data, of four times, on connections that stay
/// open.
fn accepted(server: &SslContext, flight: &[u8]) -> usize {
    let (accepted, _open): (Vec<_>, Vec<_>) = (0..4).map(|_| play_open(server, flight)).unzip();
    accepted.into_iter().flatten().inspect(|data| assert_eq!(data, EARLY)).count()
}

/// The store that was attached last decides, whatever the one before has set.
#[test]
fn a_reusable_store_after_another_accepts_no_early_data() {
    let single_use = ServerStore::new(100).unwrap();
    let reusable = single_use.clone().reusable(true);
    for (stores, times) in [([&single_use, &reusable], 0), ([&reusable, &single_use], 1)] {
        let server = Site::new().server(SslVersion::TLS1_3, |context| {
            context.set_max_early_data(1024).unwrap();
            stores.iter().for_each(|store| store.attach(context, Context::NONE).unwrap());
        });
        assert_eq!(accepted(&server, &first_flight(&Client::new(), &server)), times);
    }
}

/// Two contexts of one name, one of which hands out what the other takes, and a tier that has it
/// all.
#[test]
fn contexts_of_both_kinds_and_a_tier_accept_early_data_once() {
    let store = ServerStore::new(100).unwrap();
    let tier = Arc::new(Mutex::new(Vec::<Session<SslSession>>::new()));
    let (told, asked) = (Arc::clone(&tier), Arc::clone(&tier));
    let hooks = Hooks::new()
        .on_added(move |session: &Session<SslSession>| told.lock().unwrap().push(session.clone()))
        .on_query(move |query| {
            asked.lock().unwrap().iter().find(|one| one.id() == *query.id()).cloned()
        });
    store.cache().set_hooks(hooks);
    let single_use = early_server(&store);
    let reusable = early_server(&store.clone().reusable(true));
    let flight = first_flight(&Client::new(), &single_use);
    // libssl marks the session of a connection that ends without a goodbye: all stay open.
    let mut open = Vec::new();
    for round in 0..3 {
        for (server, times) in [(&reusable, 0), (&single_use, usize::from(round == 0))] {
            let (accepted, connections): (Vec<_>, Vec<_>) =
                (0..4).map(|_| play_open(server, &flight)).unzip();
            assert_eq!(accepted.iter().flatten().count(), times, "{round}");
            open.extend(connections);
        }
    }
    assert!(store.stats().tier_hits > 0);
}

#[test]
fn a_change_to_a_reusable_context_leaves_no_early_data() {
    for by_client_hello in [true, false] {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let inner = site.server(SslVersion::TLS1_3, |context| {
            context.set_max_early_data(1024).unwrap();
            store.clone().reusable(true).attach(context, Context::digest(["inner"])).unwrap();
        });
        let outer = site.server(SslVersion::TLS1_3, |context| {
            context.set_max_early_data(1024).unwrap();
            store.attach(context, Context::digest(["outer"])).unwrap();
            match by_client_hello {
                true => context.set_client_hello_callback(move |ssl, _| {
                    ssl.set_ssl_context(&inner).unwrap();
                    Ok(ClientHelloResponse::SUCCESS)
                }),
                false => context.set_servername_callback(move |ssl, _| {
                    ssl.set_ssl_context(&inner).unwrap();
                    Ok(())
                }),
            }
        });
        let flight = first_flight(&Client::new(), &outer);
        assert_eq!(accepted(&outer, &flight), 0, "{by_client_hello}");
    }
}

/// A tier can hand out a session that somebody else was handed.
#[test]
fn a_session_from_a_tier_brings_no_early_data() {
    for has_first_tier in [true, false] {
        let store = ServerStore::new(100).unwrap();
        let tier = Arc::new(Mutex::new(Vec::<Session<SslSession>>::new()));
        let (told, asked) = (Arc::clone(&tier), Arc::clone(&tier));
        store.cache().set_hooks(
            Hooks::new()
                .on_added(move |session: &Session<SslSession>| {
                    told.lock().unwrap().push(session.clone())
                })
                .on_query(move |query| {
                    asked.lock().unwrap().iter().find(|one| one.id() == *query.id()).cloned()
                }),
        );
        let server = early_server(&store);
        let client = Client::new();
        let flight = first_flight(&client, &server);
        if !has_first_tier {
            store.flush_sessions(0);
        }
        assert_eq!(accepted(&server, &flight), usize::from(has_first_tier));
        assert_eq!(
            store.stats().tier_hits,
            4 - u64::from(has_first_tier),
            "all of them were resumed"
        );
        assert_eq!(accepted(&server, &flight), 0);
    }
}

/// libssl then resumes by tickets of which the store knows nothing.
#[test]
fn a_program_that_turns_tickets_on_has_no_early_data() {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new().server(SslVersion::TLS1_3, |context| {
        context.set_max_early_data(1024).unwrap();
        store.attach(context, Context::NONE).unwrap();
        context.clear_options(SslOptions::NO_TICKET);
    });
    assert_eq!(accepted(&server, &first_flight(&Client::new(), &server)), 0);
}

/// Early data that come with a broken binder are not read, and neither are those that come a second
/// time after the ticket was given back.
#[test]
fn a_ticket_that_was_given_back_brings_its_early_data_once() {
    let store = ServerStore::new(100).unwrap();
    let server = early_server(&store);
    let flight = first_flight(&Client::new(), &server);
    let spoilt = spoil_binder(&flight);
    for _ in 0..3 {
        assert_eq!(fails(&server, &spoilt), None);
    }
    assert_eq!(accepted(&server, &flight), 1);
    assert_eq!(play(&server, &spoilt), None);
    assert_eq!(accepted(&server, &flight), 0);
}

/// The flight with the last byte of its first record changed, where the last binder ends.
fn spoil_binder(flight: &[u8]) -> Vec<u8> {
    let mut spoilt = flight.to_vec();
    let length = usize::from(u16::from_be_bytes([flight[3], flight[4]]));
    spoilt[5 + length - 1] ^= 1;
    spoilt
}

fn fails(server: &SslContext, flight: &[u8]) -> Option<Vec<u8>> {
    let mut stream = opened(server, flight);
    let mut buffer = [0; 64];
    stream.read_early_data(&mut buffer).ok().map(|read| buffer[..read].to_vec())
}

/// A handshake that halts for early data is one handshake.
#[test]
fn handshakes_with_early_data_are_counted_once() {
    let store = ServerStore::new(100).unwrap();
    let server = early_server(&store);
    let memory = ClientStore::new(10).unwrap();
    let mut client = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    memory.attach(&mut client, Context::NONE).unwrap();
    let client = client.build();
    for visit in 0..4 {
        let mut ssl = Ssl::new(&client).unwrap();
        assert_eq!(ClientStore::offer(&mut ssl, "a:443").unwrap(), visit > 0);
        let mut link = Link::new(ssl, Ssl::new(&server).unwrap());
        if visit > 0 {
            assert_eq!(link.client.write_early_data(EARLY).unwrap(), EARLY.len());
            assert_eq!(link.read_early_data(), EARLY);
        } else {
            assert!(link.client.do_handshake().is_err());
            assert_eq!(link.read_early_data(), b"");
        }
        link.handshake().unwrap();
        link.exchange();
        link.close();
    }
    let (stats, clients) = (store.stats(), memory.stats());
    assert_eq!((stats.accept, stats.accept_good, stats.resumed), (4, 4, 3));
    assert_eq!((clients.connect, clients.connect_good, clients.resumed), (4, 4, 3));
    assert_eq!(stats.accept, counted(&server, Counter::Accept));
    assert_eq!(stats.accept_good, counted(&server, Counter::AcceptGood));
    assert_eq!(clients.connect, counted(&client, Counter::Connect));
    assert_eq!(clients.connect_good, counted(&client, Counter::ConnectGood));
}

#[test]
fn a_hello_retry_on_a_server_that_reads_early_data_resumes() {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new().server(SslVersion::TLS1_3, |context| {
        context.set_groups_list("P-256").unwrap();
        context.set_max_early_data(1024).unwrap();
        store.attach(context, Context::NONE).unwrap();
    });
    let client = retried_client();
    client.visit(&server, None);
    for _ in 0..3 {
        let ticket = client.sessions().pop().unwrap();
        let mut link = Link::new(client.ssl(Some(&ticket)), Ssl::new(&server).unwrap());
        assert_eq!(link.client.write_early_data(EARLY).unwrap(), EARLY.len());
        assert_eq!(link.read_early_data(), b"", "never after a HelloRetryRequest");
        link.handshake().unwrap();
        link.exchange();
        assert!(link.resumed());
        link.close();
    }
    assert_eq!((store.stats().resumed, store.stats().accept), (3, 4));
}
