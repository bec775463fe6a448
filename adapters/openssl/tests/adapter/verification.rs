//! A client offers a session only where the server is verified as it was when the session was made.

use std::ffi::c_int;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslRef, SslVerifyMode, SslVersion, StatusType,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509CheckFlags;
use sessile::Context;
use sessile_openssl::{ClientStore, ServerStore};

use crate::support::{BOTH, Link, Site};

unsafe extern "C" {
    fn SSL_set_verify(ssl: *mut openssl_sys::SSL, mode: c_int, callback: Option<extern "C" fn()>);
}

type Demand = fn(&mut SslRef) -> Result<(), ErrorStack>;

struct Pair {
    store: ClientStore,
    client: SslContext,
    server: SslContext,
    site: Site,
}

impl Pair {
    fn new(version: SslVersion) -> Self {
        let (site, servers) = (Site::new(), ServerStore::new(100).unwrap());
        let server =
            site.server(version, |context| servers.attach(context, Context::NONE).unwrap());
        let store = ClientStore::new(10).unwrap();
        let mut client = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        store.attach(&mut client, Context::NONE).unwrap();
        Self { store, client: client.build(), server, site }
    }

    /// Two visits: `None` where the first one fails, else whether the second one was resumed.
    fn visit(&self, change: impl Fn(&mut SslRef) -> Result<(), ErrorStack>) -> Option<bool> {
        let mut ssl = Ssl::new(&self.client).unwrap();
        change(&mut ssl).unwrap();
        ClientStore::offer(&mut ssl, "a:443").unwrap();
        self.finish(ssl)
    }

    fn finish(&self, ssl: Ssl) -> Option<bool> {
        let mut link = Link::new(ssl, Ssl::new(&self.server).unwrap());
        if link.handshake().is_err() {
            let mut buffer = [0; 16];
            assert!(link.client.ssl_write(b"ask").is_err());
            assert_eq!(link.client.ssl_read(&mut buffer).unwrap_or(0), 0);
            return None;
        }
        link.exchange();
        let resumed = link.resumed();
        link.close();
        Some(resumed)
    }
}

fn trusting(ssl: &mut SslRef) -> Result<(), ErrorStack> {
    ssl.set_verify(SslVerifyMode::NONE);
    Ok(())
}

fn verifying(ssl: &mut SslRef) -> Result<(), ErrorStack> {
    ssl.set_verify(SslVerifyMode::PEER);
    Ok(())
}

#[test]
fn what_was_made_without_verification_is_not_offered_with_it() {
    for version in BOTH {
        let pair = Pair::new(version);
        assert_eq!(pair.visit(verifying), None, "{version:?}");
        assert_eq!(pair.visit(trusting), Some(false), "{version:?}");
        assert_eq!(pair.visit(verifying), None, "{version:?}: as at first");
        assert_eq!(pair.visit(trusting), Some(true), "{version:?}");
    }
}

#[test]
fn each_demand_on_the_server_is_a_demand_of_its_own() {
    let demands: [Demand; 7] = [
        verifying,
        |ssl| {
            ssl.set_verify(SslVerifyMode::PEER);
            ssl.param_mut().set_host("localhost")
        },
        |ssl| {
            ssl.set_verify(SslVerifyMode::PEER);
            ssl.param_mut().set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
            ssl.param_mut().set_host("localhost")
        },
        |ssl| {
            ssl.set_verify(SslVerifyMode::PEER);
            ssl.param_mut().set_depth(3);
            Ok(())
        },
        |ssl| {
            ssl.set_verify(SslVerifyMode::PEER);
            ssl.param_mut().set_flags(openssl::x509::verify::X509VerifyFlags::X509_STRICT)
        },
        |ssl| {
            ssl.set_verify_callback(SslVerifyMode::PEER, |is_good, _| is_good);
            Ok(())
        },
        trusting,
    ];
    for version in BOTH {
        let mut pair = Pair::new(version);
        let mut client = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        client.cert_store_mut().add_cert(pair.site.certificate().clone()).unwrap();
        pair.store.attach(&mut client, Context::NONE).unwrap();
        pair.client = client.build();
        for (index, demand) in demands.into_iter().enumerate() {
            if pair.visit(demand).is_none() {
                continue;
            }
            assert_eq!(pair.visit(demand), Some(true), "{version:?}, {index}");
            assert_eq!(pair.visit(demand), Some(true), "{version:?}, {index}");
            for (other, stranger) in demands.into_iter().enumerate().skip(index + 1) {
                assert_ne!(pair.visit(stranger), Some(true), "{version:?}, {index}, {other}");
            }
            pair.store.clear();
        }
    }
}

