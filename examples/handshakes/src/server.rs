//! The TLS server: stateful resumption only, one short HTTP/1.0 answer for each connection.
//!
//! The driver knows a server by its address and certificate alone, so that another TLS library can
//! stand here.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::{HandshakeKind, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};
use sessile::Handshake;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::backend::{Errand, Identity, Kind, OTHER_SITE, SITE, Store};
use crate::timed::TimedAcceptor;

/// Longest request that is read, in bytes.
const MAX_REQUEST: u64 = 8 * 1024;

/// How long a client may take over its handshake and request together. On a machine that others
/// keep busy a client of ours may wait for a processor for many seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
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

/// What turns a TCP connection into a TLS connection.
#[derive(Clone)]
pub(crate) enum Acceptor {
    Rustls(TimedAcceptor),
    #[cfg(feature = "openssl")]
    Libssl(openssl::ssl::SslContext),
}

/// A server that accepts until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(
        listener: std::net::TcpListener,
        store: Arc<dyn Store>,
        identity: &Identity,
        versions: &[Tls],
        site: [&str; 2],
    ) -> Result<Self> {
        let acceptor = store.acceptor(identity, versions, site)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, acceptor, store));
        Ok(Self { address, accepting })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) fn bind(address: impl ToSocketAddrs) -> Result<std::net::TcpListener> {
    Ok(std::net::TcpListener::bind(address)?)
}

async fn accept(listener: TcpListener, acceptor: Acceptor, store: Arc<dyn Store>) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let (acceptor, store) = (acceptor.clone(), Arc::clone(&store));
                tokio::spawn(async move {
                    // A client that breaks off is its own business; the driver counts what it could
                    // not finish.
                    let _ = timeout(PATIENCE, answer(tcp, acceptor, &*store)).await;
                });
            }
            // Out of descriptors, most likely: connections that end give some back.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn answer(tcp: TcpStream, acceptor: Acceptor, store: &dyn Store) -> Result<()> {
    tcp.set_nodelay(true)?;
    store.prepare(&tcp).await;
    store.record(Handshake::Accept);
    match acceptor {
        Acceptor::Rustls(acceptor) => {
            let tls = acceptor.acceptor().accept(tcp).await?;
            let connection = tls.get_ref().1;
            let protocol = connection.protocol_version().and_then(|version| version.as_str());
            let (is_resumed, protocol) =
                (resumed(connection.handshake_kind()), protocol.unwrap_or("unknown"));
            respond(tls, is_resumed, protocol, store).await
        }
        #[cfg(feature = "openssl")]
        Acceptor::Libssl(context) => {
            let ssl = openssl::ssl::Ssl::new(&context)?;
            let mut tls = tokio_openssl::SslStream::new(ssl, tcp)?;
            std::pin::Pin::new(&mut tls).accept().await?;
            let (is_resumed, protocol) = (tls.ssl().session_reused(), tls.ssl().version_str());
            respond(tls, is_resumed, protocol, store).await
        }
    }
}

/// Serves one request, and says goodbye whatever came of it: libssl has sessions forgotten whose
/// connection ends without.
async fn respond(
    mut tls: impl AsyncRead + AsyncWrite + Unpin,
    is_resumed: bool,
    protocol: &str,
    store: &dyn Store,
) -> Result<()> {
    store.record(Handshake::AcceptGood);
    let served = serve(&mut tls, is_resumed, protocol, store).await;
    let goodbye = tls.shutdown().await;
    served.and(goodbye.map_err(Into::into))
}

/// Reads a request, runs the errand in it, and answers what the handshake was.
async fn serve(
    tls: &mut (impl AsyncRead + AsyncWrite + Unpin),
    is_resumed: bool,
    protocol: &str,
    store: &dyn Store,
) -> Result<()> {
    let request = read_request(tls).await?;
    if let Some(errand) = Errand::of(&request) {
        store.run(errand);
    }
    let session = if is_resumed { "resumed" } else { "new" };
    let body = format!("session: {session}\nprotocol: {protocol}\n");
    let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n";
    tls.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    Ok(())
}

pub(crate) fn resumed(kind: Option<HandshakeKind>) -> bool {
    matches!(kind, Some(HandshakeKind::Resumed))
}

/// Reads up to the empty line that ends a request's head.
async fn read_request(tls: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut tls = tls.take(MAX_REQUEST);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if tls.read_buf(&mut request).await? == 0 {
            bail!("no request");
        }
    }
    Ok(request)
}

/// What `--serve` needs.
pub(crate) struct Service {
    pub(crate) listener: std::net::TcpListener,
    /// For the second server, which shares the store and none of its sessions.
    pub(crate) other: Option<std::net::TcpListener>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) kind: Kind,
    pub(crate) versions: &'static [Tls],
}

/// Serves until Ctrl-C or SIGTERM, then prints what the store counted.
pub(crate) async fn until_interrupted(service: Service) -> Result<()> {
    let Service { listener, other, store, kind, versions } = service;
    let start = |listener, site| {
        Server::start(listener, Arc::clone(&store), &Identity::new()?, versions, site)
    };
    let server = start(listener, SITE)?;
    let other = other.map(|listener| start(listener, OTHER_SITE)).transpose()?;
    let names: Vec<_> = versions.iter().map(|tls| tls.name()).collect();
    let interruption = interruption()?;
    let mut out = std::io::stdout();
    write!(out, "listening on {}", server.address)?;
    if let Some(other) = &other {
        write!(out, " and {}", other.address)?;
    }
    writeln!(out, ", TLS {}, store {kind}, Ctrl-C ends", names.join(" and "))?;
    out.flush()?;

    interruption.await;
    drop((server, other));
    let figures = store.figures();
    writeln!(out, "{kind}: {figures}")?;
    Ok(())
}

/// What waits for Ctrl-C or SIGTERM. It listens from now on, not from the first wait.
#[cfg(unix)]
pub(crate) fn interruption() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut pressed = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = pressed.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

/// What waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn interruption() -> Result<impl Future<Output = ()>> {
    Ok(async {
        // Nobody can be heard any more: it goes on to its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
