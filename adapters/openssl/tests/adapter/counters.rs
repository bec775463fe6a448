//! The `sess_*` counters: Sessile's beside those that libssl keeps of the same handshakes.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslVersion,
};
use sessile::{Context, ResumptionFigures, Resumptions, Stats};
use sessile_openssl::{ClientStore, ServerStore};

use crate::support::{
    BOTH, Client, Counter, Link, Site, counted, duplicate, renamed, retried_client, retrying_server,
};

type InfoCallback = unsafe extern "C" fn(*const openssl_sys::SSL, c_int, c_int);

unsafe extern "C" {
    fn SSL_CTX_set_info_callback(
        context: *mut openssl_sys::SSL_CTX,
        callback: Option<InfoCallback>,
    );
    fn SSL_renegotiate(ssl: *mut openssl_sys::SSL) -> c_int;
}

/// `SSL_OP_ALLOW_CLIENT_RENEGOTIATION`, without which OpenSSL 3 refuses a client's wish.
const ALLOW_CLIENT_RENEGOTIATION: SslOptions = SslOptions::from_bits_retain(1 << 8);

fn renegotiate(ssl: &SslRef) {
    // SAFETY: the connection is alive, and this test alone uses it.
    assert_eq!(unsafe { SSL_renegotiate(ssl.as_ptr()) }, 1);
}

/// A store with a server, and a client with a store.
struct Pair {
    store: ServerStore,
    server: SslContext,
    memory: ClientStore,
    client: SslContext,
}

impl Pair {
    fn new(version: SslVersion) -> Self {
        let store = ServerStore::new(100).unwrap();
        let server = Site::new().server(version, |context| {
            context.set_options(ALLOW_CLIENT_RENEGOTIATION);
            store.attach(context, Context::NONE).unwrap();
        });
        let memory = ClientStore::new(100).unwrap();
        let mut client = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        memory.attach(&mut client, Context::NONE).unwrap();
        Self { store, server, memory, client: client.build() }
    }

    fn link(&self) -> Link {
        let mut ssl = Ssl::new(&self.client).unwrap();
        ClientStore::offer(&mut ssl, "a:443").unwrap();
        Link::new(ssl, Ssl::new(&self.server).unwrap())
    }

    fn connected(&self) -> Link {
        let mut link = self.link();
        link.handshake().unwrap();
        link.exchange();
        link
    }

    /// The handshake counters agree with libssl's, on both sides.
    fn assert_agreement(&self, when: &str) {
        let (server, client) = (self.store.stats(), self.memory.stats());
        for (ours, theirs) in [
            (server.accept, counted(&self.server, Counter::Accept)),
            (server.accept_good, counted(&self.server, Counter::AcceptGood)),
            (server.accept_renegotiate, counted(&self.server, Counter::AcceptRenegotiate)),
            (client.connect, counted(&self.client, Counter::Connect)),
            (client.connect_good, counted(&self.client, Counter::ConnectGood)),
            (client.connect_renegotiate, counted(&self.client, Counter::ConnectRenegotiate)),
        ] {
            assert_eq!(ours, theirs, "{when}: {server:?}, {client:?}");
        }
    }
}

fn handshakes(stats: &Stats) -> [u64; 6] {
    [
        stats.accept,
        stats.accept_good,
        stats.accept_renegotiate,
        stats.connect,
        stats.connect_good,
        stats.connect_renegotiate,
    ]
}

#[test]
fn accepts_and_connects_are_libssls() {
    for version in BOTH {
        let pair = Pair::new(version);
        (0..3).for_each(|_| pair.connected().close());
        pair.assert_agreement("three good ones");
        assert_eq!(handshakes(&pair.store.stats()), [3, 3, 0, 0, 0, 0]);
        assert_eq!(handshakes(&pair.memory.stats()), [0, 0, 0, 3, 3, 0]);

        let mut link = pair.link();
        link.server.get_ref().receive(b"GET / HTTP/1.0\r\n\r\n");
        assert!(link.handshake().is_err());
        pair.assert_agreement("a failure");
        assert_eq!(pair.store.stats().accept_good, 3);
    }
}

/// Lets both sides read until neither has anything to say, which is how a handshake within a
/// connection goes on.
fn pump(link: &mut Link) {
    let mut buffer = [0; 16];
    for _ in 0..10 {
        for side in [&mut link.client, &mut link.server] {
            let error = side.ssl_read(&mut buffer).unwrap_err();
            assert_eq!(error.code(), ErrorCode::WANT_READ, "{error}");
        }
    }
}

