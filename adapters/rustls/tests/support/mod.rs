//! Certificates, configurations and handshakes in memory.

#![allow(dead_code, reason = "each test file uses its part")]

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::client::{ClientSessionStore, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::StoresServerSessions;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind, RootCertStore};
use rustls::{ServerConfig, ServerConnection, SideData, SupportedProtocolVersion};

pub(crate) const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A self-signed certificate with its key, for the names given.
pub(crate) struct Site {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Site {
    pub(crate) fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self { certificate: made.cert.der().clone(), key: made.signing_key.serialize_der() }
    }

    pub(crate) fn server(
        &self,
        version: &'static SupportedProtocolVersion,
        store: Arc<dyn StoresServerSessions>,
    ) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![self.certificate.clone()],
                PrivatePkcs8KeyDer::from(self.key.clone()).into(),
            )
            .unwrap();
        config.session_storage = store;
        config
    }

    /// A client that trusts this site and remembers sessions as rustls does by default.
    pub(crate) fn client(&self) -> ClientConfig {
        client_of(&[self])
    }

    pub(crate) fn client_with(&self, store: Arc<dyn ClientSessionStore>) -> ClientConfig {
        let mut config = self.client();
        config.resumption = Resumption::store(store);
        config
    }
}

/// A client that trusts all of `sites`.
pub(crate) fn client_of(sites: &[&Site]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for site in sites {
        roots.add(site.certificate.clone()).unwrap();
    }
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn name(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned()).unwrap()
}

/// A handshake with `localhost`, as both sides saw it.
pub(crate) fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
    shake_with("localhost", client, server)
}

pub(crate) fn shake_with(
    host: &str,
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> HandshakeKind {
    let mut client = ClientConnection::new(Arc::clone(client), name(host)).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while transfer(&mut client, &mut server) + transfer(&mut server, &mut client) > 0 {}
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let kind = client.handshake_kind().unwrap();
    assert_eq!(Some(kind), server.handshake_kind(), "both sides agree");
    kind
}

/// The bytes of a ClientHello.
pub(crate) fn hello(client: &Arc<ClientConfig>) -> Vec<u8> {
    let mut client = ClientConnection::new(Arc::clone(client), name("localhost")).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// What a new connection of `server` answers to a ClientHello.
pub(crate) fn answer(server: &Arc<ServerConfig>, mut hello: &[u8]) -> HandshakeKind {
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    server.read_tls(&mut hello).unwrap();
    server.process_new_packets().unwrap();
    server.handshake_kind().unwrap()
}

fn transfer(
    from: &mut impl DerefMut<Target = ConnectionCommon<impl SideData>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<impl SideData>>,
) -> usize {
    let mut moved = 0;
    while from.wants_write() {
        let mut bytes = Vec::new();
        moved += from.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            to.read_tls(&mut rest).unwrap();
            to.process_new_packets().unwrap();
        }
    }
    moved
}

/// Counts the calls that rustls makes.
#[derive(Debug)]
pub(crate) struct Counting {
    inner: Arc<dyn StoresServerSessions>,
    puts: AtomicUsize,
    gets: AtomicUsize,
    takes: AtomicUsize,
}

impl Counting {
    pub(crate) fn new(inner: Arc<dyn StoresServerSessions>) -> Arc<Self> {
        Arc::new(Self { inner, puts: 0.into(), gets: 0.into(), takes: 0.into() })
    }

    /// (put, get, take)
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (read(&self.puts), read(&self.gets), read(&self.takes))
    }
}

impl StoresServerSessions for Counting {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.inner.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.takes.fetch_add(1, Ordering::Relaxed);
        self.inner.take(key)
    }

    fn can_cache(&self) -> bool {
        self.inner.can_cache()
    }
}
