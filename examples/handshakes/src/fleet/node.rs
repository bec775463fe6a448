//! A node: this program once more, as a server that answers its parent by lines of JSON.
//!
//! The parent sends a [`Plan`], which holds keys and so is no argument; the node answers with its
//! address, and each further line with its [`Report`]. It ends when its standard input does, so it
//! does not outlive the parent.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sessile_redis::{KeyRing, SealingKey, Tier, TierStats};

use crate::backend::{Identity, Kind, SITE, Store};
use crate::figures::Figures;
use crate::server::{self, Server, Tls};
use crate::stores::RustlsStore;

/// The option that makes this program a node.
pub(crate) const OPTION: &str = "--node";

/// How long a node waits for its tier before it serves. On a machine that others keep busy, either
/// may wait for a processor for many seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node is to do.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) tls: Tls,
    pub(crate) capacity: usize,
    pub(crate) is_full: bool,
    pub(crate) tier: Option<TierPlan>,
}

/// The second tier of all nodes.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct TierPlan {
    pub(crate) address: String,
    pub(crate) prefix: String,
    pub(crate) sealing_key: [u8; 32],
    pub(crate) budget_ms: u64,
}

/// What a node has done so far.
#[derive(Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) figures: Figures,
    /// Nanoseconds of all calls to the store by one handshake, and how many took so long.
    pub(crate) calls: Vec<(u64, u64)>,
    pub(crate) total_nanoseconds: u64,
    pub(crate) tier: Option<TierFigures>,
}

/// What the tiers of all nodes counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct TierFigures {
    pub(crate) written: u64,
    pub(crate) asked: u64,
    pub(crate) found: u64,
    pub(crate) withheld: u64,
    pub(crate) unavailable: u64,
    pub(crate) unanswered: u64,
}

impl TierFigures {
    fn of(stats: &TierStats) -> Self {
        Self {
            written: stats.written,
            asked: stats.asked,
            found: stats.found,
            withheld: stats.withheld,
            unavailable: stats.unavailable,
            unanswered: stats.unanswered,
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            written: self.written + other.written,
            asked: self.asked + other.asked,
            found: self.found + other.found,
            withheld: self.withheld + other.withheld,
            unavailable: self.unavailable + other.unavailable,
            unanswered: self.unanswered + other.unanswered,
        }
    }
}

/// What the child does.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let _entered = runtime.enter();
    // Ctrl-C in a terminal comes to all processes; this one's end is its parent's to say.
    runtime.spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let mut lines = io::stdin().lines();
    let plan: Plan = serde_json::from_str(&lines.next().context("no plan")??)?;
    let store = Arc::new(store(&plan)?);
    let identity = Identity { certificate: plan.certificate.into(), key: plan.key };
    let listener = server::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
    let behind: Arc<dyn Store> = Arc::clone(&store) as _;
    let server = Server::start(listener, behind, &identity, &[plan.tls], SITE)?;
    say(&server.address)?;
    for line in lines {
        line?;
        say(&report(&store))?;
    }
    Ok(())
}

fn store(plan: &Plan) -> Result<RustlsStore> {
    let mut store = RustlsStore::new(Kind::Sessile, plan.capacity, plan.is_full)?;
    if let Some(tier) = &plan.tier {
        let ring = KeyRing::new(SealingKey::from(tier.sealing_key));
        let builder = Tier::builder(ring).prefix(tier.prefix.as_str());
        store.attach(builder, &tier.address, Duration::from_millis(tier.budget_ms))?;
        let end = Instant::now() + PATIENCE;
        while !store.tier_stats().is_some_and(|stats| stats.is_up) {
            ensure!(Instant::now() < end, "the tier does not answer");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(store)
}

fn report(store: &RustlsStore) -> Report {
    let calls = store.calls();
    let taken = |value: hdrhistogram::iterators::IterationValue<u64>| {
        (value.value_iterated_to(), value.count_since_last_iteration())
    };
    Report {
        figures: store.figures(),
        calls: calls.handshakes.iter_recorded().map(taken).collect(),
        total_nanoseconds: calls.total_nanoseconds,
        tier: store.tier_stats().as_ref().map(TierFigures::of),
    }
}

fn say(value: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// The parent's end of a node, which ends when this is dropped.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    child: Child,
    /// `None` once the node is to end.
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Node {
    pub(crate) fn start(plan: &Plan) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .arg(OPTION)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a node")?;
        let (to, from) = (child.stdin.take(), child.stdout.take().context("a pipe was asked for")?);
        let address = SocketAddr::from(([0; 4], 0));
        let mut node = Self { address, child, to, from: BufReader::new(from) };
        node.address = node.ask(plan)?;
        Ok(node)
    }

    pub(crate) fn report(&mut self) -> Result<Report> {
        self.ask(&())
    }

    fn ask<A: for<'de> Deserialize<'de>>(&mut self, question: &impl Serialize) -> Result<A> {
        let mut line = serde_json::to_string(question)?;
        line.push('\n');
        self.to.as_mut().context("the node has ended")?.write_all(line.as_bytes())?;
        let mut answer = String::new();
        self.from.read_line(&mut answer)?;
        serde_json::from_str(&answer).context("a node ended")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.wait();
    }
}
