//! A QUIC server by quinn that accepts 0-RTT. A session is fit for early data once: the handshake
//! that takes it from the cache has it.
//!
//! `cargo run -p recipes --example quic_early_data`

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint};
use recipes::{Identity, client};
use rustls::ServerConfig;
use sessile::Context;
use sessile_rustls::ServerStore;

fn configure(store: &ServerStore, identity: &Identity) -> Result<quinn::ServerConfig> {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.max_early_data_size = u32::MAX; // QUIC knows no other size but 0
    config.session_storage = store.for_context(Context::digest(["quic.example.org"]));
    Ok(quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config)?)))
}

/// Answers each stream with what it brought.
async fn echo(endpoint: Endpoint) -> Result<()> {
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.accept()?.into_0rtt().map_err(|_| anyhow!("no 0.5-RTT"))?.0;
        tokio::spawn(async move {
            while let Ok((mut answer, mut request)) = connection.accept_bi().await {
                answer.write_all(&request.read_to_end(1024).await?).await?;
                answer.finish()?;
            }
            anyhow::Ok(())
        });
    }
    Ok(())
}

async fn ask(connection: &Connection) -> Result<()> {
    let (mut request, mut answer) = connection.open_bi().await?;
    request.write_all(b"hello").await?;
    request.finish()?;
    anyhow::ensure!(answer.read_to_end(1024).await? == b"hello");
    Ok(())
}

/// Of each of three connections, whether the server accepted early data.
pub(crate) async fn run() -> Result<Vec<bool>> {
    let (store, identity) = (ServerStore::new(100_000)?, Identity::new()?);
    let server = Endpoint::server(configure(&store, &identity)?, (Ipv4Addr::LOCALHOST, 0).into())?;
    let address = server.local_addr()?;
    tokio::spawn(echo(server));

    let mut config = rustls::ClientConfig::clone(&*client(&[&identity])?);
    config.enable_early_data = true;
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let mut accepted = Vec::new();
    for _ in 0..3 {
        let connecting = endpoint.connect_with(config.clone(), address, "localhost")?;
        let (connection, early) = match connecting.into_0rtt() {
            Ok((connection, early)) => (connection, Some(early)),
            Err(connecting) => (connecting.await?, None), // nothing to resume yet
        };
        ask(&connection).await?;
        accepted.push(if let Some(early) = early { early.await } else { false });
        connection.close(0_u32.into(), b"");
    }
    Ok(accepted)
}

#[tokio::main]
async fn main() -> Result<()> {
    println!("early data accepted: {:?}", run().await?);
    Ok(())
}
