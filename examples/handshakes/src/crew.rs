//! The clients: who connects when.
//!
//! Each worker makes one connection at a time, along a schedule that depends on the seed alone.
//! Clients belong to one worker each, so that a client never has two connections open and its
//! tickets are used in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::backend::Kind;
use crate::driver::{Load, WORKERS};
use crate::figures::{Figures, Timing};
use crate::report::Run;
use crate::server::{self, Tls};
use crate::tally::{Tally, Visit};

/// Share of connections by clients that are never seen again.
const STRANGERS: f64 = 0.2;

/// How much more often than the others the favourites come back: the exponent of Zipf's law.
const SKEW: f64 = 0.9;

/// Time spent on finding out how many handshakes make a run, from the first of them on.
const TRIAL: Duration = Duration::from_millis(500);

/// Visits of each worker that a trial has at least, however long they take.
const TRIAL_VISITS: u64 = 25;

/// When workers stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After so many of each since it began.
    Handshakes(u64),
    /// Once it is known how many handshakes make a run.
    Trial,
}

impl Until {
    /// Whether a worker has done its part, after so many visits, the first of them at `start`.
    fn reached(self, done: u64, start: Instant) -> bool {
        match self {
            Self::Handshakes(count) => done >= count,
            Self::Trial => done >= TRIAL_VISITS && start.elapsed() >= TRIAL,
        }
    }
}

/// All workers, and what they counted so far.
pub(crate) struct Crew {
    load: Load,
    tls: Tls,
    workers: Vec<Worker>,
    pub(crate) tally: Tally,
    seconds: f64,
}

impl Crew {
    /// Clients that visit the servers, each visit one of them at random.
    pub(crate) fn new(
        load: &Load,
        tls: Tls,
        servers: &[SocketAddr],
        certificate: &CertificateDer<'static>,
    ) -> Result<Self> {
        let worker = |index| Worker::new(load, index, servers, certificate, tls);
        let workers = (0..WORKERS).map(worker).collect::<Result<_>>()?;
        Ok(Self { load: load.clone(), tls, workers, tally: Tally::new()?, seconds: 0.0 })
    }

    /// Goes on with the schedule.
    pub(crate) async fn work(&mut self, until: Until, progress: &ProgressBar) -> Result<()> {
        let start = Instant::now();
        let task = |worker: Worker| {
            let work = worker.work(Tally::new()?, until, self.load.clone(), progress.clone());
            Ok(tokio::spawn(work))
        };
        let tasks: Vec<_> = self.workers.drain(..).map(task).collect::<Result<_>>()?;
        for task in tasks {
            let (worker, tally) = task.await.context("a worker panicked")?;
            self.tally.merge(tally)?;
            self.workers.push(worker);
        }
        self.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    pub(crate) fn into_run(self, kind: Kind, cache: Figures, timing: Timing) -> Run {
        self.tally.into_run((kind, self.tls), self.seconds, cache, timing)
    }
}

/// One worker with the clients that belong to it.
struct Worker {
    servers: Vec<SocketAddr>,
    /// Its own source of chance: the schedule is the same whatever the number of servers.
    balancer: StdRng,
    name: ServerName<'static>,
    stranger: TlsConnector,
    base: ClientConfig,
    clients: Vec<Option<Client>>,
    schedule: Schedule,
    /// Visits so far.
    done: u64,
}

/// A client that comes back.
struct Client {
    connector: TlsConnector,
    /// The server that it came to the last time.
    last: usize,
}

impl Worker {
    fn new(
        load: &Load,
        index: usize,
        servers: &[SocketAddr],
        certificate: &CertificateDer<'static>,
        tls: Tls,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let base = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[tls.version()])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut stranger = base.clone();
        stranger.resumption = Resumption::disabled();
        Ok(Self {
            servers: servers.to_vec(),
            balancer: StdRng::seed_from_u64(seed_of(load, index)),
            name: ServerName::try_from("localhost")?,
            stranger: TlsConnector::from(Arc::new(stranger)),
            base,
            clients: std::iter::repeat_with(|| None).take(clients_of(load, index)).collect(),
            schedule: Schedule::of_worker(load, index)?,
            done: 0,
        })
    }

