//! How long a session lives, and what is resumed from it.

use std::ffi::{c_int, c_long};
use std::thread::sleep;
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use openssl::asn1::Asn1Time;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSession, SslVersion,
};
use sessile::{Clock, Context, Hooks, Session};
use sessile_openssl::{ClientStore, ServerStore, UPDATE_TIME, UnixClock};

use crate::support::{BOTH, Client, Link, MUTUAL, Site};

const SECOND: Duration = Duration::from_secs(1);

unsafe extern "C" {
    fn SSL_verify_client_post_handshake(ssl: *mut openssl_sys::SSL) -> c_int;
    fn SSL_CTX_set_timeout(context: *mut openssl_sys::SSL_CTX, seconds: c_long) -> c_long;
}

fn set_timeout(context: &mut SslContextBuilder, seconds: c_long) {
    // SAFETY: the context is alive and not shared yet.
    unsafe { SSL_CTX_set_timeout(context.as_ptr(), seconds) };
}

fn server_of(store: &ServerStore, version: SslVersion) -> SslContext {
    Site::new().server(version, |context| store.attach(context, Context::NONE).unwrap())
}

/// Has `visit` make a session and resume from each the next one, until that fails: it must go well
/// to the last second of `age`, counted from the first, and never after it. By the clock, because
/// a busy machine takes its time.
pub(crate) fn assert_chain_ends(age: Duration, mut visit: impl FnMut() -> bool) {
    // A machine that is busy for all of `age` is tried again.
    for _ in 0..10 {
        let earliest = UnixClock.now() + age;
        assert!(!visit());
        let latest = UnixClock.now() + age;
        let mut resumed = 0;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let before = UnixClock.now();
            if !visit() {
                break;
            }
            resumed += 1;
            assert!(before <= latest, "resumed for the time {resumed}, too late");
        }
        assert!(UnixClock.now() > earliest, "ended too early, after {resumed}");
        if resumed > 1 {
            return;
        }
        // Of what the last visit made, the next one must resume nothing.
        std::thread::sleep(age + Duration::from_secs(1));
    }
    panic!("no chain");
}

#[test]
fn a_chain_of_resumptions_ends() {
    for version in BOTH {
        let store = ServerStore::new(100).unwrap().max_age(SECOND);
        store.set_session_cache_mode(openssl::ssl::SslSessionCacheMode::SERVER | UPDATE_TIME);
        let (server, client) = (server_of(&store, version), Client::new());
        let mut session = None;
        assert_chain_ends(SECOND, || {
            let resumed = client.visit(&server, session.as_ref());
            session = client.sessions().pop().or(session.take());
            resumed
        });
    }
}

#[test]
fn what_is_issued_from_a_session_ends_with_it() {
    let store = ServerStore::new(100).unwrap();
    let (server, client) = (server_of(&store, SslVersion::TLS1_3), Client::new());
    let now = UnixClock.now();
    client.visit(&server, None);
    let first = store.sessions().pop().unwrap().deadline().unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    assert!(first >= now + day && first <= UnixClock.now() + day, "a day unless it is set");
    sleep(Duration::from_millis(1_100));
    for _ in 0..3 {
        let ticket = client.sessions().pop().unwrap();
        assert!(client.visit(&server, Some(&ticket)));
        assert!(store.sessions().iter().all(|one| one.deadline() == Some(first)));
    }
}

/// A connection can ask for a ticket long after its handshake.
#[test]
fn a_late_ticket_ends_with_the_first_ones() {
    let store = ServerStore::new(100).unwrap();
    let (server, client) = (server_of(&store, SslVersion::TLS1_3), Client::new());
    let mut link = Link::new(client.ssl(None), Ssl::new(&server).unwrap());
    link.handshake().unwrap();
    link.exchange();
    let first = store.sessions().pop().unwrap().deadline();
    store.flush_sessions(0);
    sleep(Duration::from_millis(1_100));
    link.issue_ticket();
    assert_eq!(store.sessions().pop().unwrap().deadline(), first);
    link.close();
}

/// A session from a tier that did not carry a deadline: its own expiry is that of what it leads to.
#[test]
fn a_session_without_a_deadline_ends_what_is_issued_from_it() {
    let store = ServerStore::new(100).unwrap();
    let (server, client) = (server_of(&store, SslVersion::TLS1_3), Client::new());
    client.visit(&server, None);
    let (ticket, stored) = (client.sessions().pop().unwrap(), store.sessions());
    store.flush_sessions(0);
    let bare = move |one: &Session<SslSession>| {
        let builder = Session::<SslSession>::builder(one.id()).context(one.context());
        let builder = builder.protocol(one.protocol()).created_at(one.created_at().unwrap());
        builder.timeout(Duration::from_secs(600)).build((**one).clone())
    };
    let expiry = stored[0].created_at().unwrap() + Duration::from_secs(600);
    store.cache().set_hooks(
        Hooks::new()
            .on_query(move |query| stored.iter().find(|one| one.id() == *query.id()).map(&bare)),
    );
    assert!(client.visit(&server, Some(&ticket)));
    let issued = store.sessions();
    assert!(
        !issued.is_empty()
            && issued.iter().all(|one| one.deadline().is_some_and(|end| end <= expiry))
    );
}

