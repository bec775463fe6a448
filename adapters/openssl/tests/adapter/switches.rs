//! Contexts that are changed in the middle of a handshake, by the server name callback: libssl
//! looks a session up before it calls it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use foreign_types::ForeignTypeRef;
use openssl::ssl::{
    NameType, ShutdownState, Ssl, SslContext, SslContextBuilder, SslRef, SslSession, SslVerifyMode,
    SslVersion,
};
use sessile::Context;
use sessile_openssl::ServerStore;

use crate::support::{BOTH, Client, Link, MUTUAL, Site, duplicate, retried_client};

fn context(name: &str) -> Context {
    Context::digest([name])
}

/// A server name callback that moves connections which ask for `name` to `inner`, as nginx does.
fn switching(
    outer: &mut SslContextBuilder,
    name: &'static str,
    inner: SslContext,
    change: impl Fn(&mut SslRef) + Send + Sync + 'static,
) {
    outer.set_servername_callback(move |ssl, _| {
        if ssl.servername_raw(NameType::HOST_NAME) == Some(name.as_bytes()) {
            ssl.set_ssl_context(&inner).unwrap();
            change(ssl);
        }
        Ok(())
    });
}

fn link(client: &Client, server: &SslContext, name: &str, session: Option<&SslSession>) -> Link {
    let mut ssl = client.ssl(session);
    ssl.set_hostname(name).unwrap();
    Link::new(ssl, Ssl::new(server).unwrap())
}

/// A whole visit, whether it was resumed; `None` if the server refused the handshake, on which
/// nothing can be read or written then.
fn visit(
    client: &Client,
    server: &SslContext,
    name: &str,
    session: Option<&SslSession>,
) -> Option<bool> {
    let mut link = link(client, server, name, session);
    if link.handshake().is_err() {
        let mut buffer = [0; 16];
        let _ = link.client.ssl_write(b"ask");
        assert_eq!(link.server.ssl_read(&mut buffer).unwrap_or(0), 0);
        assert!(link.server.ssl_write(b"answer").is_err());
        assert!(link.server.do_handshake().is_err());
        return None;
    }
    link.exchange();
    let resumed = link.resumed();
    link.close();
    Some(resumed)
}

/// *public*, and *mutual* behind it, which demands a certificate of `person`.
struct Sides {
    store: ServerStore,
    public: SslContext,
    mutual: SslContext,
    person: Site,
}

impl Sides {
    fn new(version: SslVersion) -> Self {
        let (site, person, store) = (Site::new(), Site::new(), ServerStore::new(100).unwrap());
        let mutual = site.server(version, |builder| {
            store.attach(builder, context("mutual")).unwrap();
            person.demand(builder);
        });
        let public = site.server(version, |builder| {
            store.attach(builder, context("public")).unwrap();
            builder.cert_store_mut().add_cert(person.certificate().clone()).unwrap();
            switching(builder, "mutual", mutual.clone(), |ssl| ssl.set_verify(MUTUAL));
        });
        Self { store, public, mutual, person }
    }
}

#[test]
fn a_session_without_certificate_is_not_resumed_where_one_is_demanded() {
    for version in BOTH {
        let sides = Sides::new(version);
        let client = Client::new();
        // Twice: the second time the way of such connections is known.
        for _ in 0..2 {
            assert_eq!(visit(&client, &sides.public, "public", None), Some(false));
            let session = client.sessions().pop().unwrap();
            assert_eq!(
                visit(&client, &sides.public, "mutual", Some(&session)),
                None,
                "{version:?}"
            );
            for given in client.sessions().iter().chain([&session]) {
                assert_eq!(
                    visit(&client, &sides.mutual, "mutual", Some(given)),
                    None,
                    "{version:?}"
                );
            }
        }
        assert!(sides.store.view(context("mutual")).is_empty(), "{version:?}");
        assert_eq!(sides.store.stats().resumed, 0, "{version:?}");
    }
}

