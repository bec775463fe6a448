//! What is read from first flights: real ones, broken ones, and whatever a peer may send.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslStream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use sessile::{Context, SessionId};
use sessile_redis::hello::{Flight, HELLO_MAX, Offer, TICKETS_MAX, read};
use sessile_redis::peek_offer;
use sessile_rustls::ServerStore;
use tokio::net::{TcpListener, TcpStream};

use support::{Site, hello, shake};

#[allow(dead_code, reason = "a part of it is needed")]
#[path = "../../rustls/tests/adapter/support.rs"]
mod support;

/// A client that has visited a server, and what the server's store holds for it.
fn visited(version: &'static SupportedProtocolVersion) -> (Arc<ClientConfig>, Vec<SessionId>) {
    let (site, store) = (Site::new(&["localhost"]), ServerStore::new(100).unwrap());
    let server = Arc::new(site.server(version, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());
    shake(&client, &server);
    (client, store.cache().iter().map(|session| session.id()).collect())
}

fn offered(flight: &[u8]) -> Offer {
    match read(flight) {
        Flight::Hello(offer) => offer,
        other => panic!("{other:?}"),
    }
}

/// The flight in records of `size` bytes each.
fn fragmented(flight: &[u8], size: usize) -> Vec<u8> {
    let record = |content: &[u8]| {
        let [high, low] = (content.len() as u16).to_be_bytes();
        [&[22, 3, 1, high, low], content].concat()
    };
    flight[5..].chunks(size).flat_map(record).collect()
}

#[test]
fn sessions_of_both_protocols_are_read() {
    let (client, stored) = visited(&TLS13);
    let offer = offered(&hello(&client));
    assert_eq!(offer.tickets.len(), 1);
    assert!(stored.contains(&offer.tickets[0]));

    let (client, stored) = visited(&TLS12);
    let offer = offered(&hello(&client));
    assert!(offer.tickets.is_empty());
    assert_eq!(offer.session_id.as_slice(), stored);
}

#[test]
fn a_flight_in_any_parts_says_the_same() {
    let (client, _) = visited(&TLS13);
    let flight = hello(&client);
    let offer = offered(&flight);
    for size in [1, 2, 5, 100, 1 << 14] {
        let fragmented = fragmented(&flight, size);
        assert_eq!(offered(&fragmented), offer, "records of {size}");
        for length in 0..fragmented.len() {
            assert_eq!(read(&fragmented[..length]), Flight::Partial, "{length}");
        }
    }
    assert_eq!(offered(&[&flight[..], b"early data"].concat()), offer);
}

#[test]
fn a_hello_of_libssl_is_read() {
    let context = SslContextBuilder::new(SslMethod::tls_client()).unwrap().build();
    let mut ssl = Ssl::new(&context).unwrap();
    ssl.set_hostname("localhost").unwrap();
    let mut stream = SslStream::new(ssl, Wire::default()).unwrap();
    assert!(stream.connect().is_err());
    let offer = offered(&stream.get_ref().0);
    assert!(offer.tickets.is_empty());
    assert!(offer.session_id.is_some(), "random, for old proxies");
}

#[derive(Debug, Default)]
struct Wire(Vec<u8>);

impl std::io::Read for Wire {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_no_hello_is_told_at_once() {
    let others: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n",
        &[22, 2],
        &[23, 3, 1, 0, 1, 0],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0xff, 0xff, 1],
        &[22, 3, 1, 0, 1, 2],
    ];
    for other in others {
        assert_eq!(read(other), Flight::Other, "{other:?}");
    }
    let [_, high, middle, low] = (HELLO_MAX as u32).to_be_bytes();
    assert_eq!(read(&[22, 3, 1, 0, 4, 1, high, middle, low]), Flight::Other, "too long");
}

