//! The TLS server: stateful resumption only, one short HTTP/1.0 answer for each connection.
//!
//! The driver knows a server by its address and certificate alone, so that another TLS library can stand here.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion};
use serde::Serialize;
use sessile::Handshake;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::stores::{Kind, Store};

/// Longest request that is read, in bytes.
const MAX_REQUEST: u64 = 8 * 1024;

/// How long a client may take over its handshake and request together.
const PATIENCE: Duration = Duration::from_secs(10);

/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Tls {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

impl Tls {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }

    pub(crate) fn version(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::V1_2 => &rustls::version::TLS12,
            Self::V1_3 => &rustls::version::TLS13,
        }
    }
}

/// A server that accepts until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: CertificateDer<'static>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(
        listener: std::net::TcpListener,
        store: Arc<Store>,
        versions: &[Tls],
    ) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let versions: Vec<_> = versions.iter().map(|tls| tls.version()).collect();
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())?;
        config.session_storage = store.sessions();

        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), store));
        Ok(Self { address, certificate, accepting })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) fn bind(address: SocketAddr) -> Result<std::net::TcpListener> {
    Ok(std::net::TcpListener::bind(address)?)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, store: Arc<Store>) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let (acceptor, store) = (acceptor.clone(), Arc::clone(&store));
                tokio::spawn(async move {
                    // A client that breaks off is its own business; the driver counts what it could not finish.
                    let _ = timeout(PATIENCE, answer(tcp, acceptor, &store)).await;
                });
            }
            // Out of descriptors, most likely: connections that end give some back.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn answer(tcp: TcpStream, acceptor: TlsAcceptor, store: &Store) -> Result<()> {
    tcp.set_nodelay(true)?;
    store.record(Handshake::Accept);
    let mut tls = acceptor.accept(tcp).await?;
    store.record(Handshake::AcceptGood);

    read_request(&mut tls).await?;
    let connection = tls.get_ref().1;
    let session = if resumed(connection.handshake_kind()) { "resumed" } else { "new" };
    let protocol = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown");
    let body = format!("session: {session}\nprotocol: {protocol}\n");
    let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n";
    tls.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    tls.shutdown().await?;
    Ok(())
}

pub(crate) fn resumed(kind: Option<HandshakeKind>) -> bool {
    matches!(kind, Some(HandshakeKind::Resumed))
}

/// Reads up to the empty line that ends a request's head.
async fn read_request(tls: &mut (impl AsyncReadExt + Unpin)) -> Result<()> {
    let mut request = Vec::new();
    let mut tls = tls.take(MAX_REQUEST);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if tls.read_buf(&mut request).await? == 0 {
            bail!("no request");
        }
    }
    Ok(())
}

/// Serves until Ctrl-C or SIGTERM, then prints what the store counted.
pub(crate) async fn until_interrupted(
    listener: std::net::TcpListener,
    kind: Kind,
    capacity: usize,
    versions: &[Tls],
) -> Result<()> {
    let store = Arc::new(Store::new(kind, capacity)?);
    let server = Server::start(listener, Arc::clone(&store), versions)?;
    let names: Vec<_> = versions.iter().map(|tls| tls.name()).collect();
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}, TLS {}, store {kind}, Ctrl-C ends", server.address, names.join(" and "))?;
    out.flush()?;

    interrupted().await?;
    drop(server);
    let figures = store.figures();
    writeln!(out, "{kind}: {figures}")?;
    Ok(())
}

#[cfg(unix)]
async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot listen for Ctrl-C"),
        _ = terminated.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn interrupted() -> Result<()> {
    tokio::signal::ctrl_c().await.context("cannot listen for Ctrl-C")
}
