//! What the recipes share: a certificate and a client to try them with, which are no part of them,
//! and the text that an exporter shows.
#![forbid(unsafe_code)]

pub mod exposition;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A certificate for `localhost` that signed itself, with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    /// Makes one.
    pub fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = made.signing_key.serialize_der().into();
        Ok(Self { certificate: made.cert.der().clone(), key })
    }

    /// The private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key().into()
    }
}

/// A client that trusts these servers, with the resumption that rustls's clients have by default.
pub fn client(servers: &[&Identity]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for server in servers {
        roots.add(server.certificate.clone())?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects anew, asks for `/`, and tells how the handshake went.
pub async fn visit(client: &Arc<ClientConfig>, server: SocketAddr) -> Result<HandshakeKind> {
    let tcp = TcpStream::connect(server).await?;
    let name = ServerName::try_from("localhost")?;
    let mut tls = TlsConnector::from(Arc::clone(client)).connect(name, tcp).await?;
    tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "the server did not answer");
    tls.get_ref().1.handshake_kind().ok_or_else(|| anyhow::anyhow!("no handshake"))
}
