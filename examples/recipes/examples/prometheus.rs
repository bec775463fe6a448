//! The numbers of a cache for Prometheus, beside a server that resumes from it.
//!
//! `cargo run -p recipes --example prometheus`

use std::fmt::Write;
use std::sync::Arc;

use anyhow::Result;
use axum::{Router, extract::State, routing};
use recipes::{Identity, client, visit};
use rustls::{HandshakeKind, ServerConfig};
use sessile::{Context, Handshake, MetricKind, Status};
use sessile_rustls::ServerStore;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The text format of Prometheus.
fn exposition(status: &Status) -> String {
    let mut text = String::new();
    for metric in status.metrics() {
        let end = if metric.kind == MetricKind::Counter { "_total" } else { "" };
        let (name, kind) = (format!("sessile_{}{end}", metric.name), metric.kind.name());
        let (help, value) = (metric.help, metric.value);
        // A string takes any text.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text
}

fn metrics(store: ServerStore) -> Router {
    let show =
        |State(store): State<ServerStore>| async move { exposition(&store.cache().status()) };
    Router::new().route("/metrics", routing::get(show)).with_state(store)
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

/// What `/metrics` shows after three handshakes.
pub(crate) async fn run() -> Result<String> {
    let (store, identity) = (ServerStore::new(100_000)?, Identity::new()?);
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.session_storage = store.for_context(Context::NONE);
    let listener = TcpListener::bind("localhost:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), store.clone()));
    let client = client(&[&identity])?;
    for _ in 0..3 {
        visit(&client, address).await?;
    }
    let listener = TcpListener::bind("localhost:0").await?;
    let url = format!("http://{}/metrics", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, metrics(store)).await });
    Ok(reqwest::get(url).await?.text().await?)
}

#[tokio::main]
async fn main() -> Result<()> {
    print!("{}", run().await?);
    Ok(())
}