#[test]
fn renegotiations_are_libssls() {
    let pair = Pair::new(SslVersion::TLS1_2);
    let mut link = pair.connected();
    renegotiate(link.client.ssl());
    pump(&mut link);
    pair.assert_agreement("the client's wish");
    assert_eq!(pair.memory.stats().connect_renegotiate, 1);
    assert_eq!(pair.store.stats().accept_renegotiate, 1);
    assert_eq!((pair.store.stats().accept, pair.store.stats().accept_good), (1, 2));

    link.close();
}

/// A server that asks for a renegotiation: libssl counts the asking, the ClientHello, and something
/// more.
#[test]
fn a_renegotiation_on_request_is_counted_by_its_handshakes() {
    let pair = Pair::new(SslVersion::TLS1_2);
    let mut link = pair.connected();
    renegotiate(link.server.ssl());
    link.server.do_handshake().unwrap();
    pump(&mut link);
    let stats = pair.store.stats();
    assert_eq!(
        (stats.accept_renegotiate, stats.accept_good),
        (2, 2),
        "the request, and what it led to"
    );
    assert_eq!(stats.accept_good, counted(&pair.server, Counter::AcceptGood));
    assert!(stats.accept_renegotiate <= counted(&pair.server, Counter::AcceptRenegotiate));
    assert_eq!(
        pair.memory.stats().connect_renegotiate,
        counted(&pair.client, Counter::ConnectRenegotiate)
    );
    link.close();
}

#[test]
fn hits_are_libssls() {
    for version in BOTH {
        let pair = Pair::new(version);
        (0..4).for_each(|_| pair.connected().close());
        let stats = pair.store.stats();
        assert_eq!((stats.hits, stats.resumed), (3, 3));
        assert_eq!(stats.resumed, counted(&pair.server, Counter::Hits), "resumed");
        assert_eq!(
            pair.memory.stats().resumed,
            counted(&pair.client, Counter::Hits),
            "by the client"
        );
        assert_eq!(
            stats.hits,
            counted(&pair.server, Counter::CbHits),
            "supplied from outside of libssl"
        );
        assert_eq!(counted(&pair.server, Counter::Number), 0, "libssl's own cache is out of use");
    }
}

/// A context that uses libssl's own cache, without tickets, beside one that uses Sessile: the same
/// visits.
fn twins(version: SslVersion, capacity: usize) -> (ServerStore, SslContext, SslContext) {
    let site = Site::new();
    let store = ServerStore::new(capacity).unwrap();
    let ours = site.server(version, |context| store.attach(context, Context::NONE).unwrap());
    let theirs = site.server(version, |context| {
        context.set_options(SslOptions::NO_TICKET);
        context.set_session_id_context(b"theirs").unwrap();
        context.set_session_cache_size(i32::try_from(capacity).unwrap());
    });
    (store, ours, theirs)
}

#[test]
fn misses_and_numbers_are_those_of_libssls_own_cache() {
    for version in BOTH {
        let (store, ours, theirs) = twins(version, 100);
        for server in [&ours, &theirs] {
            let client = Client::new();
            for garbage in [7, 8] {
                client.visit(server, None);
                let session = client.sessions().pop().unwrap();
                let unknown = renamed(&session, &[garbage; 32]);
                // In TLS 1.3 the id of a client's session is not what is offered: the ticket is.
                let offered =
                    if version == SslVersion::TLS1_2 { unknown } else { duplicate(&session) };
                client.visit(server, Some(&offered));
                client.sessions();
            }
        }
        let stats = store.stats();
        assert_eq!(stats.misses, counted(&theirs, Counter::Misses), "{version:?}");
        assert_eq!(stats.hits, counted(&theirs, Counter::Hits), "{version:?}");
        // libssl leaves a used ticket in its cache, where it can be used again.
        let used = if version == SslVersion::TLS1_3 { stats.taken } else { 0 };
        assert_eq!(stats.number + used, counted(&theirs, Counter::Number), "{version:?}");
    }
}

