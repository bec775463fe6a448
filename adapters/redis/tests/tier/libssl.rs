//! Handshakes of libssl on two nodes.

use std::time::Duration;

use openssl::ssl::{Ssl, SslContext, SslSession, SslVersion};
use sessile::{Context, View};
use sessile_openssl::ServerStore;
use sessile_redis::Tier;
use sessile_redis::hello::Offer;

use crate::node::{SOON, ring, wait};
use crate::openssl_support::{BOTH, Client, Link, Site};
use crate::server::Server;

struct Host {
    store: ServerStore,
    context: SslContext,
    tier: Tier<SslSession>,
}

impl Host {
    fn new(server: &Server, site: &Site, version: SslVersion) -> Self {
        let store = ServerStore::new(1000).unwrap();
        let tier = Tier::builder(ring())
            .response_timeout(SOON)
            .attach(store.cache(), &server.address())
            .unwrap();
        wait("the tier is up", || tier.stats().is_up);
        let context = site.server(version, |builder| {
            store.attach(builder, Context::digest(["site"])).unwrap();
        });
        Self { store, context, tier }
    }

    fn view(&self) -> View<'_, SslSession> {
        self.store.view(Context::digest(["site"]))
    }

    /// Fetches what a client offers.
    fn prefetch(&self, offer: &Offer) -> usize {
        self.tier.prefetch_in_blocking(self.view().context(), offer, SOON)
    }

    fn settle(&self) {
        assert!(self.tier.settle_blocking(SOON), "{:?}", self.tier.stats());
    }
}

/// What a client with this session offers: a TLS 1.3 ticket of this store is an id.
fn offer(host: &Host, version: SslVersion, session: &SslSession) -> Offer {
    let of_store = |ticket: &[u8]| sessile::SessionId::new(ticket).ok();
    match version {
        SslVersion::TLS1_2 => Offer { session_id: of_store(session.id()), tickets: Vec::new() },
        // The client's own id of a TLS 1.3 session is a digest; the store knows the ticket's.
        _ => {
            let ids = host.view().iter().map(|session| session.id());
            Offer { session_id: None, tickets: ids.collect() }
        }
    }
}

#[test]
fn a_client_of_libssl_resumes_at_the_other_node() {
    let Some(server) = Server::start(&[]) else { return };
    let (site, client) = (Site::new(), Client::new());
    for version in BOTH {
        let [one, other] = [0, 1].map(|_| Host::new(&server, &site, version));
        assert!(!client.visit(&one.context, None));
        let session = client.sessions().pop().unwrap();
        one.settle();
        let offer = offer(&one, version, &session);
        assert!(other.prefetch(&offer) > 0, "{version:?}: {:?}", other.tier.stats());
        let mut link = Link::new(client.ssl(Some(&session)), Ssl::new(&other.context).unwrap());
        link.handshake().unwrap();
        link.exchange();
        assert!(link.resumed(), "{version:?}");
        link.close();
        client.sessions();
        let is_again = client.visit(&other.context, Some(&session));
        assert_eq!(is_again, version == SslVersion::TLS1_2, "{version:?}");
    }
}

#[test]
fn a_chain_of_resumptions_over_nodes_ends_with_the_deadline_of_its_first() {
    let Some(server) = Server::start(&[]) else { return };
    let (site, client, version) = (Site::new(), Client::new(), SslVersion::TLS1_3);
    let hosts: [Host; 2] = [0, 1].map(|_| Host::new(&server, &site, version));
    assert!(!client.visit(&hosts[0].context, None));
    let deadlines = |host: &Host| {
        let ends = || host.view().iter().map(|session| session.deadline().unwrap());
        (ends().min(), ends().max())
    };
    let first = deadlines(&hosts[0]);
    assert_eq!(first.0, first.1);
    std::thread::sleep(Duration::from_millis(1100));
    let session = client.sessions().pop().unwrap();
    hosts[0].settle();
    hosts[1].prefetch(&offer(&hosts[0], version, &session));
    assert!(client.visit(&hosts[1].context, Some(&session)));
    assert_eq!(deadlines(&hosts[1]), first);
}

#[test]
fn a_session_of_two_uses_is_classified_by_its_protocol() {
    let Some(server) = Server::start(&[]) else { return };
    let (site, client) = (Site::new(), Client::new());
    for version in BOTH {
        let host = Host::new(&server, &site, version);
        client.visit(&host.context, None);
        host.settle();
        let letter = if version == SslVersion::TLS1_2 { b'n' } else { b'1' };
        assert!(server.contents().iter().all(|(name, _)| name[b"sessile:".len()] == letter));
        redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap();
    }
}