/// A callback that demands a certificate, and leaves the context as it is.
#[test]
fn a_demand_that_the_callback_makes_holds_for_resumed_sessions() {
    for version in BOTH {
        let (site, person, store) = (Site::new(), Site::new(), ServerStore::new(100).unwrap());
        let demands = Arc::new(AtomicBool::new(false));
        let server = site.server(version, |builder| {
            store.attach(builder, context("a")).unwrap();
            builder.cert_store_mut().add_cert(person.certificate().clone()).unwrap();
            // Asked for and not demanded: some sessions have a certificate.
            builder.set_verify(SslVerifyMode::PEER);
            let demands = Arc::clone(&demands);
            builder.set_servername_callback(move |ssl, _| {
                if demands.load(Ordering::Relaxed) {
                    ssl.set_verify(MUTUAL);
                }
                Ok(())
            });
        });
        for (client, outcome) in
            [(Client::new(), None), (Client::with(|context| person.identify(context)), Some(true))]
        {
            demands.store(false, Ordering::Relaxed);
            assert_eq!(visit(&client, &server, "a", None), Some(false));
            let session = client.sessions().pop().unwrap();
            demands.store(true, Ordering::Relaxed);
            assert_eq!(visit(&client, &server, "a", Some(&session)), outcome, "{version:?}");
        }
    }
}

/// The client is told by an alert. One that does not listen to it gets no further: what it sends is
/// not read.
#[test]
fn a_refusal_is_told_and_does_not_depend_on_being_heard() {
    for version in BOTH {
        for hears in [true, false] {
            let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
            let inner =
                site.server(version, |builder| store.attach(builder, context("b")).unwrap());
            let (outer, switches) = toggled(&site, version, &store, inner);
            let client = Client::new();
            visit(&client, &outer, "a", None);
            let session = client.sessions().pop().unwrap();
            switches.store(true, Ordering::Relaxed);
            let mut link = link(&client, &outer, "a", Some(&session));
            assert!(link.client.do_handshake().is_err());
            assert!(link.server.do_handshake().is_err());
            let alert = [21, 3, 3, 0, 2, 2, 40];
            assert_eq!(link.server.get_ref().sent()[..7], alert, "{version:?}");
            if !hears {
                link.server.get_ref().withdraw(7);
                // Nor does it help if the program forgets that the connection is closed.
                link.server.set_shutdown(ShutdownState::empty());
                link.client.do_handshake().unwrap();
                assert!(link.client.ssl().session_reused(), "so it thinks");
                let _ = link.client.ssl_write(b"ask");
            }
            let error = link.handshake().unwrap_err().to_string();
            assert_eq!(error.contains("alert handshake failure"), hears, "{version:?}: {error}");
            let mut buffer = [0; 16];
            assert!(link.server.do_handshake().is_err());
            assert_eq!(link.server.ssl_read(&mut buffer).unwrap_or(0), 0);
            assert!(link.server.ssl_write(b"answer").is_err());

            link.server.set_shutdown(ShutdownState::empty());
            for _ in 0..3 {
                assert!(link.server.do_handshake().is_err());
            }
            assert_eq!(link.server.ssl_read(&mut buffer).unwrap_or(0), 0);
            assert_eq!((store.stats().resumed, store.stats().accept_good), (0, 1));
        }
    }
}

/// The other way round: what was made with a certificate is no use on the public side either.
#[test]
fn a_session_with_a_certificate_stays_on_its_side() {
    for version in BOTH {
        let sides = Sides::new(version);
        let client = Client::with(|context| sides.person.identify(context));
        assert_eq!(visit(&client, &sides.public, "mutual", None), Some(false));
        let session = client.sessions().pop().unwrap();
        assert_eq!(
            visit(&client, &sides.public, "public", Some(&session)),
            Some(false),
            "{version:?}"
        );
        let session = if version == SslVersion::TLS1_3 {
            visit(&client, &sides.public, "mutual", None);
            client.sessions().pop().unwrap()
        } else {
            client.sessions();
            session
        };
        assert_eq!(
            visit(&client, &sides.public, "mutual", Some(&session)),
            Some(true),
            "{version:?}"
        );
        let session = client.sessions().pop().unwrap_or(session);
        assert_eq!(
            visit(&client, &sides.mutual, "mutual", Some(&session)),
            Some(true),
            "{version:?}"
        );
    }
}

