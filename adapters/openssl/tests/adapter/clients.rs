//! The client's side: what is remembered of a server, and offered to it.

use std::ffi::c_int;

use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVersion};
use sessile::Context;
use sessile_openssl::{ClientStore, ServerStore};

use crate::support::{BOTH, Link, Site};

fn server(version: SslVersion) -> (ServerStore, SslContext) {
    let store = ServerStore::new(100).unwrap();
    let context =
        Site::new().server(version, |context| store.attach(context, Context::NONE).unwrap());
    (store, context)
}

fn client(store: &ClientStore, name: Context) -> SslContext {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    store.attach(&mut builder, name).unwrap();
    builder.build()
}

fn connect(client: &SslContext, server: &SslContext, name: &str) -> Link {
    let mut ssl = Ssl::new(client).unwrap();
    ClientStore::offer(&mut ssl, name).unwrap();
    let mut link = Link::new(ssl, Ssl::new(server).unwrap());
    link.handshake().unwrap();
    link
}

fn visit(client: &SslContext, server: &SslContext, name: &str) -> bool {
    let mut link = connect(client, server, name);
    link.exchange();
    let resumed = link.resumed();
    link.close();
    resumed
}

#[test]
fn a_server_that_was_met_is_resumed() {
    for version in BOTH {
        let store = ClientStore::new(10).unwrap();
        let (client, (_, server)) = (client(&store, Context::NONE), server(version));
        let resumed: Vec<_> = (0..5).map(|_| visit(&client, &server, "a:443")).collect();
        assert_eq!(resumed, [false, true, true, true, true], "{version:?}");
        assert_eq!(store.stats().number, 1, "{version:?}: one entry for a server");
    }
}

#[test]
fn tls13_tickets_are_offered_once_each() {
    let store = ClientStore::new(10).unwrap();
    let (client, (servers, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_3));
    visit(&client, &server, "a:443");
    servers.flush_sessions(0);
    // Two tickets were given; the server knows neither of them any more, nor is it asked again.
    let offers: Vec<_> = (0..3)
        .map(|_| ClientStore::offer(&mut Ssl::new(&client).unwrap(), "a:443").unwrap())
        .collect();
    assert_eq!(offers, [true, true, false]);
}

#[test]
fn a_tls12_session_is_offered_until_its_connection_breaks() {
    let store = ClientStore::new(10).unwrap();
    let (client, (_, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_2));
    visit(&client, &server, "a:443");
    drop(connect(&client, &server, "a:443"));
    assert!(!ClientStore::offer(&mut Ssl::new(&client).unwrap(), "a:443").unwrap());
    assert_eq!(store.stats().number, 0);
}

/// RFC 5246, section 7.2.2. A context offers what another one of its name made, as a copy; libssl
/// marks only the object that the broken connection had.
#[test]
fn a_tls12_session_ends_in_every_context_when_a_connection_breaks() {
    let (_, server) = server(SslVersion::TLS1_2);
    for breaks in [0, 1] {
        let store = ClientStore::new(10).unwrap();
        let contexts = [0; 2].map(|_| client(&store, Context::NONE));
        visit(&contexts[0], &server, "a:443");
        let early = contexts.each_ref().map(|context| {
            let mut ssl = Ssl::new(context).unwrap();
            assert!(ClientStore::offer(&mut ssl, "a:443").unwrap());
            ssl
        });
        let mut broken = connect(&contexts[breaks], &server, "a:443");
        assert!(broken.resumed());
        // The server, which said goodbye, would resume it.
        broken.server.shutdown().unwrap();
        drop(broken);
        for ssl in early {
            let mut link = Link::new(ssl, Ssl::new(&server).unwrap());
            link.handshake().unwrap();
            assert!(!link.resumed(), "broken in context {breaks} after it was offered");
        }
    }
}

#[test]
fn a_tls12_session_that_broke_is_offered_by_no_context() {
    let (_, server) = server(SslVersion::TLS1_2);
    for breaks in [0, 1] {
        let store = ClientStore::new(10).unwrap();
        let contexts = [0; 2].map(|_| client(&store, Context::NONE));
        visit(&contexts[0], &server, "a:443");
        assert!(visit(&contexts[1], &server, "a:443"), "one that ends well stays");
        let broken = connect(&contexts[breaks], &server, "a:443");
        assert!(broken.resumed());
        drop(broken);
        let offers = contexts
            .each_ref()
            .map(|context| ClientStore::offer(&mut Ssl::new(context).unwrap(), "a:443").unwrap());
        assert_eq!(offers, [false; 2], "broken in context {breaks}");
        assert_eq!(store.stats().number, 0);
    }
}

