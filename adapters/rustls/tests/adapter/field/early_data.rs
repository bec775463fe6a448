//! Early data are accepted at most once, whatever answers for the session.

use std::sync::Arc;

use rustls::HandshakeKind::{Full, Resumed};
use rustls::server::StoresServerSessions;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use sessile::{CoarseClock, Context, Hooks, Secret, Session, SessionCache};
use sessile_rustls::ServerStore;

use super::tier::{Answer, cache_with_tier};
use crate::support::{EARLY, Pair, Site, answer, first_flight, hello, replay, shake};

/// How often a recorded first flight is played.
const PLAYS: usize = 5;

struct Peers {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Peers {
    fn new(store: Arc<dyn StoresServerSessions>) -> Self {
        let site = Site::new(&["localhost"]);
        let mut server = site.server(&TLS13, store);
        server.max_early_data_size = 1000;
        let mut client = site.client();
        client.enable_early_data = true;
        let peers = Self { server: Arc::new(server), client: Arc::new(client) };
        assert_eq!(shake(&peers.client, &peers.server), Full);
        peers
    }

    /// Plays a first flight again and again, while all its connections are open; how often it was
    /// resumed, and how often its early data were accepted.
    fn play(&self, flight: &[u8]) -> (usize, usize) {
        let played: Vec<_> = (0..PLAYS).map(|_| replay(&self.server, flight)).collect();
        let resumed =
            played.iter().filter(|(server, _)| server.handshake_kind() == Some(Resumed)).count();
        let accepted = played.iter().filter(|(_, early)| early.as_deref() == Some(EARLY)).count();
        let none = played.iter().filter(|(_, early)| early.is_none()).count();
        assert_eq!(accepted + none, PLAYS, "all of them or nothing");
        (resumed, accepted)
    }

