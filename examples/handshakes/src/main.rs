//! Real TLS handshakes over loopback, resumed through Sessile and through its peers.
//!
//! A server with stateful resumption is driven by many client identities, once for each session
//! store and each protocol version, by one and the same schedule. `--serve` runs the server alone,
//! for clients from outside.

mod backend;
mod chart;
mod crew;
mod driver;
mod figures;
mod fleet;
#[path = "../../../benches/compare/src/host.rs"]
mod host;
#[cfg(feature = "openssl")]
mod libssl;
mod picture;
mod report;
mod server;
mod stores;
mod tally;
mod timed;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use crate::backend::{Backend, Kind};
use crate::driver::Load;
use crate::fleet::{Fleet, TierServer};
use crate::report::Run;
use crate::server::{Service, Tls};

/// Drives a TLS server over loopback and compares the session stores that its handshakes resume
/// from.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How long one run takes, about; the number of handshakes is fixed from it beforehand, and the
    /// same for each store
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// Client identities that come back, some often and most of them rarely
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u64).range(8..=100_000))]
    clients: u64,

    /// Sessions that a store may hold, and holds before the first handshake
    #[arg(long, default_value_t = 20_480, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    capacity: u64,

    /// Begin with empty stores
    #[arg(long)]
    empty: bool,

    /// The server's TLS library; the clients are always rustls
    #[arg(long, value_enum, default_value_t = Backend::Rustls)]
    backend: Backend,

    /// Protocol versions, in a run each
    #[arg(long, value_enum, default_value_t = Versions::Both)]
    tls: Versions,

    /// Session stores, in a run each [default: all; with --serve: sessile]
    #[arg(long, value_enum)]
    store: Option<Stores>,

    /// Server processes that clients come to at random, instead of a comparison of stores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=16),
        conflicts_with_all = ["backend", "store"])]
    nodes: Option<u64>,

    /// With --nodes: what they share sessions through, a Redis or Valkey server such as
    /// redis://127.0.0.1:6379, or `start` for one of this program's own
    #[arg(long, value_name = "URL", requires = "nodes")]
    tier: Option<String>,

    /// With --tier: milliseconds that a handshake waits for it at most
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    tier_budget: u64,

    /// Seed of the clients' schedule
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a chart of the figures as SVG [default: target/handshakes.svg, where there is a
    /// target]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Only serve, until Ctrl-C, and print the statistics then; localhost:8443, or port 0 for any
    /// free one. Clients that ask for /forget, /expire or /replace have that done to all sessions
    /// of Sessile
    #[arg(long, value_name = "ADDR",
        conflicts_with_all = ["seconds", "clients", "empty", "nodes", "seed", "json", "report"])]
    serve: Option<String>,

    /// With --serve: serve on a second address, of another context, from the same store
    #[arg(long, value_name = "ADDR", requires = "serve")]
    other: Option<String>,

    /// Be one of the processes of --nodes, for the one that started it
    #[arg(long, hide = true, exclusive = true)]
    node: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Versions {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
    Both,
}

impl Versions {
    fn list(self) -> &'static [Tls] {
        match self {
            Self::Tls12 => &[Tls::V1_2],
            Self::Tls13 => &[Tls::V1_3],
            Self::Both => &[Tls::V1_2, Tls::V1_3],
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stores {
    /// The lock-free cache
    Sessile,
    /// rustls's own ServerSessionMemoryCache as a ServerConfig has it by default, of 256 entries
    #[value(name = "rustls-256")]
    RustlsDefault,
    /// rustls's own ServerSessionMemoryCache
    Rustls,
    /// moka's sync cache with its default policy, TinyLFU
    Moka,
    /// moka's sync cache with its LRU policy
    MokaLru,
    /// With --backend openssl: libssl's own cache
    Libssl,
    /// All that the backend has but moka-lru, in turn
    All,
}

impl Stores {
    fn list(self, backend: Backend) -> Result<&'static [Kind]> {
        let kinds: &[Kind] = match (self, backend) {
            (Self::Sessile, _) => &[Kind::Sessile],
            (Self::RustlsDefault, Backend::Rustls) => &[Kind::RustlsDefault],
            (Self::Rustls, Backend::Rustls) => &[Kind::Rustls],
            (Self::Moka, Backend::Rustls) => &[Kind::Moka],
            (Self::MokaLru, Backend::Rustls) => &[Kind::MokaLru],
            (Self::Libssl, Backend::Openssl) => &[Kind::Libssl],
            (Self::All, Backend::Rustls) => {
                &[Kind::Sessile, Kind::RustlsDefault, Kind::Rustls, Kind::Moka]
            }
            (Self::All, Backend::Openssl) => &[Kind::Sessile, Kind::Libssl],
            _ => bail!("--store names one that --backend does not have"),
        };
        Ok(kinds)
    }
}

fn main() -> ExitCode {
    let job = match Options::try_parse() {
        Ok(options) => Job::prepare(options),
        Err(error) if error.use_stderr() => Err(anyhow::Error::msg(one_line(&error))),
        Err(help) => {
            // Nobody reads on, perhaps; that is no failure.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let (outcome, code) = match job {
        Ok(job) => (job.run(), 1),
        Err(error) => (Err(error), 2),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(code)
        }
    }
}

/// What is wrong and what was allowed, without the usage text below it.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> =
        text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

/// Checked options, with every file and address already open.
enum Job {
    Serve(Service),
    Node,
    Measure(Box<Measurement>),
}

struct Measurement {
    load: Load,
    what: Measured,
    versions: &'static [Tls],
    outputs: Outputs,
}

/// What is compared with what.
enum Measured {
    Stores(&'static [Kind]),
    Fleet(Box<Fleet>),
}

/// The files that figures go to.
struct Outputs {
    json: Option<Output>,
    chart: Option<Output>,
}

impl Job {
    fn prepare(options: Options) -> Result<Self> {
        if options.node {
            return Ok(Self::Node);
        }
        let capacity = usize::try_from(options.capacity).context("--capacity is too large")?;
        let versions = options.tls.list();
        if let Some(address) = &options.serve {
            return Self::prepare_service(&options, address, capacity);
        }
        if options.json.is_some() && options.json == options.report {
            bail!("--json and --report name the same file");
        }
        let clients = usize::try_from(options.clients).context("--clients is too many")?;
        let chart = if options.nodes.is_some() { "fleet.svg" } else { "handshakes.svg" };
        let outputs = Outputs {
            json: options.json.map(|path| Output::open("--json", path)).transpose()?,
            chart: options
                .report
                .or_else(|| default_chart(chart))
                .map(|path| Output::open("--report", path))
                .transpose()?,
        };
        let what = match options.nodes {
            Some(nodes) => {
                let nodes = usize::try_from(nodes).context("--nodes is too many")?;
                let tier = options.tier.as_deref().map(TierServer::prepare).transpose()?;
                Measured::Fleet(Box::new(Fleet { nodes, tier, budget_ms: options.tier_budget }))
            }
            None => {
                let stores = options.store.unwrap_or(Stores::All);
                Measured::Stores(stores.list(options.backend)?)
            }
        };
        let load = Load {
            backend: options.backend,
            seconds: options.seconds,
            clients,
            capacity,
            is_full: !options.empty,
            seed: options.seed,
            is_stopped: Arc::new(AtomicBool::new(false)),
        };
        Ok(Self::Measure(Box::new(Measurement { load, what, versions, outputs })))
    }