#[test]
fn a_session_ends_with_the_certificate_of_its_client() {
    for version in BOTH {
        let end = UnixClock.now() + Duration::from_secs(3_600);
        let not_after = Asn1Time::from_unix(i64::try_from(end.as_secs()).unwrap()).unwrap();
        let (person, store) = (Site::until(&not_after), ServerStore::new(100).unwrap());
        let server = Site::new().server(version, |context| {
            person.demand(context);
            store.attach(context, Context::NONE).unwrap();
        });
        let client = Client::with(|context| person.identify(context));
        assert!(!client.visit(&server, None));
        let stored = store.sessions();
        assert!(
            !stored.is_empty() && stored.iter().all(|one| one.deadline() == Some(end)),
            "{version:?}"
        );
        assert!(client.visit(&server, Some(&client.sessions().pop().unwrap())));
        assert!(store.sessions().iter().all(|one| one.deadline() == Some(end)), "{version:?}");
    }
}

#[test]
fn a_certificate_shown_after_the_handshake_ends_its_sessions_too() {
    let end = UnixClock.now() + Duration::from_secs(3_600);
    let not_after = Asn1Time::from_unix(i64::try_from(end.as_secs()).unwrap()).unwrap();
    let (person, store) = (Site::until(&not_after), ServerStore::new(100).unwrap());
    let server = Site::new().server(SslVersion::TLS1_3, |context| {
        context.cert_store_mut().add_cert(person.certificate().clone()).unwrap();
        store.attach(context, Context::NONE).unwrap();
    });
    let client = Client::with(|context| {
        person.identify(context);
        // SAFETY: the context is alive and not shared yet.
        unsafe { openssl_sys::SSL_CTX_set_post_handshake_auth(context.as_ptr(), 1) };
    });
    for is_resumed in [false, true] {
        let session = is_resumed.then(|| {
            assert!(!client.visit(&server, None));
            client.sessions().pop().unwrap()
        });
        let mut link = Link::new(client.ssl(session.as_ref()), Ssl::new(&server).unwrap());
        link.handshake().unwrap();
        link.exchange();
        assert_eq!(link.resumed(), is_resumed);
        store.flush_sessions(0);
        let ssl = link.server.ssl().as_ptr();
        // SAFETY: the connection is alive, and nobody else uses it.
        unsafe {
            openssl_sys::SSL_set_verify(ssl, MUTUAL.bits(), None);
            assert_eq!(SSL_verify_client_post_handshake(ssl), 1);
        }
        link.server.do_handshake().unwrap();
        // There is nothing to read but the request, which is answered.
        link.client.ssl_read(&mut [0; 16]).unwrap_err();
        link.exchange();
        let issued = store.sessions();
        assert!(!issued.is_empty(), "resumed: {is_resumed}");
        assert!(issued.iter().all(|one| one.deadline() == Some(end)), "resumed: {is_resumed}");
        link.close();
    }
}

/// Replaced client authorities: the sessions of before are gone, those of afterwards are not.
#[test]
fn a_revoked_name_resumes_nothing_of_before() {
    for version in BOTH {
        let (old, new, store) = (Site::new(), Site::new(), ServerStore::new(100).unwrap());
        let server = |person: &Site| {
            Site::new().server(version, |context| {
                person.demand(context);
                store.attach(context, Context::digest(["mutual"])).unwrap();
            })
        };
        let (before, client) = (server(&old), Client::with(|context| old.identify(context)));
        assert!(!client.visit(&before, None));
        let session = client.sessions().pop().unwrap();
        let after = server(&new);
        store.revoke(Context::digest(["mutual"]));
        let mut link = Link::new(client.ssl(Some(&session)), Ssl::new(&after).unwrap());
        let outcome = link.handshake();
        assert!(outcome.is_err() && !link.server.ssl().session_reused(), "{version:?}");

        let client = Client::with(|context| new.identify(context));
        assert!(!client.visit(&after, None));
        assert!(client.visit(&after, Some(&client.sessions().pop().unwrap())), "{version:?}");
    }
}

fn client_of(store: &ClientStore, change: impl FnOnce(&mut SslContextBuilder)) -> SslContext {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    change(&mut builder);
    store.attach(&mut builder, Context::NONE).unwrap();
    builder.build()
}

fn connect(client: &SslContext, server: &SslContext) -> bool {
    let mut ssl = Ssl::new(client).unwrap();
    ClientStore::offer(&mut ssl, "a:443").unwrap();
    let mut link = Link::new(ssl, Ssl::new(server).unwrap());
    link.handshake().unwrap();
    link.exchange();
    let resumed = link.resumed();
    link.close();
    resumed
}

#[test]
fn a_client_session_that_is_used_regularly_expires() {
    let (servers, store) = (ServerStore::new(100).unwrap(), ClientStore::new(10).unwrap());
    let server = server_of(&servers, SslVersion::TLS1_2);
    let client = client_of(&store, |context| set_timeout(context, 1));
    assert_chain_ends(SECOND, || connect(&client, &server));
}

/// By tickets that a server renews at each use, and by those of TLS 1.3.
#[test]
fn a_client_ends_a_chain_of_resumptions() {
    for version in BOTH {
        let store = ClientStore::new(10).unwrap().max_age(SECOND);
        let server = Site::new().server(version, |context| {
            context.clear_options(SslOptions::NO_TICKET);
            context.set_session_id_context(b"tickets").unwrap();
        });
        let client = client_of(&store, |_| {});
        assert_chain_ends(SECOND, || connect(&client, &server));
    }
}

#[test]
fn a_client_context_keeps_its_own_maximum_age() {
    for version in BOTH {
        let servers = ServerStore::new(100).unwrap();
        let long = ClientStore::new(10).unwrap();
        let short = long.clone().max_age(SECOND);
        let server = server_of(&servers, version);
        let [long, short] = [long, short].map(|store| client_of(&store, |_| {}));
        // From the session that the other one made, those that it makes itself.
        let mut is_first = true;
        assert_chain_ends(SECOND, || {
            let client = if std::mem::take(&mut is_first) { &long } else { &short };
            connect(client, &server)
        });
    }
}