    async fn work(
        mut self,
        mut tally: Tally,
        until: Until,
        load: Load,
        progress: ProgressBar,
    ) -> (Self, Tally) {
        let start = Instant::now();
        while !until.reached(self.done, start) && !load.is_stopped() {
            let server = self.balancer.random_range(0..self.servers.len());
            let (connector, is_elsewhere) = match self.schedule.next_visitor() {
                Visitor::Stranger => (&self.stranger, false),
                Visitor::Regular(client) => {
                    let client = self.clients[client].get_or_insert_with(|| Client {
                        connector: remembering(&self.base),
                        last: server,
                    });
                    let before = std::mem::replace(&mut client.last, server);
                    (&client.connector, before != server)
                }
            };
            let visit = visit(connector, self.servers[server], self.name.clone()).await;
            tally.count(visit, is_elsewhere);
            self.done += 1;
            progress.inc(1);
        }
        (self, tally)
    }
}

/// The clients that belong to a worker.
pub(crate) fn clients_of(load: &Load, worker: usize) -> usize {
    (load.clients + WORKERS - 1 - worker) / WORKERS
}

/// What a worker's chance begins with.
fn seed_of(load: &Load, worker: usize) -> u64 {
    load.seed.wrapping_mul(WORKERS as u64).wrapping_add(worker as u64)
}

/// An identity of its own: nobody else's sessions, and all the tickets that rustls keeps for one
/// server.
fn remembering(base: &ClientConfig) -> TlsConnector {
    let mut config = base.clone();
    config.resumption = Resumption::in_memory_sessions(8);
    TlsConnector::from(Arc::new(config))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visitor {
    Regular(usize),
    Stranger,
}

/// An endless sequence of visitors, the same for the same seed.
pub(crate) struct Schedule {
    random: StdRng,
    popularity: Zipf<f64>,
    clients: usize,
}

impl Schedule {
    /// The sequence of one worker.
    pub(crate) fn of_worker(load: &Load, worker: usize) -> Result<Self> {
        Self::new(seed_of(load, worker), clients_of(load, worker))
    }

    fn new(seed: u64, clients: usize) -> Result<Self> {
        let popularity = Zipf::new(clients as f64, SKEW).context("each worker has a client")?;
        Ok(Self { random: StdRng::seed_from_u64(seed), popularity, clients })
    }

    pub(crate) fn next_visitor(&mut self) -> Visitor {
        if self.random.random_bool(STRANGERS) {
            return Visitor::Stranger;
        }
        let rank = self.popularity.sample(&mut self.random) as usize;
        Visitor::Regular(rank.clamp(1, self.clients) - 1)
    }
}

/// Connects, asks, and reads to the end: TLS 1.3 tickets arrive with the answer.
async fn visit(
    connector: &TlsConnector,
    server: SocketAddr,
    name: ServerName<'static>,
) -> Result<Visit> {
    let tcp = TcpStream::connect(server).await.context("TCP connect")?;
    tcp.set_nodelay(true)?;
    let start = Instant::now();
    let mut tls = connector.connect(name, tcp).await.context("TLS handshake")?;
    let handshake = start.elapsed();

    tls.write_all(b"GET / HTTP/1.0\r\n\r\n").await.context("request")?;
    let mut answer = Vec::with_capacity(256);
    tls.read_to_end(&mut answer).await.context("answer")?;
    ensure!(answer.starts_with(b"HTTP/1.0 200 "), "unexpected answer");
    let resumed = server::resumed(tls.get_ref().1.handshake_kind());
    // The server has closed already; what it makes of our goodbye does not matter.
    let _ = tls.shutdown().await;
    Ok(Visit { handshake, resumed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitors(seed: u64) -> Vec<Visitor> {
        let mut schedule = Schedule::new(seed, 50).unwrap();
        (0..1_000).map(|_| schedule.next_visitor()).collect()
    }

    #[test]
    fn a_schedule_depends_on_its_seed_alone() {
        assert_eq!(visitors(7), visitors(7));
        assert_ne!(visitors(7), visitors(8));
    }

    #[test]
    fn strangers_and_all_clients_visit() {
        let visitors = visitors(7);
        let strangers = visitors.iter().filter(|visitor| **visitor == Visitor::Stranger).count();
        assert!((150..250).contains(&strangers), "{strangers}");
        for client in 0..50 {
            assert!(visitors.contains(&Visitor::Regular(client)), "{client}");
        }
    }
}
