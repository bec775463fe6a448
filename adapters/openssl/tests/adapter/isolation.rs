//! Several contexts share one store, and no session crosses.

use std::thread;

use foreign_types::ForeignTypeRef;
use openssl::ssl::{
    ClientHelloResponse, NameType, Ssl, SslContext, SslContextBuilder, SslMethod, SslSession,
    SslVersion,
};
use sessile::{Context, Rejection, Session, SessionId};
use sessile_openssl::ServerStore;

use crate::support::{BOTH, Client, Link, Site, duplicate, renamed};

fn context(name: &str) -> Context {
    Context::digest([name])
}

#[test]
fn a_session_of_another_context_does_not_exist() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let web = site.server(version, |builder| store.attach(builder, context("web")).unwrap());
        let api = site.server(version, |builder| store.attach(builder, context("api")).unwrap());
        let client = Client::new();
        client.visit(&web, None);
        let session = client.sessions().pop().unwrap();
        assert!(!client.visit(&api, Some(&session)), "{version:?}");
        assert_eq!(store.stats().context_misses, 1, "{version:?}");
        assert_eq!(store.view(context("web")).len(), store.view(context("api")).len());
    }
}

#[test]
fn a_mismatch_leaves_the_session_to_its_own_context() {
    let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
    let web =
        site.server(SslVersion::TLS1_2, |builder| store.attach(builder, context("web")).unwrap());
    let api =
        site.server(SslVersion::TLS1_2, |builder| store.attach(builder, context("api")).unwrap());
    let client = Client::new();
    client.visit(&web, None);
    let session = client.sessions().pop().unwrap();
    assert!(!client.visit(&api, Some(&session)));
    assert!(client.visit(&web, Some(&session)));
}

#[test]
fn a_context_of_the_same_name_resumes_a_copy() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let old = site.server(version, |builder| store.attach(builder, context("web")).unwrap());
        let client = Client::new();
        client.visit(&old, None);
        let session = client.sessions().pop().unwrap();
        let stored: Vec<_> = store.sessions().iter().map(|one| one.as_ptr()).collect();
        drop(old);

        let renewed =
            Site::new().server(version, |builder| store.attach(builder, context("web")).unwrap());
        let mut link = Link::new(client.ssl(Some(&session)), Ssl::new(&renewed).unwrap());
        link.handshake().unwrap();
        assert!(link.resumed(), "{version:?}");
        let used = link.server.ssl().session().unwrap().as_ptr();
        assert!(
            !stored.contains(&used),
            "{version:?}: the object stays with the context that made it"
        );
        link.close();
    }
}

#[test]
fn a_store_that_is_dropped_is_kept_by_its_contexts() {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new()
        .server(SslVersion::TLS1_2, |builder| store.attach(builder, context("web")).unwrap());
    drop(store);
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    assert!(client.visit(&server, Some(&session)));
}

#[test]
fn attaching_again_replaces_the_store() {
    let (first, second) = (ServerStore::new(100).unwrap(), ServerStore::new(100).unwrap());
    let server = Site::new().server(SslVersion::TLS1_2, |builder| {
        first.attach(builder, context("web")).unwrap();
        second.attach(builder, context("web")).unwrap();
    });
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    assert!(client.visit(&server, Some(&session)));
    assert_eq!((first.stats().number, first.stats().accept), (0, 0));
    assert_eq!((second.stats().number, second.stats().accept, second.stats().hits), (1, 2, 1));
}

/// A server whose connections change to `inner` as soon as a client names it.
fn switching(outer: &mut SslContextBuilder, inner: SslContext, early: bool) {
    if early {
        outer.set_client_hello_callback(move |ssl, _| {
            ssl.set_ssl_context(&inner).unwrap();
            Ok(ClientHelloResponse::SUCCESS)
        });
    } else {
        outer.set_servername_callback(move |ssl, _| {
            if ssl.servername(NameType::HOST_NAME) == Some("inner") {
                ssl.set_ssl_context(&inner).unwrap();
            }
            Ok(())
        });
    }
}

fn visit(
    client: &Client,
    server: &SslContext,
    name: Option<&str>,
    session: Option<&SslSession>,
) -> bool {
    let mut ssl = client.ssl(session);
    if let Some(name) = name {
        ssl.set_hostname(name).unwrap();
    }
    let mut link = Link::new(ssl, Ssl::new(server).unwrap());
    link.handshake().unwrap();
    link.exchange();
    let resumed = link.resumed();
    link.close();
    resumed
}

/// The name comes after the lookup: what is made behind it is filed under the inner context, and is
/// not to be had through the outer one.
#[test]
fn a_server_name_that_changes_contexts_changes_domains() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let inner =
            site.server(version, |builder| store.attach(builder, context("inner")).unwrap());
        let outer = site.server(version, |builder| {
            store.attach(builder, context("outer")).unwrap();
            switching(builder, inner, false);
        });
        let client = Client::new();
        assert!(!visit(&client, &outer, Some("inner"), None));
        let session = client.sessions().pop().unwrap();
        assert!(!store.view(context("inner")).is_empty(), "{version:?}");
        assert!(store.view(context("outer")).is_empty(), "{version:?}");
        assert!(!visit(&client, &outer, None, Some(&session)), "{version:?}");
    }
}