#[test]
fn timeouts_are_those_of_libssls_own_cache() {
    let (store, ours, theirs) = twins(SslVersion::TLS1_2, 100);
    let client = Client::new();
    for server in [&ours, &theirs] {
        let mut link = Link::new(client.ssl(None), Ssl::new(server).unwrap());
        link.handshake().unwrap();
        let session = client.sessions().pop().unwrap();
        let stored = link.server.ssl().session().unwrap().to_owned();
        link.close();
        crate::support::backdate(&stored, 7_201);
        store.sessions().iter().for_each(|one| one.set_created_at(1));
        assert!(!client.visit(server, Some(&session)));
        client.sessions();
    }
    assert_eq!(store.stats().timeouts, 1);
    assert_eq!(counted(&theirs, Counter::Timeouts), 1);
}

#[test]
fn a_session_of_the_future_waits() {
    let (store, ours, theirs) = twins(SslVersion::TLS1_2, 100);
    let client = Client::new();
    let resumed = [&ours, &theirs].map(|server| {
        let mut link = Link::new(client.ssl(None), Ssl::new(server).unwrap());
        link.handshake().unwrap();
        let session = client.sessions().pop().unwrap();
        let stored = link.server.ssl().session().unwrap().to_owned();
        link.close();
        crate::support::backdate(&stored, -1_000);
        for one in store.sessions() {
            one.set_created_at(one.created_at().unwrap() + Duration::from_secs(1_000));
        }
        client.visit(server, Some(&session))
    });
    assert_eq!(resumed, [false, true], "libssl looks at the end of a session's life only");
    assert_eq!(
        (store.stats().hits, store.stats().misses),
        (0, counted(&theirs, Counter::Misses) + 1)
    );
}

#[test]
fn cache_full_counts_what_made_room() {
    let (store, ours, theirs) = twins(SslVersion::TLS1_2, 4);
    for server in [&ours, &theirs] {
        let client = Client::new();
        (0..10).for_each(|_| assert!(!client.visit(server, None)));
    }
    // libssl's cache of 4 holds 3.
    assert_eq!((store.stats().cache_full, store.stats().number), (6, 4));
    assert_eq!((counted(&theirs, Counter::CacheFull), counted(&theirs, Counter::Number)), (7, 3));
}

#[test]
fn a_second_tier_is_counted_as_libssl_counts_its_callback() {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new()
        .server(SslVersion::TLS1_2, |context| store.attach(context, Context::NONE).unwrap());
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    let kept = store.sessions().pop().unwrap();
    store.flush_sessions(0);
    let tier = kept;
    store.cache().set_hooks(
        sessile::Hooks::new().on_miss(move |id, _| (*id == tier.id()).then(|| tier.clone())),
    );
    assert!(client.visit(&server, Some(&session)));
    let stats = store.stats();
    assert_eq!((stats.tier_hits, stats.number), (1, 1), "found there, and kept here");
    assert_eq!(counted(&server, Counter::CbHits), 1);
}