/// A ClientHello with these identities.
fn with_identities(identities: &[Vec<u8>]) -> Vec<u8> {
    let vector2 = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let one = |identity: &Vec<u8>| [vector2(identity.clone()), vec![0; 4]].concat();
    let keys = vector2(identities.iter().flat_map(one).collect());
    let extension = [&[0, 41][..], &vector2(keys)].concat();
    let mut body = vec![3, 3];
    body.extend([0; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(vector2(extension));
    let [_, high, middle, low] = (body.len() as u32).to_be_bytes();
    let message = [&[1, high, middle, low][..], &body].concat();
    [&[22, 3, 1][..], &vector2(message)].concat()
}

#[test]
fn a_client_cannot_have_more_than_a_few_tickets_looked_for() {
    let of = |byte: u8, length: usize| vec![byte; length];
    let offer = offered(&with_identities(&[of(1, 33), of(1, 32), of(1, 32), of(2, 0), of(2, 1)]));
    let expected = [of(1, 32), of(2, 1)].map(|id| SessionId::new(&id).unwrap());
    assert_eq!((offer.tickets.as_slice(), offer.session_id), (&expected[..], None));
    let many: Vec<_> = (0..100).map(|byte| of(byte, 32)).collect();
    assert_eq!(offered(&with_identities(&many)).tickets.len(), TICKETS_MAX);
}

#[test]
fn no_bytes_make_it_panic() {
    read_changed_flights(50_000);
}

/// A minute: `cargo test -p sessile-redis --test offers -- --ignored`.
#[test]
#[ignore = "a minute"]
fn no_bytes_of_a_million_flights_make_it_panic() {
    read_changed_flights(1_000_000);
}

fn read_changed_flights(number: usize) {
    let mut random = StdRng::seed_from_u64(number as u64);
    let flights: Vec<_> = [&TLS12, &TLS13].map(|version| hello(&visited(version).0)).into();
    let mut hellos = 0;
    for round in 0..number {
        let mut flight = fragmented(&flights[round % 2], random.random_range(1..600));
        for _ in 0..random.random_range(1..8) {
            let place = random.random_range(0..flight.len());
            match random.random_range(0..4) {
                0 => flight[place] = random.random(),
                1 => flight[place] ^= 1 << random.random_range(0..8),
                2 => flight.truncate(place.max(1)),
                _ => flight.insert(place, random.random()),
            }
        }
        if let Flight::Hello(offer) = read(&flight) {
            assert!(offer.tickets.len() <= TICKETS_MAX);
            hellos += 1;
        }
    }
    println!("{number} changed flights: {hellos} are still a ClientHello");
    assert!(hellos > number / 50, "{hellos}");
}

#[tokio::test]
async fn a_hello_is_read_from_a_socket_and_stays_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, _) = visited(&TLS13);
    let flight = fragmented(&hello(&client), 150);
    let mut sender = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let parts = flight.clone();
    let sends = std::thread::spawn(move || {
        for part in parts.chunks(100) {
            sender.write_all(part).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        sender
    });
    let offer = peek_offer(&stream, Duration::from_secs(60)).await;
    assert_eq!(offer, Some(offered(&flight)));
    let _sender = sends.join().unwrap();
    let mut left = vec![0; flight.len() + 1];
    let length = stream.peek(&mut left).await.unwrap();
    assert_eq!(left[..length], flight);
}

/// On a clock that goes on when there is nothing to do but to wait.
#[tokio::test(start_paused = true)]
async fn a_silent_client_and_one_that_leaves_cost_the_budget_at_most() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    assert_eq!(peek_offer(&stream, Duration::from_millis(20)).await, None);
    sender.try_write(&[22, 3, 1, 0, 200, 1]).unwrap();
    assert_eq!(peek_offer(&stream, Duration::from_millis(20)).await, None);
    drop(sender);
    let (begun, budget) = (tokio::time::Instant::now(), Duration::from_millis(100));
    let _ = peek_offer(&stream, budget).await;
    assert!(begun.elapsed() <= budget + Duration::from_millis(1), "{:?}", begun.elapsed());
}