/// libssl alone resumes three of four visits to each name.
#[test]
fn virtual_hosts_by_server_name_resume() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let inner = site.server(version, |builder| store.attach(builder, context("b")).unwrap());
        let outer = site.server(version, |builder| {
            store.attach(builder, context("a")).unwrap();
            switching(builder, "b.example", inner.clone(), |_| {});
        });
        let client = Client::new();
        let mut sessions = [None, None];
        let mut resumed = [Vec::new(), Vec::new()];
        for _ in 0..4 {
            for (index, name) in ["a.example", "b.example"].into_iter().enumerate() {
                resumed[index]
                    .push(visit(&client, &outer, name, sessions[index].as_ref()).unwrap());
                sessions[index] = client.sessions().pop().or(sessions[index].take());
            }
        }
        assert_eq!(resumed, [[false, true, true, true], [false, true, true, true]], "{version:?}");
        assert_eq!(store.stats().resumed, 6, "{version:?}");
    }
}

#[test]
fn a_session_that_was_resumed_behind_a_switch_leaves_with_its_broken_connection() {
    let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
    let inner =
        site.server(SslVersion::TLS1_2, |builder| store.attach(builder, context("b")).unwrap());
    let outer = site.server(SslVersion::TLS1_2, |builder| {
        store.attach(builder, context("a")).unwrap();
        switching(builder, "b", inner.clone(), |_| {});
    });
    let client = Client::new();
    assert_eq!(visit(&client, &outer, "b", None), Some(false));
    let session = client.sessions().pop().unwrap();
    let mut broken = link(&client, &outer, "b", Some(&session));
    broken.handshake().unwrap();
    assert!(broken.resumed());
    drop(broken);
    assert_eq!(store.stats().number, 0);
}

/// Contexts of one name are handed copies of each other's sessions, and libssl marks only the copy.
#[test]
fn a_session_whose_copy_broke_in_a_context_that_lost_its_store_is_not_resumed() {
    let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
    let contexts = [0; 2].map(|_| {
        site.server(SslVersion::TLS1_2, |builder| store.attach(builder, context("a")).unwrap())
    });
    for [maker, breaks] in [[0, 1], [1, 0]] {
        let client = Client::new();
        client.visit(&contexts[maker], None);
        let session = client.sessions().pop().unwrap();
        let offers = [0; 3].map(|_| duplicate(&session));
        assert!(client.visit(&contexts[breaks], Some(&offers[0])), "one that ends well stays");
        let mut broken =
            Link::new(client.ssl(Some(&offers[1])), Ssl::new(&contexts[breaks]).unwrap());
        broken.handshake().unwrap();
        assert!(broken.resumed());
        ServerStore::detach(&contexts[breaks]).unwrap();
        drop(broken);
        assert!(!client.visit(&contexts[maker], Some(&offers[2])));
        store.reattach(&contexts[breaks], context("a")).unwrap();
    }
}

/// A HelloRetryRequest has libssl look twice, the second time in the context that the first
/// ClientHello led to.
#[test]
fn a_hello_retry_behind_a_switch_resumes() {
    let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
    let inner = site.server(SslVersion::TLS1_3, |builder| {
        builder.set_groups_list("P-256").unwrap();
        store.attach(builder, context("b")).unwrap();
    });
    let outer = site.server(SslVersion::TLS1_3, |builder| {
        builder.set_groups_list("P-256").unwrap();
        store.attach(builder, context("a")).unwrap();
        switching(builder, "b", inner.clone(), |_| {});
    });
    let client = retried_client();
    assert_eq!(visit(&client, &outer, "b", None), Some(false));
    for _ in 0..3 {
        let ticket = client.sessions().pop().unwrap();
        assert_eq!(visit(&client, &outer, "b", Some(&ticket)), Some(true));
    }

    // By the way that a handshake without a retry has shown, the first ClientHello finds it.
    let direct = Client::with(|context| context.set_groups_list("P-256").unwrap());
    assert_eq!(visit(&direct, &outer, "b", None), Some(false));
    let ticket = direct.sessions().pop().unwrap();
    let taken = store.stats().taken;
    assert_eq!(visit(&client, &outer, "b", Some(&ticket)), Some(true));
    assert_eq!(store.stats().taken, taken + 1);
}