static TOLD: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn on_info(_ssl: *const openssl_sys::SSL, _wherefore: c_int, _value: c_int) {
    TOLD.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn an_info_callback_that_was_there_is_still_told() {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new().server(SslVersion::TLS1_2, |context| {
        // SAFETY: the context is alive and not shared; the callback lives for ever.
        unsafe { SSL_CTX_set_info_callback(context.as_ptr(), Some(on_info)) };
        store.attach(context, Context::NONE).unwrap();
        store.attach(context, Context::NONE).unwrap();
    });
    Client::new().visit(&server, None);
    assert_eq!(store.stats().accept, 1);
    assert!(TOLD.load(Ordering::Relaxed) > 4, "each step of the handshake");
}

static TOLD_ONCE: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn on_info_once(_: *const openssl_sys::SSL, wherefore: c_int, _: c_int) {
    TOLD_ONCE.fetch_add(usize::from(wherefore == 0x20), Ordering::Relaxed);
}

/// Whatever the order and number of attachments, the program's own callback is told once of each
/// event, and ours do not call each other.
#[test]
fn stores_of_both_sides_on_one_context_tell_the_former_callback_once() {
    let (servers, clients) = (ServerStore::new(100).unwrap(), ClientStore::new(100).unwrap());
    for order in [[true, false, true, false], [false, true, true, false], [true, true, false, true]]
    {
        let server = Site::new().server(SslVersion::TLS1_2, |context| {
            // SAFETY: the context is alive and not shared; the callback lives for ever.
            unsafe { SSL_CTX_set_info_callback(context.as_ptr(), Some(on_info_once)) };
            for is_server in order.into_iter().chain([true]) {
                match is_server {
                    true => servers.attach(context, Context::NONE).unwrap(),
                    false => clients.attach(context, Context::NONE).unwrap(),
                }
            }
        });
        let client = Client::new();
        let before = TOLD_ONCE.load(Ordering::Relaxed);
        client.visit(&server, None);
        assert!(client.visit(&server, client.sessions().pop().as_ref()));
        assert_eq!(TOLD_ONCE.load(Ordering::Relaxed) - before, 2, "{order:?}");
    }
}

/// Lookups whose session is not resumed in the end.
#[test]
fn what_is_found_and_not_resumed_is_no_resumption() {
    // A binder that is wrong.
    let pair = Pair::new(SslVersion::TLS1_3);
    pair.connected().close();
    let mut link = pair.link();
    link.spoil_a_flight();
    assert_eq!((pair.store.stats().hits, pair.store.stats().resumed), (1, 0));
    assert_eq!(counted(&pair.server, Counter::Hits), 0);

    // An extended master secret that the session was made without.
    const NO_EXTENDED_MASTER_SECRET: SslOptions = SslOptions::from_bits_retain(1);
    let store = ServerStore::new(100).unwrap();
    let server = Site::new()
        .server(SslVersion::TLS1_2, |context| store.attach(context, Context::NONE).unwrap());
    let old = Client::with(|context| _ = context.set_options(NO_EXTENDED_MASTER_SECRET));
    old.visit(&server, None);
    let session = old.sessions().pop().unwrap();
    let mut link = Link::new(Client::new().ssl(Some(&session)), Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    assert!(!link.server.ssl().session_reused());
    link.close();
    assert_eq!((store.stats().resumed, counted(&server, Counter::Hits)), (0, 0));

    // What the adapter withholds: libssl was not handed it.
    let stored = store.sessions();
    let filed = stored[0].clone();
    let id = sessile::SessionId::from([7; 32]);
    let builder =
        sessile::Session::<openssl::ssl::SslSession>::builder(id).context(filed.context());
    store.cache().add(builder.protocol(filed.protocol()).build((*filed).clone())).unwrap();
    let before = store.stats().hits;
    old.visit(&server, Some(&renamed(&session, id.as_bytes())));
    assert_eq!((store.stats().hits, store.stats().resumed), (before, 0));
}

#[test]
fn a_hello_retry_is_one_resumption() {
    let store = ServerStore::new(100).unwrap();
    let server = retrying_server(&store);
    let client = retried_client();
    client.visit(&server, None);
    assert!(client.visit(&server, client.sessions().pop().as_ref()));
    let stats = store.stats();
    assert_eq!((stats.hits, stats.resumed), (1, 1));
    assert_eq!(counted(&server, Counter::Hits), 2, "libssl counts each ClientHello");
}

/// What one handle counts apart is what libssl says was resumed in its contexts.
#[test]
fn resumptions_are_counted_where_the_program_says() {
    for version in BOTH {
        let (counted, other) = (Arc::new(Resumptions::new()), Arc::new(Resumptions::new()));
        let store = ServerStore::builder().capacity(100).build().unwrap();
        let at = |resumptions: &Arc<Resumptions>, name: &str| {
            Site::new().server(version, |context| {
                let store = store.clone().count_in(resumptions);
                store.attach(context, Context::digest([name])).unwrap();
            })
        };
        let (server, other_server) = (at(&counted, "a"), at(&other, "b"));
        let client = Client::new();
        let mut last = None;
        let mut shake = |server| {
            // A resumed handshake of TLS 1.2 makes no session.
            last = client.sessions().pop().or(last.take());
            client.visit(server, last.as_ref())
        };
        let resumed = (0..4).filter(|_| shake(&server)).count() as u64;
        assert!(!shake(&other_server), "of another context");
        let of = |figures: ResumptionFigures| match version {
            SslVersion::TLS1_3 => (figures.tls13, figures.tls12, figures.ages.count()),
            _ => (figures.tls12, figures.tls13, figures.ages.count()),
        };
        let (offered, none, ages) = of(counted.figures());
        // A client that knows TLS 1.3 sends an id of chance where it has none.
        let missed = u64::from(version != SslVersion::TLS1_3);
        let counts = (offered.found, offered.missed, ages);
        assert_eq!(counts, (resumed, missed, resumed), "{version:?}");
        assert!(resumed == 3 && none.ratio().is_none());
        let (offered, ..) = of(other.figures());
        assert_eq!((offered.found, offered.missed), (0, 1));
    }
}
