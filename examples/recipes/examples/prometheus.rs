//! The numbers of a cache for Prometheus, beside a server that resumes from it. The text is made in
//! `src/exposition.rs`; `dashboard.json` is for Grafana.
//!
//! `cargo run -p recipes --example prometheus`

use std::sync::Arc;

use anyhow::Result;
use axum::{Router, extract::State, routing};
use recipes::{Identity, client, exposition, visit};
use rustls::{HandshakeKind, ServerConfig};
use sessile::{Context, Handshake, Resumptions};
use sessile_rustls::ServerStore;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is shown: all contexts together, and one of them apart.
#[derive(Clone)]
struct Shown {
    store: ServerStore,
    site: Arc<Resumptions>,
}

async fn show(State(shown): State<Shown>) -> String {
    let contexts = [("www.example.org", shown.site.figures())];
    exposition::cache(&shown.store.status()) + &exposition::contexts(&contexts)
}

/// Serves TLS, and records what a store cannot see: how handshakes went.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, store: ServerStore) -> Result<()> {
    loop {
        let (tcp, _) = listener.accept().await?;
        store.cache().record(Handshake::Accept);
        let mut tls = acceptor.accept(tcp).await?;
        store.cache().record(Handshake::AcceptGood);
        if tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            store.cache().record(Handshake::Resumed);
        }
        tls.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
        tls.shutdown().await?;
    }
}

/// What `/metrics` shows after three handshakes, and the store that it was shown of.
pub(crate) async fn run() -> Result<(String, ServerStore)> {
    let (store, identity) = (ServerStore::new(100_000)?, Identity::new()?);
    let site = Arc::new(Resumptions::new());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.session_storage = store.clone().count_in(&site).for_context(Context::NONE);
    let listener = TcpListener::bind("localhost:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), store.clone()));
    let client = client(&[&identity])?;
    for _ in 0..3 {
        visit(&client, address).await?;
    }
    let listener = TcpListener::bind("localhost:0").await?;
    let url = format!("http://{}/metrics", listener.local_addr()?);
    let shown = Shown { store: store.clone(), site };
    let router = Router::new().route("/metrics", routing::get(show)).with_state(shown);
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok((reqwest::get(url).await?.text().await?, store))
}

#[tokio::main]
async fn main() -> Result<()> {
    print!("{}", run().await?.0);
    Ok(())
}
