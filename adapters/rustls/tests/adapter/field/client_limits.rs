//! What a client remembers is bounded: in time and in bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::HandshakeKind::{Full, Resumed};
use rustls::client::ClientSessionStore;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache};
use rustls::version::{TLS12, TLS13};
use sessile::Context;
use sessile_rustls::ClientStore;

use crate::support::{BOTH, Site, name, shake, shake_with};

/// Tickets that are as long as a hostile server likes.
#[derive(Debug)]
struct Stuffed {
    bytes: usize,
}

impl ProducesTickets for Stuffed {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        24 * 60 * 60
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let length = u16::try_from(plain.len()).ok()?.to_be_bytes();
        let mut ticket = [length.as_slice(), plain].concat();
        ticket.resize(self.bytes.max(ticket.len()), 0xee);
        Some(ticket)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (length, plain) = cipher.split_first_chunk()?;
        plain.get(..usize::from(u16::from_be_bytes(*length))).map(<[u8]>::to_vec)
    }
}

fn hostile(
    site: &Site,
    version: &'static rustls::SupportedProtocolVersion,
    bytes: usize,
) -> rustls::ServerConfig {
    let mut server = site.server(version, ServerSessionMemoryCache::new(1));
    server.ticketer = Arc::new(Stuffed { bytes });
    server
}

/// How many tickets of a size are kept of a server that sends twelve, or what rustls reads at once.
fn kept(bytes: usize) -> usize {
    let site = Site::new(&["localhost"]);
    let mut server = hostile(&site, &TLS13, bytes);
    server.send_tls13_tickets = 12.min(50_000 / bytes);
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    let client = Arc::new(site.client_with(store.clone()));
    assert_eq!(shake(&client, &Arc::new(server)), Full);
    std::iter::from_fn(|| store.take_tls13_ticket(&name("localhost"))).count()
}

#[test]
fn a_server_gets_sixteen_kib() {
    assert_eq!(kept(200), 8);
    assert_eq!(kept(1_000), 8);
    assert_eq!(kept(4_000), 3);
    assert_eq!(kept(15_000), 1, "the newest");
    assert_eq!(kept(17_000), 0);
}

#[test]
fn a_large_ticket_is_resumed_and_leaves_room_again() {
    let site = Site::new(&["localhost"]);
    let mut server = hostile(&site, &TLS13, 15_000);
    server.send_tls13_tickets = 2;
    let server = Arc::new(server);
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    let client = Arc::new(site.client_with(store));
    assert_eq!(shake(&client, &server), Full);
    for _ in 0..20 {
        assert_eq!(shake(&client, &server), Resumed);
    }
}

#[test]
fn a_large_tls12_session_is_not_kept() {
    for (bytes, expected) in [(15_000, Resumed), (17_000, Full)] {
        let site = Site::new(&["localhost"]);
        let server = Arc::new(hostile(&site, &TLS12, bytes));
        let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
        let client = Arc::new(site.client_with(store));
        assert_eq!(shake(&client, &server), Full);
        assert_eq!(shake(&client, &server), expected);
    }
}

#[test]
fn a_client_that_comes_back_often_is_authenticated_anew_after_max_age() {
    // rustls dates a TLS 1.2 session anew after each resumption, so its own check never ends that.
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let server = Arc::new(hostile(&site, version, 200));
        let store = ClientStore::new(100).unwrap().max_age(Duration::from_secs(1));
        let client = Arc::new(site.client_with(store.for_context(Context::NONE)));
        for second in 0..2 {
            sleep_to_the_middle_of_a_second();
            assert_eq!(shake(&client, &server), Full, "{version:?} {second}");
            // On a busy machine the second can end before the next one.
            let resumes = (0..100).any(|_| shake(&client, &server) == Resumed);
            assert!(resumes, "{version:?} {second}");
        }
    }
}

#[test]
fn a_client_resumes_nothing_that_a_handle_of_another_age_made() {
    for version in BOTH {
        let site = Site::new(&["localhost"]);
        let server = Arc::new(hostile(&site, version, 200));
        let long = ClientStore::new(100).unwrap();
        let short = long.clone().max_age(Duration::from_secs(1));
        let contexts = [long, short].map(|store| store.for_context(Context::NONE));
        // One verifier: rustls compares the object.
        let made = site.client_with(contexts[0].clone());
        let mut resumed = made.clone();
        resumed.resumption = rustls::client::Resumption::store(contexts[1].clone());
        let (made, resumed) = (Arc::new(made), Arc::new(resumed));
        assert_eq!(shake(&made, &server), Full);
        assert_eq!(shake(&made, &server), Resumed, "{version:?}");
        std::thread::sleep(Duration::from_millis(2_100));
        assert_eq!(shake(&resumed, &server), Full, "{version:?}");
    }
}

/// Handshakes that begin there end in the same second, and windows of whole seconds are aligned to
/// them.
fn sleep_to_the_middle_of_a_second() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let middle = Duration::from_millis(1_500) - Duration::from_nanos(now.subsec_nanos().into());
    std::thread::sleep(middle);
}

#[test]
fn a_server_is_forgotten_on_request() {
    for version in BOTH {
        let site = Site::new(&["one.example", "two.example"]);
        let server = Arc::new(hostile(&site, version, 200));
        let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
        let client = Arc::new(site.client_with(store.clone()));
        for host in ["one.example", "two.example"] {
            assert_eq!(shake_with(host, &client, &server), Full);
        }
        store.forget(&name("ONE.example"));
        assert_eq!(store.kx_hint(&name("one.example")), None);
        assert_eq!(shake_with("one.example", &client, &server), Full);
        assert_eq!(shake_with("two.example", &client, &server), Resumed);
    }
}
