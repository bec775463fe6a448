//! A TCP relay that can be held: then it takes what is sent, passes nothing on, and stays connected,
//! as a server does whose process is stopped.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    is_held: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start(target: (String, u16)) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let (is_held, held) = watch::channel(false);
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (target, held) = (target.clone(), held.clone());
                tokio::spawn(async move { join(tcp, target, held).await });
            }
        });
        Ok(Self { address, is_held, accepting })
    }

    pub(crate) fn hold(&self) {
        self.is_held.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn join(
    tcp: TcpStream,
    target: (String, u16),
    held: watch::Receiver<bool>,
) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    let (from_node, to_node) = tcp.into_split();
    let (from_server, to_server) = server.into_split();
    // The end of either direction ends both.
    tokio::select! {
        end = pass(from_node, to_server, held.clone()) => end,
        end = pass(from_server, to_node, held) => end,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut held: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 || held.wait_for(|is_held| !is_held).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}