    fn prepare_service(options: &Options, address: &str, capacity: usize) -> Result<Self> {
        let [kind] = options.store.unwrap_or(Stores::Sessile).list(options.backend)? else {
            bail!("--serve takes one store, not all of them");
        };
        let bind = |option, address: &str| {
            server::bind(address).with_context(|| format!("cannot listen on {option} {address}"))
        };
        let other = options.other.as_deref().map(|address| bind("--other", address));
        Ok(Self::Serve(Service {
            listener: bind("--serve", address)?,
            other: other.transpose()?,
            store: backend::store(options.backend, *kind, capacity, false)?,
            kind: *kind,
            versions: options.tls.list(),
        }))
    }

    fn run(self) -> Result<()> {
        match self {
            Self::Serve(service) => runtime()?.block_on(server::until_interrupted(service)),
            Self::Node => fleet::node::serve(),
            Self::Measure(measurement) => measurement.run(),
        }
    }
}

impl Measurement {
    fn run(self) -> Result<()> {
        let Self { load, what, versions, outputs } = self;
        let runtime = runtime()?;
        // Before the program says anything: then Ctrl-C may come.
        driver::stop_when_interrupted(&runtime, &load)?;
        match what {
            Measured::Stores(kinds) => {
                show(&report::announcement(&load, kinds, versions))?;
                let runs = runtime.block_on(driver::measure(&load, kinds, versions))?;
                show(&report::table(&load, &runs))?;
                outputs.write(|| report::json(&runs), || picture::draw(&load, &runs))?;
                complete(&runs.iter().collect::<Vec<_>>())
            }
            Measured::Fleet(fleet) => {
                show(&fleet::announcement(&load, &fleet, versions))?;
                let runs = runtime.block_on(fleet::measure(&load, &fleet, versions))?;
                show(&fleet::table(&load, &runs))?;
                outputs.write(|| fleet::json(&fleet, &runs), || fleet::draw(&load, &runs))?;
                complete(&runs.iter().map(|one| &one.run).collect::<Vec<_>>())
            }
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")
}

impl Outputs {
    fn write(
        self,
        figures: impl FnOnce() -> Result<String>,
        picture: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        if let Some(json) = self.json {
            json.write(figures()?.as_bytes())?;
        }
        if let Some(chart) = self.chart {
            let path = chart.path.clone();
            chart.write(picture()?.as_bytes())?;
            show(&format!("As a chart: {}\n", path.display()))?;
        }
        Ok(())
    }
}

fn show(text: &str) -> Result<()> {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context("cannot write to the standard output")
}

/// Where `cargo run` at the root of the repository leaves what it made.
fn default_chart(name: &str) -> Option<PathBuf> {
    Path::new("target").is_dir().then(|| Path::new("target").join(name))
}

/// A comparison of runs in which handshakes failed would compare nothing.
fn complete(runs: &[&Run]) -> Result<()> {
    let failed: u64 = runs.iter().map(|run| run.failed).sum();
    if failed > 0 {
        let reason = runs.iter().find_map(|run| run.first_failure.as_deref()).unwrap_or("unknown");
        bail!("{failed} handshakes failed, the first one with: {reason}");
    }
    Ok(())
}

/// A file that is known to be writable before the run, and keeps its old content until the run is
/// over.
struct Output {
    option: &'static str,
    path: PathBuf,
    file: File,
}

impl Output {
    fn open(option: &'static str, path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| cannot_write(option, &path))?;
        Ok(Self { option, path, file })
    }

    fn write(mut self, content: &[u8]) -> Result<()> {
        let mut write = || -> io::Result<()> {
            self.file.set_len(0)?;
            self.file.write_all(content)?;
            self.file.flush()
        };
        write().with_context(|| cannot_write(self.option, &self.path))
    }
}

fn cannot_write(option: &str, path: &Path) -> String {
    format!("cannot write {option} {}", path.display())
}
