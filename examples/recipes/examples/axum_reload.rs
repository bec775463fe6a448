//! An axum server whose certificate is renewed while it runs. The store outlives the configuration,
//! and both configurations name the same context: clients go on resuming.
//!
//! `cargo run -p recipes --example axum_reload`

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Result;
use axum::{Router, routing};
use axum_server::tls_rustls::RustlsConfig;
use recipes::{Identity, client, visit};
use rustls::{HandshakeKind, ServerConfig};
use sessile::Context;
use sessile_rustls::ServerStore;

/// Called at start and whenever a certificate was renewed.
fn configure(store: &ServerStore, identity: &Identity) -> Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Whoever resumes skips what is digested here, and nothing else.
    config.session_storage =
        store.for_context(Context::digest(["www.example.org", "no client certificates"]));
    Ok(Arc::new(config))
}

/// Starts the server; what it listens on, and what its certificate is renewed by.
fn serve(store: &ServerStore, identity: &Identity) -> Result<(SocketAddr, RustlsConfig)> {
    let config = RustlsConfig::from_config(configure(store, identity)?);
    let listener = TcpListener::bind("localhost:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/", routing::get(|| async { "hello" }));
    let server = axum_server::from_tcp_rustls(listener, config.clone())?;
    tokio::spawn(server.serve(app.into_make_service()));
    Ok((address, config))
}

/// Two handshakes before the renewal and one after it.
pub(crate) async fn run() -> Result<[HandshakeKind; 3]> {
    let store = ServerStore::new(100_000)?; // sessions
    let (first, renewed) = (Identity::new()?, Identity::new()?);
    let (address, config) = serve(&store, &first)?;
    let client = client(&[&first, &renewed])?;

    let before = [visit(&client, address).await?, visit(&client, address).await?];
    config.reload_from_config(configure(&store, &renewed)?);
    let after = visit(&client, address).await?;
    Ok([before[0], before[1], after])
}

#[tokio::main]
async fn main() -> Result<()> {
    let [first, second, after] = run().await?;
    println!("{first:?}, {second:?}; after the certificate was renewed: {after:?}");
    Ok(())
}
