//! The clients: who connects when, and what they measured.
//!
//! Each worker makes one connection at a time, along a schedule that depends on the seed alone.
//! Clients belong to one worker each, so that a client never has two connections open and its
//! tickets are used in order. The number of handshakes is fixed before the first run: every store
//! sees the same clients in the same order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::backend::{self, Backend, Kind, SITE, Store};
use crate::figures::{LONGEST_NANOSECONDS, Timing};
use crate::report::{Latency, Run, StoreTime};
use crate::server::{self, Server, Tls};

/// Connections open at the same time.
pub(crate) const WORKERS: usize = 8;

/// Share of connections by clients that are never seen again.
pub(crate) const STRANGERS: f64 = 0.2;

/// How much more often than the others the favourites come back: the exponent of Zipf's law.
const SKEW: f64 = 0.9;

/// Time spent on finding out how many handshakes make a run.
const TRIAL: Duration = Duration::from_millis(500);

/// What every run has to do.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) backend: Backend,
    pub(crate) seconds: u64,
    pub(crate) clients: usize,
    pub(crate) capacity: usize,
    /// Whether stores hold as many sessions as they may before the first handshake.
    pub(crate) is_full: bool,
    pub(crate) seed: u64,
    /// Set when somebody wants to see what there is so far.
    pub(crate) is_stopped: Arc<AtomicBool>,
}

impl Load {
    pub(crate) fn is_stopped(&self) -> bool {
        // ORDERING: Relaxed: nothing else is published by it.
        self.is_stopped.load(Ordering::Relaxed)
    }
}

/// One run for each version and store, in this order. Ctrl-C ends the run at hand and leaves the
/// others out.
pub(crate) async fn measure(load: &Load, kinds: &[Kind], versions: &[Tls]) -> Result<Vec<Run>> {
    let is_stopped = Arc::clone(&load.is_stopped);
    tokio::spawn(async move {
        if server::interrupted().await.is_ok() {
            is_stopped.store(true, Ordering::Relaxed); // ORDERING: as in `Load::is_stopped`.
        }
    });
    let mut runs = Vec::with_capacity(kinds.len() * versions.len());
    for &tls in versions {
        let each = calibrate(load, kinds, tls).await?;
        for &kind in kinds {
            if load.is_stopped() {
                return Ok(runs);
            }
            let progress = progress(kind, tls, each * WORKERS as u64);
            let run = run(load, kind, tls, Until::Handshakes(each), &progress).await?;
            progress.finish_and_clear();
            if run.handshakes > 0 || run.failed > 0 {
                runs.push(run);
            }
        }
    }
    Ok(runs)
}

/// Handshakes for each worker that take about as long as was asked for.
async fn calibrate(load: &Load, kinds: &[Kind], tls: Tls) -> Result<u64> {
    let kind = *kinds.first().context("no store to measure")?;
    let deadline = Instant::now() + TRIAL;
    let trial = run(load, kind, tls, Until::Deadline(deadline), &ProgressBar::hidden()).await?;
    ensure!(trial.failed == 0, "handshakes fail: {}", trial.first_failure.unwrap_or_default());
    let all = trial.handshakes_per_second * load.seconds as f64;
    Ok((all / WORKERS as f64).ceil().max(1.0) as u64)
}

/// When a worker stops.
#[derive(Clone, Copy)]
enum Until {
    Handshakes(u64),
    Deadline(Instant),
}

impl Until {
    fn reached(self, done: u64) -> bool {
        match self {
            Self::Handshakes(count) => done >= count,
            Self::Deadline(deadline) => Instant::now() >= deadline,
        }
    }
}