#[test]
fn servers_and_contexts_are_kept_apart() {
    for version in BOTH {
        let store = ClientStore::new(10).unwrap();
        let trusting = client(&store, Context::digest(["any certificate"]));
        let strict = client(&store, Context::digest(["this certificate"]));
        let (_, server) = server(version);
        assert!(!visit(&trusting, &server, "a:443"));
        assert!(!visit(&trusting, &server, "b:443"), "{version:?}");
        assert!(!visit(&strict, &server, "a:443"), "{version:?}");
        assert!(visit(&trusting, &server, "a:443"), "{version:?}");
        let again = client(&store, Context::digest(["this certificate"]));
        assert!(
            visit(&again, &server, "a:443"),
            "{version:?}: contexts of one name share, by copies"
        );
    }
}

#[test]
fn a_connection_without_a_store_is_offered_nothing() {
    let bare = SslContextBuilder::new(SslMethod::tls_client()).unwrap().build();
    assert!(!ClientStore::offer(&mut Ssl::new(&bare).unwrap(), "a:443").unwrap());
    let store = ClientStore::new(10).unwrap();
    let (client, (_, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_3));
    let mut nameless = Link::new(Ssl::new(&client).unwrap(), Ssl::new(&server).unwrap());
    nameless.handshake().unwrap();
    nameless.exchange();
    nameless.close();
    assert_eq!(store.stats().number, 0, "nobody said whose the tickets are");
}

#[test]
fn a_cleared_store_offers_nothing() {
    let store = ClientStore::new(10).unwrap();
    let (client, (_, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_3));
    visit(&client, &server, "a:443");
    assert_eq!(store.clear(), 1);
    assert!(!visit(&client, &server, "a:443"));
    let stats = store.stats();
    assert_eq!((stats.connect, stats.connect_good), (2, 2));
}

/// A server that gives a new ticket at each TLS 1.2 resumption, as servers in Java do: libssl marks
/// the old object and does not report the new one.
#[test]
fn a_renewed_ticket_is_offered_next_time() {
    let server = Site::new().server(SslVersion::TLS1_2, |context| {
        context.set_session_id_context(b"tickets").unwrap();
        renew_tickets(context);
    });
    let store = ClientStore::new(10).unwrap();
    // The second one is offered copies of what the first one made, and the other way round.
    let clients = [0; 2].map(|_| client(&store, Context::NONE));
    let resumed: Vec<_> = (0..10).map(|n| visit(&clients[n / 2 % 2], &server, "a:443")).collect();
    assert_eq!(resumed.iter().filter(|resumed| **resumed).count(), 9, "{resumed:?}");
    assert_eq!(store.stats().resumed, 9);
}

