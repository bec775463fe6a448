//! An HTTP client by reqwest that serves two tenants, who share one memory of servers and none of
//! its sessions: a server that saw one cannot link the other to it.
//!
//! `cargo run -p recipes --example two_tenants`

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Result;
use axum::{Router, routing};
use axum_server::tls_rustls::RustlsConfig;
use recipes::Identity;
use reqwest::Client;
use rustls::client::Resumption;
use rustls::{ClientConfig, ServerConfig};
use sessile::Context;
use sessile_rustls::{ClientStore, ServerStore};

fn client_of(tenant: &str, store: &ClientStore, server: &Identity) -> Result<Client> {
    let mut config = ClientConfig::clone(&*recipes::client(&[server])?);
    config.resumption = Resumption::store(store.for_context(Context::digest([tenant])));
    // A connection for each request, or there would be nothing to resume.
    Ok(Client::builder().tls_backend_preconfigured(config).pool_max_idle_per_host(0).build()?)
}

/// A server to try it with; the port, and the store that tells how many handshakes resumed.
fn serve(identity: &Identity) -> Result<(u16, ServerStore)> {
    let store = ServerStore::new(1024)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.session_storage = store.for_context(Context::NONE);
    let listener = TcpListener::bind("localhost:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let app = Router::new().route("/", routing::get(|| async { "hello" }));
    let config = RustlsConfig::from_config(Arc::new(config));
    let server = axum_server::from_tcp_rustls(listener, config)?;
    tokio::spawn(server.serve(app.into_make_service()));
    Ok((port, store))
}

/// After each request, how many handshakes the server has resumed so far.
pub(crate) async fn run() -> Result<Vec<u64>> {
    let identity = Identity::new()?;
    let (port, server) = serve(&identity)?;
    let store = ClientStore::new(1024)?; // servers, of all tenants together
    let [red, blue] = ["red", "blue"].map(|tenant| client_of(tenant, &store, &identity));
    let (red, blue) = (red?, blue?);
    let mut resumed = Vec::new();
    for client in [&red, &red, &blue, &blue, &red] {
        client.get(format!("https://localhost:{port}/")).send().await?.text().await?;
        resumed.push(server.stats().hits);
    }
    Ok(resumed)
}

#[tokio::main]
async fn main() -> Result<()> {
    println!("red, red, blue, blue, red; resumed so far: {:?}", run().await?);
    Ok(())
}