#[test]
fn a_context_that_is_chosen_before_the_lookup_resumes_its_own() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let inner =
            site.server(version, |builder| store.attach(builder, context("inner")).unwrap());
        let outer = site.server(version, |builder| {
            store.attach(builder, context("outer")).unwrap();
            switching(builder, inner, true);
        });
        let client = Client::new();
        assert!(!visit(&client, &outer, None, None));
        let session = client.sessions().pop().unwrap();
        assert!(visit(&client, &outer, None, Some(&session)), "{version:?}");
        assert!(store.view(context("outer")).is_empty(), "{version:?}");
    }
}

#[test]
fn what_was_made_without_a_store_is_refused() {
    let store = ServerStore::new(100).unwrap();
    let bare = Site::new().server(SslVersion::TLS1_2, |builder| {
        builder.set_session_id_context(b"another program's").unwrap();
    });
    let client = Client::new();
    client.visit(&bare, None);
    let foreign = client.sessions().pop().unwrap();
    assert!(matches!(store.add_session(&foreign), Err(Rejection::Context)));
    assert!(!store.remove_session(&foreign) && !store.remove_id_of(&foreign));
    assert_eq!(store.stats().number, 0);
}

#[test]
fn what_is_filed_under_a_false_id_is_not_resumed() {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new()
        .server(SslVersion::TLS1_2, |builder| store.attach(builder, context("web")).unwrap());
    let client = Client::new();
    client.visit(&server, None);
    let (offered, stored) = (client.sessions().pop().unwrap(), store.sessions().pop().unwrap());
    let id = SessionId::from([7; 32]);
    let filed =
        Session::<SslSession>::builder(id).context(stored.context()).protocol(stored.protocol());
    assert!(store.cache().add(filed.build((*stored).clone())).is_ok_and(|added| added.changed()));
    assert!(!client.visit(&server, Some(&renamed(&offered, id.as_bytes()))));
    assert!(client.visit(&server, Some(&offered)));
}

#[test]
fn a_program_that_changes_the_id_context_afterwards_resumes_nothing() {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new().server(SslVersion::TLS1_2, |builder| {
        store.attach(builder, context("web")).unwrap();
        builder.set_session_id_context(b"its own").unwrap();
    });
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    assert!(!client.visit(&server, Some(&session)));
    assert_eq!(store.stats().number, 0);
}

#[test]
fn contexts_of_any_method_can_be_attached() {
    let store = ServerStore::new(100).unwrap();
    for method in [SslMethod::tls(), SslMethod::tls_server(), SslMethod::dtls()] {
        let mut builder = SslContextBuilder::new(method).unwrap();
        store.attach(&mut builder, Context::NONE).unwrap();
    }
}

/// Threads that come and go through two contexts of one store, each of which resumes its own
/// sessions only.
#[test]
fn threads_share_a_store_and_not_its_contexts() {
    const THREADS: usize = 4;
    const VISITS: usize = 25;
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(10_000).unwrap());
        let attach =
            |name| site.server(version, |builder| store.attach(builder, context(name)).unwrap());
        let servers = [attach("web"), attach("api")];
        thread::scope(|scope| {
            for index in 0..THREADS {
                let (own, strange) = (&servers[index % 2], &servers[(index + 1) % 2]);
                scope.spawn(move || {
                    let client = Client::new();
                    for _ in 0..VISITS {
                        assert!(!client.visit(own, None));
                        let session = client.sessions().pop().unwrap();
                        assert!(!client.visit(strange, Some(&duplicate(&session))));
                        assert!(client.visit(own, Some(&session)));
                        client.sessions();
                    }
                });
            }
        });
        let stats = store.stats();
        let visits = (THREADS * VISITS) as u64;
        assert_eq!((stats.hits, stats.context_misses), (visits, visits), "{version:?}");
        assert_eq!((stats.accept, stats.accept_good), (3 * visits, 3 * visits), "{version:?}");
        assert_eq!(stats.added - stats.taken, stats.number, "{version:?}");
    }
}

/// An id context that the program sets on a connection is not taken for one of a store, whatever
/// its length: what is made under it is not stored, and no connection without it resumes it.
#[test]
fn an_id_context_of_the_programs_own_is_left_alone() {
    for version in BOTH {
        for length in [1, 8, 24, 31, 32] {
            let store = ServerStore::new(100).unwrap();
            let server = Site::new()
                .server(version, |builder| store.attach(builder, context("web")).unwrap());
            let client = Client::new();
            let mut ssl = Ssl::new(&server).unwrap();
            set_id_context(&ssl, &vec![7; length]);
            let mut link = Link::new(client.ssl(None), ssl);
            ssl = {
                link.handshake().unwrap();
                link.exchange();
                link.close();
                Ssl::new(&server).unwrap()
            };
            assert_eq!(store.stats().number, 0, "{version:?}, {length} bytes");
            let session = client.sessions().pop().unwrap();
            let mut link = Link::new(client.ssl(Some(&session)), ssl);
            link.handshake().unwrap();
            assert!(!link.resumed(), "{version:?}, {length} bytes");
            link.close();
        }
    }
}

