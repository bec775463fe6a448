//! Handshakes of rustls on two nodes, while the server fails.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ServerConfig, SupportedProtocolVersion};
use sessile::{Context, Mode, Secret, SessionCache};
use sessile_redis::hello::{Flight, read};
use sessile_redis::{Tier, Uses};
use sessile_rustls::{ServerStore, is_tls12};

use crate::node::{Built, SOON, hasty, ring, wait};
use crate::rounds;
use crate::server::{Server, fail_for_ever};
use crate::single_use::End;
use crate::support::{EARLY, Pair, Site, first_flight, hello, replay};

struct Host {
    config: Arc<ServerConfig>,
    cache: Arc<SessionCache<Secret>>,
    tier: Tier<Secret>,
}

impl Host {
    fn new(
        server: &Server,
        site: &Site,
        version: &'static SupportedProtocolVersion,
        is_strict: bool,
    ) -> Self {
        Self::with(server, site, version, |tier| tier.strict(is_strict))
    }

    fn with(
        server: &Server,
        site: &Site,
        version: &'static SupportedProtocolVersion,
        change: impl FnOnce(Built) -> Built,
    ) -> Self {
        let cache = Arc::new(SessionCache::new(1000).unwrap());
        let tier = Tier::builder(ring())
            .uses(|session| if is_tls12(session) { Uses::Many } else { Uses::Once })
            .response_timeout(SOON);
        let tier = change(tier).attach(&cache, &server.address()).unwrap();
        wait("the tier is up", || tier.stats().is_up);
        let store = ServerStore::from_cache(Arc::clone(&cache));
        let mut config = site.server(version, store.for_context(Context::NONE));
        config.max_early_data_size = 1000;
        Self { config: Arc::new(config), cache, tier }
    }

    /// A connection, as a server makes it: the first flight, what it offers, the handshake.
    fn shake(&self, client: &Arc<ClientConfig>, budget: Duration) -> HandshakeKind {
        let mut pair = Pair::new("localhost", client, &self.config);
        // Another connection of this client would offer other tickets.
        let mut flight = Vec::new();
        pair.client.write_tls(&mut flight).unwrap();
        self.prefetch(&flight, budget);
        pair.server.read_tls(&mut flight.as_slice()).unwrap();
        pair.server.process_new_packets().unwrap();
        pair.finish().unwrap()
    }

    fn prefetch(&self, flight: &[u8], budget: Duration) {
        let Flight::Hello(offer) = read(flight) else { panic!("a ClientHello") };
        self.tier.prefetch_blocking(Context::NONE, &offer, budget);
    }

    fn settle(&self) {
        assert!(self.tier.settle_blocking(SOON), "{:?}", self.tier.stats());
    }
}

fn early_client(site: &Site) -> Arc<ClientConfig> {
    let mut client = site.client();
    client.enable_early_data = true;
    Arc::new(client)
}

#[test]
fn a_client_resumes_at_the_other_node() {
    let Some(server) = Server::start(&[]) else { return };
    let site = Site::new(&["localhost"]);
    for version in [&TLS12, &TLS13] {
        for is_strict in [false, true] {
            let hosts = [0, 1].map(|_| Host::new(&server, &site, version, is_strict));
            let client = Arc::new(site.client());
            assert_eq!(hosts[0].shake(&client, SOON), Full);
            for round in 0..10 {
                hosts.iter().for_each(Host::settle);
                let kind = hosts[(round + 1) % 2].shake(&client, SOON);
                assert_eq!(kind, Resumed, "{version:?}, strict {is_strict}, {round}");
            }
        }
    }
}

/// The cache stores nothing: all sessions lie in the tier only.
#[test]
fn a_client_resumes_from_the_tier_alone() {
    let Some(server) = Server::start(&[]) else { return };
    let site = Site::new(&["localhost"]);
    for version in [&TLS12, &TLS13] {
        let hosts = [0, 1].map(|_| Host::new(&server, &site, version, false));
        for host in &hosts {
            host.cache.set_mode(Mode { store: false, ..Mode::default() });
        }
        let client = Arc::new(site.client());
        assert_eq!(hosts[0].shake(&client, SOON), Full);
        for round in 0..6 {
            hosts.iter().for_each(Host::settle);
            let kind = hosts[round / 2 % 2].shake(&client, SOON);
            assert_eq!(kind, Resumed, "{version:?}, {round}");
            assert!(hosts.iter().all(|host| host.cache.is_empty()));
        }
    }
}

#[test]
fn early_data_are_accepted_by_the_node_that_made_the_ticket_or_not_at_all() {
    let Some(server) = Server::start(&[]) else { return };
    let site = Site::new(&["localhost"]);
    for is_strict in [false, true] {
        let hosts = [0, 1].map(|_| Host::new(&server, &site, &TLS13, is_strict));
        let client = early_client(&site);
        assert_eq!(hosts[0].shake(&client, SOON), Full);
        hosts[0].settle();
        let (_, flight) = first_flight(&client);
        let play = |host: &Host| {
            host.prefetch(&flight, SOON);
            let (server, early) = replay(&host.config, &flight);
            assert!(early.as_deref().is_none_or(|early| early == EARLY));
            (server.handshake_kind() == Some(Resumed), early.is_some())
        };
        let away = play(&hosts[1]);
        let home: Vec<_> = (0..3).map(|_| play(&hosts[0])).collect();
        assert_eq!(away, (true, false), "strict {is_strict}");
        let first = (!is_strict, !is_strict);
        assert_eq!(home, [first, (false, false), (false, false)]);
        assert_eq!(play(&hosts[1]), (false, false));
    }
}

#[test]
fn no_handshake_fails_beside_a_failing_server() {
    let Some(mut server) = Server::start(&[]) else { return };
    let site = Site::new(&["localhost"]);
    let hosts = [0, 1].map(|_| Host::with(&server, &site, &TLS13, hasty));
    let is_over = AtomicBool::new(false);
    let resumed = std::thread::scope(|scope| {
        let (server, is_over) = (&mut server, &is_over);
        scope.spawn(move || fail_for_ever(server, is_over));
        let _end = End(is_over);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (hosts, client) = (&hosts, Arc::new(site.client()));
                scope.spawn(move || {
                    let shake = |round: u64| {
                        let host = &hosts[(round % 2) as usize];
                        host.shake(&client, Duration::from_millis(10)) == Resumed
                    };
                    (0..rounds(400)).filter(|round| shake(*round)).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    println!("{resumed} of {} handshakes were resumed", rounds(800));
    assert!(resumed > 0);
}

#[test]
fn what_a_client_offers_is_read_from_its_first_flight() {
    let Some(server) = Server::start(&[]) else { return };
    let site = Site::new(&["localhost"]);
    let host = Host::new(&server, &site, &TLS13, false);
    let client = Arc::new(site.client());
    let offer = || match read(&hello(&client)) {
        Flight::Hello(offer) => offer,
        other => panic!("{other:?}"),
    };
    assert!(offer().tickets.is_empty());
    host.shake(&client, SOON);
    assert_eq!(offer().tickets.len(), 1);
}
