//! Two nodes behind one Redis or Valkey resume each other's sessions.
//!
//! `cargo run -p recipes --example two_nodes -- redis://127.0.0.1:6379`

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use recipes::{Identity, client, visit};
use rustls::{HandshakeKind, ServerConfig};
use sessile::{Context, Secret, SessionCache};
use sessile_redis::{KeyRing, SealingKey, Tier, Uses, peek_offer};
use sessile_rustls::{ServerStore, is_tls12};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// No handshake waits longer for the tier.
const BUDGET: Duration = Duration::from_millis(20);

/// How long a node waits for the server before it serves.
const PATIENCE: Duration = Duration::from_secs(60);

async fn serve(
    tcp: TcpListener,
    tls: TlsAcceptor,
    tier: Arc<Tier<Secret>>,
    budget: Duration,
) -> Result<()> {
    loop {
        let (tcp, _) = tcp.accept().await?;
        // Before the handshake, whose lookup cannot wait.
        if let Some(offer) = peek_offer(&tcp, budget).await {
            tier.prefetch(Context::NONE, &offer, budget).await;
        }
        let mut tls = tls.accept(tcp).await?;
        tls.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
        tls.shutdown().await?;
    }
}

type Node = (SocketAddr, Arc<Tier<Secret>>);

/// Starts a node. All nodes have the certificate and the sealing key.
async fn node(
    identity: &Identity,
    redis: &str,
    key: &SealingKey,
    budget: Duration,
) -> Result<Node> {
    let cache = Arc::new(SessionCache::<Secret>::new(100_000)?);
    let tier = Tier::builder(KeyRing::new(key.clone()))
        .uses(|session| if is_tls12(session) { Uses::Many } else { Uses::Once })
        .response_timeout(budget.max(Duration::from_millis(500)))
        .attach(&cache, redis)?;
    let end = Instant::now() + PATIENCE;
    while !tier.stats().is_up {
        ensure!(Instant::now() < end, "{redis} does not answer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    config.session_storage = ServerStore::from_cache(cache).for_context(Context::NONE);
    let listener = TcpListener::bind("localhost:0").await?;
    let (address, tier) = (listener.local_addr()?, Arc::new(tier));
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&tier), budget));
    Ok((address, tier))
}

/// How a client is served that comes to the nodes in turn.
pub(crate) async fn run(redis: &str, budget: Duration) -> Result<Vec<HandshakeKind>> {
    let (identity, key) = (Identity::new()?, SealingKey::generate()?);
    let node = || node(&identity, redis, &key, budget);
    let nodes = [node().await?, node().await?];
    let (client, mut kinds) = (client(&[&identity])?, Vec::new());
    for (address, tier) in nodes.iter().cycle().take(4) {
        kinds.push(visit(&client, *address).await?);
        tier.settle().await; // Nobody else is so quick.
    }
    Ok(kinds)
}

#[tokio::main]
async fn main() -> Result<()> {
    let redis = std::env::args().nth(1).context("the address of a server: redis://…")?;
    println!("{:?}", run(&redis, BUDGET).await?);
    Ok(())
}