/// Both sides wait for each other within one call: there is no way in between to look at the
/// server.
#[test]
fn a_handshake_in_one_call_is_refused() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let (outer, switches) = toggled(&site, version, &store, site.server(version, |_| {}));
        let client = Client::new();
        assert_eq!(visit(&client, &outer, "a", None), Some(false));
        let session = client.sessions().pop().unwrap();
        switches.store(true, Ordering::Relaxed);
        let (near, far) = UnixStream::pair().unwrap();
        let mut ssl = client.ssl(Some(&session));
        ssl.set_hostname("a").unwrap();
        thread::scope(|scope| {
            let server = scope.spawn(|| Ssl::new(&outer).unwrap().accept(far).is_ok());
            // It does not listen to alerts.
            let outcome = ssl.connect(Deaf(near, 7));
            assert!(outcome.is_ok(), "{version:?}: so it thinks");
            assert!(!server.join().unwrap(), "{version:?}");
        });
    }
}

/// A transport that loses the first bytes that come.
#[derive(Debug)]
struct Deaf(UnixStream, usize);

impl Read for Deaf {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let lost = std::mem::take(&mut self.1);
        self.0.read_exact(&mut vec![0; lost])?;
        self.0.read(buffer)
    }
}

impl Write for Deaf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A program that changes the context once the handshake is over, and has a ticket issued.
#[test]
fn a_ticket_that_is_issued_elsewhere_is_not_stored() {
    let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
    let version = SslVersion::TLS1_3;
    let other = site.server(version, |builder| store.attach(builder, context("b")).unwrap());
    let server = site.server(version, |builder| store.attach(builder, context("a")).unwrap());
    let client = Client::new();
    assert_eq!(visit(&client, &server, "a", None), Some(false));
    let ticket = client.sessions().pop().unwrap();
    let mut link = link(&client, &server, "a", Some(&ticket));
    link.handshake().unwrap();
    link.exchange();
    assert!(link.resumed());
    let before = store.stats().added;
    link.issue_ticket();
    assert_eq!(store.stats().added, before + 1, "where it was resumed");
    // SAFETY: both are alive, and nobody else uses the connection.
    unsafe { openssl_sys::SSL_set_SSL_CTX(link.server.ssl().as_ptr(), other.as_ptr()) };
    link.issue_ticket();
    assert_eq!((store.stats().added, store.view(context("b")).len()), (before + 1, 0));
    link.close();
}

/// A server in the domain "a" whose connections change to `inner` while the switch is on.
fn toggled(
    site: &Site,
    version: SslVersion,
    store: &ServerStore,
    inner: SslContext,
) -> (SslContext, Arc<AtomicBool>) {
    let switches = Arc::new(AtomicBool::new(false));
    let outer = site.server(version, |builder| {
        store.attach(builder, context("a")).unwrap();
        let switches = Arc::clone(&switches);
        builder.set_servername_callback(move |ssl, _| {
            if switches.load(Ordering::Relaxed) {
                ssl.set_ssl_context(&inner).unwrap();
            }
            Ok(())
        });
    });
    (outer, switches)
}

#[test]
fn a_connection_that_ends_elsewhere_is_refused_and_the_next_one_is_not() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let inner = site.server(version, |builder| store.attach(builder, context("b")).unwrap());
        let (outer, switches) = toggled(&site, version, &store, inner);
        let client = Client::new();
        for now_switches in [false, true, false] {
            switches.store(!now_switches, Ordering::Relaxed);
            assert_eq!(visit(&client, &outer, "b", None), Some(false));
            let session = client.sessions().pop().unwrap();
            switches.store(now_switches, Ordering::Relaxed);
            assert_eq!(visit(&client, &outer, "b", Some(&session)), None, "{version:?}");
            assert_eq!(
                visit(&client, &outer, "b", Some(&session)),
                Some(false),
                "{version:?}: it is gone"
            );
            let session = client.sessions().pop().unwrap();
            assert_eq!(visit(&client, &outer, "b", Some(&session)), Some(true), "{version:?}");
            client.sessions();
        }
    }
}