async fn run(
    load: &Load,
    kind: Kind,
    tls: Tls,
    until: Until,
    progress: &ProgressBar,
) -> Result<Run> {
    let store = backend::store(load.backend, kind, load.capacity, load.is_full)?;
    let listener = server::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
    let server = Server::start(listener, Arc::clone(&store), &[tls], SITE)?;

    let workers: Vec<_> =
        (0..WORKERS).map(|index| Worker::new(load, index, &server, tls)).collect::<Result<_>>()?;
    let start = Instant::now();
    let mut tally = Tally::new()?;
    let task = |worker: Worker| {
        Ok(tokio::spawn(worker.work(Tally::new()?, until, load.clone(), progress.clone())))
    };
    let tasks: Vec<_> = workers.into_iter().map(task).collect::<Result<_>>()?;
    for task in tasks {
        tally.merge(task.await.context("a worker panicked")?)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let timing = match until {
        Until::Handshakes(_) => {
            store.timing(load, tls, tally.handshakes().div_ceil(WORKERS as u64))?
        }
        Until::Deadline(_) => Timing::default(),
    };
    Ok(tally.into_run(kind, tls, seconds, &*store, timing))
}

/// What a worker counted, and in the end all of them.
struct Tally {
    latency: Histogram<u64>,
    resumed: u64,
    full: u64,
    failed: u64,
    first_failure: Option<String>,
}

impl Tally {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3).context("histogram")?;
        Ok(Self { latency, resumed: 0, full: 0, failed: 0, first_failure: None })
    }

    fn count(&mut self, visit: Result<Visit>) {
        match visit {
            Ok(visit) => {
                self.latency.saturating_record(
                    u64::try_from(visit.handshake.as_nanos()).unwrap_or(u64::MAX),
                );
                self.resumed += u64::from(visit.resumed);
                self.full += u64::from(!visit.resumed);
            }
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    /// Those that were completed.
    fn handshakes(&self) -> u64 {
        self.resumed + self.full
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.latency.add(&other.latency).context("histograms of one kind add up")?;
        self.resumed += other.resumed;
        self.full += other.full;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        Ok(())
    }

    fn into_run(
        self,
        kind: Kind,
        tls: Tls,
        seconds: f64,
        store: &dyn Store,
        timing: Timing,
    ) -> Run {
        let handshakes = self.handshakes();
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let at = |quantile: f64| microseconds(self.latency.value_at_quantile(quantile));
        Run {
            store: kind,
            tls,
            handshakes,
            resumed: self.resumed,
            full: self.full,
            failed: self.failed,
            seconds,
            handshakes_per_second: handshakes as f64 / seconds,
            store_ns_per_handshake: timing.per_handshake,
            store_ns_per_handshake_alone: timing.alone,
            store_ns: StoreTime { p50: timing.p50, p99: timing.p99 },
            latency_us: Latency {
                p50: at(0.5),
                p99: at(0.99),
                p999: at(0.999),
                max: microseconds(self.latency.max()),
            },
            cache: store.figures(),
            first_failure: self.first_failure,
        }
    }
}

/// One worker with the clients that belong to it.
struct Worker {
    server: std::net::SocketAddr,
    name: ServerName<'static>,
    stranger: TlsConnector,
    base: ClientConfig,
    clients: Vec<Option<TlsConnector>>,
    schedule: Schedule,
}

impl Worker {
    fn new(load: &Load, index: usize, server: &Server, tls: Tls) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(server.certificate.clone())?;
        let base = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[tls.version()])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut stranger = base.clone();
        stranger.resumption = Resumption::disabled();
        let own = clients_of(load, index);
        Ok(Self {
            server: server.address,
            name: ServerName::try_from("localhost")?,
            stranger: TlsConnector::from(Arc::new(stranger)),
            base,
            clients: vec![None; own],
            schedule: Schedule::of_worker(load, index)?,
        })
    }

    async fn work(
        mut self,
        mut tally: Tally,
        until: Until,
        load: Load,
        progress: ProgressBar,
    ) -> Tally {
        let mut done = 0;
        while !until.reached(done) && !load.is_stopped() {
            let connector = match self.schedule.next_visitor() {
                Visitor::Stranger => &self.stranger,
                Visitor::Regular(client) => {
                    self.clients[client].get_or_insert_with(|| remembering(&self.base))
                }
            };
            tally.count(visit(connector, self.server, self.name.clone()).await);
            done += 1;
            progress.inc(1);
        }
        tally
    }
}

/// The clients that belong to a worker.
pub(crate) fn clients_of(load: &Load, worker: usize) -> usize {
    (load.clients + WORKERS - 1 - worker) / WORKERS
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
        let seed = load.seed.wrapping_mul(WORKERS as u64).wrapping_add(worker as u64);
        Self::new(seed, clients_of(load, worker))
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

/// One connection, as its client saw it.
struct Visit {
    handshake: Duration,
    resumed: bool,
}

/// Connects, asks, and reads to the end: TLS 1.3 tickets arrive with the answer.
async fn visit(
    connector: &TlsConnector,
    server: std::net::SocketAddr,
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

fn progress(kind: Kind, tls: Tls, handshakes: u64) -> ProgressBar {
    let bar = ProgressBar::new(handshakes).with_prefix(format!("{kind:8} TLS {}", tls.name()));
    match ProgressStyle::with_template("{prefix} [{bar:40}] {pos}/{len} handshakes, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
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