#[test]
fn a_connection_with_authorities_of_its_own_offers_nothing() {
    for version in BOTH {
        let pair = Pair::new(version);
        let authorities = |ssl: &mut SslRef| {
            let mut store = X509StoreBuilder::new()?;
            store.add_cert(pair.site.certificate().clone())?;
            ssl.set_verify(SslVerifyMode::PEER);
            ssl.set_verify_cert_store(store.build())
        };
        for _ in 0..3 {
            assert_eq!(pair.visit(authorities), Some(false), "{version:?}");
        }
        assert_eq!(pair.store.stats().number, 0);
        assert_eq!(pair.visit(verifying), None, "{version:?}");
    }
}

/// A callback that lets everybody in, and leaves libssl's result as it was.
#[test]
fn a_failed_verification_counts_as_none() {
    for version in BOTH {
        let pair = Pair::new(version);
        let lax = |ssl: &mut SslRef| {
            ssl.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
            Ok(())
        };
        assert_eq!(pair.visit(lax), Some(false));
        assert_eq!(pair.visit(lax), Some(false), "{version:?}");
        assert_eq!(pair.visit(verifying), None, "{version:?}");
        assert_eq!(pair.visit(trusting), Some(true), "{version:?}");
    }
}

#[test]
fn a_demand_that_comes_after_the_offer_withdraws_it() {
    for version in BOTH {
        let pair = Pair::new(version);
        pair.visit(trusting);
        let mut ssl = Ssl::new(&pair.client).unwrap();
        assert!(ClientStore::offer(&mut ssl, "a:443").unwrap());
        verifying(&mut ssl).unwrap();
        assert_eq!(pair.finish(ssl), None, "{version:?}: verified, and found wanting");
        assert_eq!(pair.store.stats().resumed, 0, "{version:?}");
    }
}

#[test]
fn a_demand_that_comes_in_the_middle_of_a_handshake_ends_it() {
    for version in BOTH {
        let pair = Pair::new(version);
        pair.visit(trusting);
        let mut ssl = Ssl::new(&pair.client).unwrap();
        assert!(ClientStore::offer(&mut ssl, "a:443").unwrap());
        let mut link = Link::new(ssl, Ssl::new(&pair.server).unwrap());
        assert!(link.client.do_handshake().is_err());
        // SAFETY: the connection is alive, and nobody else uses it.
        unsafe { SSL_set_verify(link.client.ssl().as_ptr(), SslVerifyMode::PEER.bits(), None) };
        assert!(link.handshake().is_err(), "{version:?}");
        assert!(link.client.ssl_write(b"ask").is_err());
        assert_eq!(pair.store.stats().resumed, 0, "{version:?}");
    }
}

/// A status callback comes after the server was verified. What the authorities of one context
/// vouched for is not offered by another that the callback changes to.
#[test]
fn a_session_belongs_to_the_context_that_verified_the_server() {
    for version in BOTH {
        let (site, servers) = (Site::new(), ServerStore::new(100).unwrap());
        let server =
            site.server(version, |context| servers.attach(context, Context::NONE).unwrap());
        let store = ClientStore::new(10).unwrap();
        let context = |name: &str, change: &dyn Fn(&mut SslContextBuilder)| {
            let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
            builder.set_verify(SslVerifyMode::PEER);
            change(&mut builder);
            store.attach(&mut builder, Context::digest([name])).unwrap();
            builder.build()
        };
        let strict = context("trusts nobody", &|_| {});
        let lax = context("trusts the site", &|builder| {
            builder.cert_store_mut().add_cert(site.certificate().clone()).unwrap();
            let strict = strict.clone();
            builder
                .set_status_callback(move |ssl| ssl.set_ssl_context(&strict).map(|()| true))
                .unwrap();
        });
        let visit = |context: &SslContext| {
            let mut ssl = Ssl::new(context).unwrap();
            ssl.set_status_type(StatusType::OCSP).unwrap();
            ClientStore::offer(&mut ssl, "a:443").unwrap();
            let mut link = Link::new(ssl, Ssl::new(&server).unwrap());
            link.handshake().ok()?;
            link.exchange();
            let resumed = link.resumed();
            link.close();
            Some(resumed)
        };
        assert_eq!(visit(&lax), Some(false), "{version:?}");
        assert_eq!(visit(&strict), None, "{version:?}: it trusts nobody");
    }
}