/// It has no part in what the store offered, and nobody knows when its server was authenticated.
#[test]
fn a_session_that_a_program_offers_instead_is_not_kept() {
    let store = ClientStore::new(10).unwrap();
    let (client, (_, server)) = (client(&store, Context::NONE), server(SslVersion::TLS1_2));
    visit(&client, &server, "a:443");
    let link = connect(&client, &server, "b:443");
    let other = link.client.ssl().session().unwrap().to_owned();
    link.close();
    let offered = || {
        let mut ssl = Ssl::new(&client).unwrap();
        assert!(ClientStore::offer(&mut ssl, "a:443").unwrap());
        ssl
    };
    let id = offered().session().unwrap().id().to_vec();
    let mut ssl = offered();
    // SAFETY: a connection of the same context made the session.
    unsafe { ssl.set_session(&other).unwrap() };
    let mut link = Link::new(ssl, Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    assert!(link.resumed());
    link.close();
    assert_eq!(offered().session().unwrap().id(), id);
}

type TicketKeyCallback = unsafe extern "C" fn(
    *mut openssl_sys::SSL,
    *mut u8,
    *mut u8,
    *mut openssl_sys::EVP_CIPHER_CTX,
    *mut openssl_sys::HMAC_CTX,
    c_int,
) -> c_int;

/// `SSL_CTX_set_tlsext_ticket_key_cb`: one key for all tickets, each of which is to be renewed.
fn renew_tickets(context: &mut SslContextBuilder) {
    const SET_TICKET_KEY_CALLBACK: c_int = 72;
    // SAFETY: the context is alive and not shared yet; the callback is a function of this type.
    unsafe {
        let callback: TicketKeyCallback = on_ticket_key;
        let callback = std::mem::transmute::<TicketKeyCallback, unsafe extern "C" fn()>(callback);
        SSL_CTX_callback_ctrl(context.as_ptr(), SET_TICKET_KEY_CALLBACK, Some(callback));
    }
}

unsafe extern "C" {
    fn SSL_CTX_callback_ctrl(
        context: *mut openssl_sys::SSL_CTX,
        command: c_int,
        callback: Option<unsafe extern "C" fn()>,
    ) -> std::ffi::c_long;
    fn HMAC_Init_ex(
        context: *mut openssl_sys::HMAC_CTX,
        key: *const u8,
        length: c_int,
        digest: *const openssl_sys::EVP_MD,
        engine: *mut std::ffi::c_void,
    ) -> c_int;
}

unsafe extern "C" fn on_ticket_key(
    _: *mut openssl_sys::SSL,
    name: *mut u8,
    iv: *mut u8,
    cipher: *mut openssl_sys::EVP_CIPHER_CTX,
    hmac: *mut openssl_sys::HMAC_CTX,
    encrypts: c_int,
) -> c_int {
    const RENEW: c_int = 2;
    let key = [7; 32];
    // SAFETY: libssl lends a name of 16 bytes, an initialization vector of 16, and the two
    // contexts.
    unsafe {
        if encrypts == 1 {
            std::ptr::write_bytes(name, 1, 16);
            std::ptr::write_bytes(iv, 2, 16);
        }
        let (aes, null) =
            (openssl_sys::EVP_aes_256_cbc(), std::ptr::null_mut::<std::ffi::c_void>());
        openssl_sys::EVP_CipherInit_ex(cipher, aes, null.cast(), key.as_ptr(), iv, encrypts);
        HMAC_Init_ex(hmac, key.as_ptr(), 32, openssl_sys::EVP_sha256(), null);
    }
    if encrypts == 1 { 1 } else { RENEW }
}

/// What a server makes a client hold is bounded, whatever it chooses to send.
#[test]
fn a_server_gets_sixty_four_kib() {
    // The session holds the certificate once, the chain once more.
    for (filling, kept) in [(0, 8), (10_000, 3), (40_000, 0)] {
        let servers = ServerStore::new(100).unwrap();
        let attach =
            |context: &mut SslContextBuilder| servers.attach(context, Context::NONE).unwrap();
        let server = Site::large(filling).server(SslVersion::TLS1_3, attach);
        let store = ClientStore::new(10).unwrap();
        let client = client(&store, Context::NONE);
        let links: Vec<_> = (0..5).map(|_| connect(&client, &server, "a:443")).collect();
        links.into_iter().for_each(|mut link| {
            link.exchange();
            link.close();
        });
        let offer = || ClientStore::offer(&mut Ssl::new(&client).unwrap(), "a:443").unwrap();
        assert_eq!(
            (0..20).take_while(|_| offer()).count(),
            kept,
            "of ten tickets beside {filling} bytes"
        );
    }
    let (store, servers) = (ClientStore::new(10).unwrap(), ServerStore::new(100).unwrap());
    let attach = |context: &mut SslContextBuilder| servers.attach(context, Context::NONE).unwrap();
    let server = Site::large(40_000).server(SslVersion::TLS1_2, attach);
    let client = client(&store, Context::NONE);
    assert_eq!([0; 2].map(|_| visit(&client, &server, "a:443")), [false; 2]);
}

/// Threads that meet a server at the same moment put their tickets into one entry.
#[test]
fn tickets_of_a_race_are_not_lost() {
    const THREADS: usize = 4;
    let (_, server) = server(SslVersion::TLS1_3);
    for round in 0..200 {
        let store = ClientStore::new(10).unwrap();
        let client = client(&store, Context::NONE);
        let barrier = std::sync::Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut ssl = Ssl::new(&client).unwrap();
                    ClientStore::offer(&mut ssl, "a:443").unwrap();
                    let mut link = Link::new(ssl, Ssl::new(&server).unwrap());
                    link.handshake().unwrap();
                    barrier.wait();
                    link.exchange();
                    link.close();
                });
            }
        });
        let offer = || ClientStore::offer(&mut Ssl::new(&client).unwrap(), "a:443").unwrap();
        let offered = (0..20).take_while(|_| offer()).count();
        assert_eq!(offered, 8, "round {round}: of two tickets for each connection");
    }
}

#[test]
fn a_server_is_forgotten_by_its_name_in_every_context() {
    let store = ClientStore::new(10).unwrap();
    let (_servers, server) = server(SslVersion::TLS1_3);
    let contexts = ["red", "blue"].map(|name| client(&store, Context::digest([name])));
    for context in &contexts {
        visit(context, &server, "a:443");
        visit(context, &server, "b:443");
    }
    assert_eq!((store.len(), store.capacity(), store.is_empty()), (4, 10, false));
    assert_eq!((store.forget("a:443"), store.forget("a:443"), store.len()), (2, 0, 2));
    let resumed: Vec<_> = contexts
        .iter()
        .flat_map(|context| ["a:443", "b:443"].map(|name| visit(context, &server, name)))
        .collect();
    assert_eq!(resumed, [false, true, false, true]);
}

/// The timeout that is asked for is cut back to the longest life of a ticket.
#[test]
fn a_builder_bounds_bytes_and_time() {
    use std::time::Duration;

    let builder = ClientStore::builder().max_bytes(10 << 20).timeout(Duration::MAX);
    let store = builder.build().unwrap();
    assert_eq!(store.capacity(), 160, "64 KiB for each entry");
    assert_eq!(store.status().capacity, Some(160));
    assert_eq!(ClientStore::builder().max_bytes(1).build().unwrap().capacity(), 1);
    assert!(ClientStore::builder().capacity(0).build().is_err());
}