#[test]
fn a_switch_to_a_context_of_another_store_or_none_is_refused() {
    for version in BOTH {
        for has_store in [false, true] {
            let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
            let other = ServerStore::new(100).unwrap();
            let inner = site.server(version, |builder| {
                if has_store {
                    other.attach(builder, context("a")).unwrap();
                }
            });
            let (outer, switches) = toggled(&site, version, &store, inner);
            let client = Client::new();
            assert_eq!(visit(&client, &outer, "a", None), Some(false));
            let session = client.sessions().pop().unwrap();
            switches.store(true, Ordering::Relaxed);
            let mut link = link(&client, &outer, "a", Some(&session));
            assert!(link.handshake().is_err(), "{version:?}, {has_store}");
            let both = ShutdownState::SENT | ShutdownState::RECEIVED;
            assert_eq!(link.server.get_shutdown(), both);
            assert_eq!(
                (store.stats().resumed, other.stats().resumed),
                (0, 0),
                "{version:?}, {has_store}"
            );
        }
    }
}

/// In TLS 1.2 libssl shows the callback the session's name, not the one that the client asks for.
#[test]
fn a_session_of_one_host_is_not_resumed_under_the_name_of_another() {
    let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
    let server =
        site.server(SslVersion::TLS1_2, |builder| store.attach(builder, context("a")).unwrap());
    let client = Client::new();
    assert_eq!(visit(&client, &server, "a", None), Some(false));
    let session = client.sessions().pop().unwrap();
    assert_eq!(visit(&client, &server, "b", Some(&session)), Some(false));
    assert_eq!(visit(&client, &server, "A", Some(&session)), Some(true));
    assert!(client.visit(&server, Some(&session)), "no name, as on data connections");
    client.sessions();
    client.visit(&server, None);
    let nameless = client.sessions().pop().unwrap();
    assert_eq!(visit(&client, &server, "a", Some(&nameless)), Some(false));
    assert_eq!((store.stats().hits, store.stats().resumed), (2, 2));
}

#[test]
fn a_ticket_that_is_refused_leads_to_no_other() {
    let sides = Sides::new(SslVersion::TLS1_3);
    let client = Client::new();
    visit(&client, &sides.public, "public", None);
    let ticket = client.sessions().pop().unwrap();
    assert_eq!((sides.store.stats().added, sides.store.stats().number), (2, 2));
    assert_eq!(visit(&client, &sides.public, "mutual", Some(&ticket)), None);
    assert!(client.sessions().is_empty(), "nothing was issued");
    assert_eq!((sides.store.stats().added, sides.store.stats().number), (2, 1));
}

/// A revocation ends handshakes that are under way: neither do they resume, nor is what they make
/// stored.
#[test]
fn a_revocation_in_the_middle_of_a_handshake_counts() {
    for version in BOTH {
        let (site, store) = (Site::new(), ServerStore::new(100).unwrap());
        let revoker = store.clone();
        let revokes = Arc::new(AtomicBool::new(true));
        let switch = Arc::clone(&revokes);
        let server = site.server(version, |builder| {
            store.attach(builder, context("a")).unwrap();
            builder.set_servername_callback(move |_, _| {
                if switch.load(Ordering::Relaxed) {
                    revoker.revoke(context("a"));
                }
                Ok(())
            });
        });
        let client = Client::new();
        assert_eq!(visit(&client, &server, "a", None), Some(false));
        assert_eq!((store.stats().number, store.stats().rejected > 0), (0, true), "{version:?}");
        client.sessions();
        revokes.store(false, Ordering::Relaxed);
        assert_eq!(visit(&client, &server, "a", None), Some(false));
        let session = client.sessions().pop().unwrap();
        revokes.store(true, Ordering::Relaxed);
        assert_eq!(visit(&client, &server, "a", Some(&session)), None, "{version:?}");
    }
}