unsafe extern "C" {
    fn SSL_set_session_id_context(
        ssl: *mut openssl_sys::SSL,
        context: *const u8,
        length: std::ffi::c_uint,
    ) -> std::ffi::c_int;
}

fn set_id_context(ssl: &openssl::ssl::SslRef, bytes: &[u8]) {
    // SAFETY: the connection is alive, and as many bytes are read as there are.
    let set = unsafe {
        SSL_set_session_id_context(
            ssl.as_ptr(),
            bytes.as_ptr(),
            u32::try_from(bytes.len()).unwrap(),
        )
    };
    assert_eq!(set, 1);
}

/// A listener without a store, which changes by name to a context that has one and demands a
/// certificate: libssl resumes by tickets of its own, without asking for one.
#[test]
fn a_ticket_of_a_context_without_store_is_not_resumed_where_a_certificate_is_demanded() {
    for version in BOTH {
        let (person, store) = (Site::new(), ServerStore::new(100).unwrap());
        let inner = Site::new().server(version, |builder| {
            person.demand(builder);
            store.attach(builder, context("inner")).unwrap();
        });
        let outer = Site::new().server(version, |builder| {
            builder.set_session_id_context(b"outer").unwrap();
            builder.set_verify(openssl::ssl::SslVerifyMode::NONE);
            let inner = inner.clone();
            builder.set_servername_callback(move |ssl, _| {
                if ssl.servername(openssl::ssl::NameType::HOST_NAME) == Some("inner.example") {
                    ssl.set_ssl_context(&inner).unwrap();
                    ssl.set_verify(crate::support::MUTUAL);
                }
                Ok(())
            });
        });
        let client = Client::new();
        assert!(!visit(&client, &outer, None, None));
        let session = client.sessions().pop().unwrap();
        assert!(visit(&client, &outer, None, Some(&session)), "{version:?}: libssl's own business");
        let session = client.sessions().pop().unwrap_or(session);
        let mut ssl = client.ssl(Some(&session));
        ssl.set_hostname("inner.example").unwrap();
        let mut link = Link::new(ssl, Ssl::new(&outer).unwrap());
        let ended = link.handshake();
        // Up to TLS 1.2 the callback is shown the name of the session, and stays.
        let is_inside = link.server.ssl().verify_mode() == crate::support::MUTUAL;
        assert_eq!(is_inside, version == SslVersion::TLS1_3);
        assert!(!is_inside || ended.is_err(), "{version:?}");
    }
}

/// A ticket that carries a session made under an id context of the program's own: libssl has
/// compared that with the connection's, until the connection is moved to another context.
#[test]
fn a_ticket_under_the_programs_own_id_context_is_resumed_unless_the_connection_is_moved() {
    for version in BOTH {
        let store = ServerStore::new(100).unwrap();
        let inner =
            Site::new().server(version, |builder| store.attach(builder, context("inner")).unwrap());
        let outer = Site::new().server(version, |builder| {
            store.attach(builder, context("outer")).unwrap();
            builder.clear_options(openssl::ssl::SslOptions::NO_TICKET);
            let inner = inner.clone();
            builder.set_servername_callback(move |ssl, _| {
                if ssl.servername(openssl::ssl::NameType::HOST_NAME) == Some("inner.example") {
                    ssl.set_ssl_context(&inner).unwrap();
                }
                Ok(())
            });
        });
        let client = Client::new();
        let link = |session: Option<&SslSession>, host: &str| {
            let (mut near, far) = (client.ssl(session), Ssl::new(&outer).unwrap());
            near.set_hostname(host).unwrap();
            set_id_context(&far, b"program");
            let mut link = Link::new(near, far);
            let outcome = link.handshake();
            (link, outcome)
        };
        // Up to TLS 1.2 the callback is shown the name of the session.
        let host = if version == SslVersion::TLS1_3 { "outer.example" } else { "inner.example" };
        let (mut first, outcome) = link(None, host);
        outcome.unwrap();
        first.exchange();
        first.close();
        let session = client.sessions().pop().unwrap();
        if version == SslVersion::TLS1_3 {
            let (stays, outcome) = link(Some(&duplicate(&session)), "outer.example");
            outcome.unwrap();
            assert!(stays.resumed(), "{version:?}");
        }
        let (moved, outcome) = link(Some(&session), "inner.example");
        assert!(outcome.is_err() || !moved.resumed(), "{version:?}");
        assert_eq!(store.stats().number, 0, "{version:?}");
    }
}
