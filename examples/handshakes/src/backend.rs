//! The two TLS libraries that can stand on the server's side, and the stores of each.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use sessile::Handshake;
use tokio::net::TcpStream;

use crate::driver::Load;
use crate::figures::{Figures, Timing};
use crate::server::{Acceptor, Tls};
use crate::stores::RustlsStore;

/// What a server's sessions belong to: its name, and how it authenticates clients.
pub(crate) const SITE: [&str; 2] = ["localhost", "no client certificate"];

/// What those of the second server belong to, which `--other` starts.
pub(crate) const OTHER_SITE: [&str; 2] = ["localhost", "another policy"];

/// Which TLS library serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// rustls
    Rustls,
    /// OpenSSL's libssl
    Openssl,
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Sessile,
    /// rustls's with the capacity that a `ServerConfig` has by default.
    #[serde(rename = "rustls-256")]
    RustlsDefault,
    Rustls,
    Moka,
    MokaLru,
    Libssl,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sessile => "sessile",
            Self::RustlsDefault => "rustls-256",
            Self::Rustls => "rustls",
            Self::Moka => "moka",
            Self::MokaLru => "moka-lru",
            Self::Libssl => "libssl",
        })
    }
}

/// A certificate that signed itself, with its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    /// PKCS 8.
    pub(crate) key: Vec<u8>,
}

impl Identity {
    pub(crate) fn new() -> Result<Self> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made: CertifiedKey<KeyPair> = rcgen::generate_simple_self_signed(names)?;
        Ok(Self { certificate: made.cert.der().clone(), key: made.signing_key.serialize_der() })
    }
}

/// What a client can have done to the sessions that are stored, by the path it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// `/forget`: removes them all.
    Forget,
    /// `/expire`: dates them back until they are expired.
    Expire,
    /// `/replace`: puts another object with the same state in the place of each.
    Replace,
}

impl Errand {
    /// The errand that a request asks for.
    pub(crate) fn of(request: &[u8]) -> Option<Self> {
        let path = request.split(|byte| *byte == b' ').nth(1)?;
        match path {
            b"/forget" => Some(Self::Forget),
            b"/expire" => Some(Self::Expire),
            b"/replace" => Some(Self::Replace),
            _ => None,
        }
    }
}

pub(crate) type Preparation<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One store under test, of one library.
pub(crate) trait Store: Send + Sync {
    /// What turns connections into those of `site`, with this store behind them.
    fn acceptor(&self, identity: &Identity, versions: &[Tls], site: [&str; 2]) -> Result<Acceptor>;

    /// What a store does between the arrival of a connection and its handshake.
    fn prepare<'a>(&'a self, _tcp: &'a TcpStream) -> Preparation<'a> {
        Box::pin(ready(()))
    }

    /// Tells stores that count handshakes, and cannot see them, about one.
    fn record(&self, _event: Handshake) {}

    /// Runs an errand, where the store is Sessile.
    fn run(&self, errand: Errand);

    fn figures(&self) -> Figures;

    /// What the calls of a run took, of so many handshakes by each worker.
    fn timing(&self, load: &Load, tls: Tls, each: u64) -> Result<Timing>;
}

/// The ids of sessions that fill a store and that nobody offers.
pub(crate) fn filler_ids() -> impl Iterator<Item = [u8; 32]> {
    let mut random = StdRng::seed_from_u64(0);
    std::iter::repeat_with(move || random.random())
}

/// A store of one of the libraries. If it is to be full, it holds sessions of clients that never
/// come back.
pub(crate) fn store(
    backend: Backend,
    kind: Kind,
    capacity: usize,
    is_full: bool,
) -> Result<Arc<dyn Store>> {
    match backend {
        Backend::Rustls => Ok(Arc::new(RustlsStore::new(kind, capacity, is_full)?)),
        #[cfg(feature = "openssl")]
        Backend::Openssl => Ok(Arc::new(crate::libssl::LibsslStore::new(kind, capacity, is_full)?)),
        #[cfg(not(feature = "openssl"))]
        Backend::Openssl => {
            anyhow::bail!("--backend openssl needs `--features openssl`, and the headers of libssl")
        }
    }
}
