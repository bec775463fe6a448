//! Certificates, configurations and handshakes in memory.

use std::io::{Read, Write};
use std::ops::DerefMut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{StoresServerSessions, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, Error, HandshakeKind, NamedGroup,
    RootCertStore,
};
use rustls::{ServerConfig, ServerConnection, SideData, SupportedProtocolVersion};
use sessile::Context;
use sessile_rustls::ServerStore;

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

    /// A server that wants clients with the certificate `person`, if one is given.
    pub(crate) fn server_for(
        &self,
        version: &'static SupportedProtocolVersion,
        store: Arc<dyn StoresServerSessions>,
        person: Option<&Self>,
    ) -> ServerConfig {
        let Some(person) = person else { return self.server(version, store) };
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(person.certificate.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let key = PrivatePkcs8KeyDer::from(self.key.clone()).into();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        config.session_storage = store;
        config
    }

    /// A client that trusts this site and shows the certificate `person`, if one is given.
    pub(crate) fn client_of(&self, person: Option<&Self>) -> ClientConfig {
        let Some(person) = person else { return self.client() };
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let key = PrivatePkcs8KeyDer::from(person.key.clone()).into();
        ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![person.certificate.clone()], key)
            .unwrap()
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
    Pair::new(host, client, server).finish().unwrap()
}

/// A handshake that may fail.
pub(crate) fn try_shake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<HandshakeKind, Error> {
    Pair::new("localhost", client, server).finish()
}

/// Both ends of a connection.
pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

impl Pair {
    pub(crate) fn new(host: &str, client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Self {
        let client = ClientConnection::new(Arc::clone(client), name(host)).unwrap();
        Self { client, server: ServerConnection::new(Arc::clone(server)).unwrap() }
    }

    /// Has the server answer the ClientHello.
    pub(crate) fn begin(&mut self) {
        transfer(&mut self.client, &mut self.server).unwrap();
    }

    /// Goes on until nobody has anything to say.
    pub(crate) fn finish(&mut self) -> Result<HandshakeKind, Error> {
        while transfer(&mut self.client, &mut self.server)?
            + transfer(&mut self.server, &mut self.client)?
            > 0
        {}
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        let kind = self.client.handshake_kind().unwrap();
        assert_eq!(Some(kind), self.server.handshake_kind(), "both sides agree");
        Ok(kind)
    }
}

/// What clients of the tests send early.
pub(crate) const EARLY: &[u8] = b"early";

/// A client of `localhost` and its first flight, with early data if it may send any.
pub(crate) fn first_flight(client: &Arc<ClientConfig>) -> (ClientConnection, Vec<u8>) {
    let mut client = ClientConnection::new(Arc::clone(client), name("localhost")).unwrap();
    if let Some(mut early) = client.early_data() {
        early.write_all(EARLY).unwrap();
    }
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    (client, flight)
}

/// A new connection of `server` that was sent a first flight, and the early data that it accepted.
pub(crate) fn replay(
    server: &Arc<ServerConfig>,
    mut flight: &[u8],
) -> (ServerConnection, Option<Vec<u8>>) {
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while !flight.is_empty() {
        server.read_tls(&mut flight).unwrap();
        server.process_new_packets().unwrap();
    }
    let early = server.early_data().map(|mut early| {
        let mut data = vec![0; EARLY.len()];
        early.read_exact(&mut data).unwrap();
        data
    });
    (server, early)
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
) -> Result<usize, Error> {
    let mut moved = 0;
    while from.wants_write() {
        let mut bytes = Vec::new();
        moved += from.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            to.read_tls(&mut rest).unwrap();
            to.process_new_packets()?;
        }
    }
    Ok(moved)
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

/// Keeps every ticket it is given, for the caller to hand out.
#[derive(Debug, Default)]
struct Collector(Mutex<Vec<Tls13ClientSessionValue>>);

impl ClientSessionStore for Collector {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.lock().unwrap().push(ticket);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// Tickets with `max_early_data_size` 1, 2, 3 …, to tell them apart.
pub(crate) fn tickets(count: usize) -> Vec<Tls13ClientSessionValue> {
    let site = Site::new(&["localhost"]);
    let mut server =
        site.server(&TLS13, ServerStore::new(1_000).unwrap().for_context(Context::NONE));
    server.send_tls13_tickets = count;
    let collector = Arc::new(Collector::default());
    assert_eq!(
        shake(&Arc::new(site.client_with(collector.clone())), &Arc::new(server)),
        HandshakeKind::Full
    );
    let mut tickets = std::mem::take(&mut *collector.0.lock().unwrap());
    assert_eq!(tickets.len(), count);
    for (ticket, number) in tickets.iter_mut().zip(1..) {
        ticket._private_set_max_early_data_size(number);
    }
    tickets
}