    /// A whole handshake that offers early data, and whether they were accepted.
    fn offer(&self) -> (HandshakeKind, bool) {
        let (client, flight) = first_flight(&self.client);
        let (server, early) = replay(&self.server, &flight);
        let mut pair = Pair { client, server };
        let kind = pair.finish().unwrap();
        assert_eq!(
            pair.client.is_early_data_accepted(),
            early.as_deref() == Some(EARLY),
            "both agree"
        );
        (kind, early.is_some())
    }
}

#[test]
fn a_single_use_store_accepts_a_replayed_flight_once() {
    let store = ServerStore::new(100).unwrap();
    let peers = Peers::new(store.for_context(Context::NONE));
    assert_eq!(peers.play(&first_flight(&peers.client).1), (1, 1));
    assert_eq!(peers.offer(), (Resumed, true), "the next ticket's, again once");
}

#[test]
fn a_reusable_store_resumes_a_replayed_flight_and_never_accepts_its_early_data() {
    let store = ServerStore::new(100).unwrap().reusable(true);
    let peers = Peers::new(store.for_context(Context::NONE));
    assert_eq!(peers.play(&first_flight(&peers.client).1), (PLAYS, 0));
    assert_eq!(peers.offer(), (Resumed, false));
}

#[test]
fn a_tier_that_answers_again_resumes_without_early_data() {
    for answer in [Answer::Handle, Answer::Bytes] {
        let store = ServerStore::from_cache(cache_with_tier(answer, CoarseClock));
        let peers = Peers::new(store.for_context(Context::NONE));
        let flight = first_flight(&peers.client).1;
        assert_eq!(peers.play(&flight), (PLAYS, 1), "{answer:?}");
        assert_eq!(peers.play(&flight), (PLAYS, 0), "{answer:?}");

        // Evicted before it is used: only the tier has it.
        store.cache().clear();
        assert_eq!(peers.offer(), (Resumed, false), "{answer:?}");
    }
}

#[test]
fn what_a_tier_supplied_is_never_taken_for_the_original() {
    for answer in [Answer::Handle, Answer::Bytes] {
        let store = ServerStore::from_cache(cache_with_tier(answer, CoarseClock));
        let single = store.for_context(Context::NONE);
        let reusable = store.clone().reusable(true).for_context(Context::NONE);
        let peers = Peers::new(single.clone());
        let ids: Vec<_> = store.cache().snapshot().iter().map(|session| session.id()).collect();
        let flight = first_flight(&peers.client).1;
        assert_eq!(peers.play(&flight), (PLAYS, 1));

        // Whatever asks the tier for the spent tickets must not put them back.
        for id in &ids {
            assert_eq!(single.get(id.as_bytes()), None, "as a TLS 1.2 hello may ask");
            assert_eq!(peers.play(&flight), (PLAYS, 0), "{answer:?}");
            assert!(reusable.take(id.as_bytes()).is_some());
            assert_eq!(peers.play(&flight), (PLAYS, 0), "{answer:?}");
            assert!(reusable.get(id.as_bytes()).is_some());
            assert_eq!(peers.play(&flight), (PLAYS, 0), "{answer:?}");
        }
    }
}

#[test]
fn a_handle_that_a_hook_adds_again_brings_early_data_once() {
    let store = ServerStore::new(100).unwrap();
    let cache = Arc::downgrade(store.cache());
    let again = move |session: &Session<Secret>, _| {
        let _ = cache.upgrade().unwrap().add(session.clone());
    };
    store.cache().set_hooks(Hooks::new().on_removed(again));
    let peers = Peers::new(store.for_context(Context::NONE));
    assert_eq!(peers.play(&first_flight(&peers.client).1), (PLAYS, 1));
}

#[test]
fn a_session_in_two_caches_brings_early_data_once() {
    let other = Arc::new(SessionCache::new(100).unwrap());
    let copies = Arc::clone(&other);
    let copy = move |session: &Session<Secret>| drop(copies.add(session.clone()));
    let cache = SessionCache::builder().hooks(Hooks::new().on_added(copy)).build().unwrap();
    let peers = Peers::new(ServerStore::from_cache(Arc::new(cache)).for_context(Context::NONE));
    let mut server = (*peers.server).clone();
    server.session_storage = ServerStore::from_cache(other).for_context(Context::NONE);
    let beside = Peers { server: Arc::new(server), client: Arc::clone(&peers.client) };
    let flight = first_flight(&peers.client).1;
    assert_eq!((peers.play(&flight), beside.play(&flight)), ((1, 1), (1, 0)));
}

#[test]
fn a_handle_that_takes_once_takes_the_original_after_reusable_ones_had_copies() {
    let store = ServerStore::new(100).unwrap();
    let peers = Peers::new(store.for_context(Context::NONE));
    let reusable = store.reusable(true);
    let mut other = (*peers.server).clone();
    other.session_storage = reusable.for_context(Context::NONE);
    let reusing = Peers { server: Arc::new(other), client: Arc::clone(&peers.client) };

    let flight = first_flight(&peers.client).1;
    assert_eq!(reusing.play(&flight), (PLAYS, 0));
    assert_eq!(peers.play(&flight), (1, 1));
    assert_eq!(reusing.play(&flight), (0, 0));
}

#[test]
fn a_copy_resumes_with_alpn_and_a_client_certificate() {
    let site = Site::new(&["localhost"]);
    let person = Site::new(&["person"]);
    let store = ServerStore::new(100).unwrap().reusable(true);
    let mut server = site.server_for(&TLS13, store.for_context(Context::NONE), Some(&person));
    server.alpn_protocols = vec![b"ftp".to_vec()];
    server.max_early_data_size = 1000;
    let mut client = site.client_of(Some(&person));
    client.alpn_protocols = vec![b"ftp".to_vec()];
    client.enable_early_data = true;
    let peers = Peers { server: Arc::new(server), client: Arc::new(client) };

    assert_eq!(shake(&peers.client, &peers.server), Full);
    assert_eq!(peers.play(&first_flight(&peers.client).1), (PLAYS, 0));
    assert_eq!(peers.offer(), (Resumed, false));
}

#[test]
fn values_of_another_format_are_not_copied() {
    let store = ServerStore::new(100).unwrap().reusable(true);
    let context = store.for_context(Context::NONE);
    assert!(context.put(vec![1; 32], b"not a session".to_vec()));
    assert_eq!(context.take(&[1; 32]), None);
}

#[test]
fn a_tls13_hello_does_not_spend_a_tls12_session() {
    // Session ids of TLS 1.2 cross the network in clear.
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS12, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());
    assert_eq!(shake(&client, &server), Full);
    for session in store.cache().snapshot() {
        assert_eq!(store.for_context(Context::NONE).take(session.id().as_bytes()), None);
    }
    assert_eq!(shake(&client, &server), Resumed);
}

#[test]
fn a_broken_binder_spends_the_ticket() {
    // A limit: rustls takes the session before it verifies the binder, and the store hears no more.
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let server = Arc::new(site.server(&TLS13, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());
    assert_eq!(shake(&client, &server), Full);
    let offer = hello(&client);
    let mut broken = offer.clone();
    *broken.last_mut().unwrap() ^= 1;
    let mut connection = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
    connection.read_tls(&mut broken.as_slice()).unwrap();
    assert!(connection.process_new_packets().is_err());
    assert_eq!(answer(&server, &offer), Full);
}
