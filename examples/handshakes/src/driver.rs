//! What is run, and what it comes to: one run for each store and protocol version.
//!
//! The number of handshakes is fixed before the first run: every store sees the same clients in the
//! same order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;

use crate::backend::{self, Backend, Identity, Kind, SITE};
use crate::crew::{Crew, Until};
use crate::figures::Timing;
use crate::report::Run;
use crate::server::{self, Server, Tls};

/// Connections open at the same time.
pub(crate) const WORKERS: usize = 8;

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

/// Sets the load's flag at Ctrl-C, which ends the run at hand.
pub(crate) fn stop_when_interrupted(runtime: &Runtime, load: &Load) -> Result<()> {
    let _entered = runtime.enter();
    let (interruption, is_stopped) = (server::interruption()?, Arc::clone(&load.is_stopped));
    runtime.spawn(async move {
        interruption.await;
        is_stopped.store(true, Ordering::Relaxed); // ORDERING: as in `Load::is_stopped`.
    });
    Ok(())
}

/// One run for each version and store, in this order. Ctrl-C ends the run at hand and leaves the
/// others out.
pub(crate) async fn measure(load: &Load, kinds: &[Kind], versions: &[Tls]) -> Result<Vec<Run>> {
    let mut runs = Vec::with_capacity(kinds.len() * versions.len());
    for &tls in versions {
        let kind = *kinds.first().context("no store to measure")?;
        let trial = run(load, kind, tls, Until::Trial, &ProgressBar::hidden()).await?;
        let each = trial.handshakes_each(load)?;
        for &kind in kinds {
            if load.is_stopped() {
                return Ok(runs);
            }
            let progress = progress(&kind.to_string(), tls, each);
            let run = run(load, kind, tls, Until::Handshakes(each), &progress).await?;
            progress.finish_and_clear();
            if run.handshakes > 0 || run.failed > 0 {
                runs.push(run);
            }
        }
    }
    Ok(runs)
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
    let identity = Identity::new()?;
    let server = Server::start(listener, Arc::clone(&store), &identity, &[tls], SITE)?;
    let mut crew = Crew::new(load, tls, &[server.address], &identity.certificate)?;
    crew.work(until, progress).await?;
    let timing = match until {
        Until::Handshakes(_) => {
            store.timing(load, tls, crew.tally.handshakes().div_ceil(WORKERS as u64))?
        }
        Until::Trial => Timing::default(),
    };
    Ok(crew.into_run(kind, store.figures(), timing))
}

/// A bar for a run of so many handshakes by each worker.
pub(crate) fn progress(what: &str, tls: Tls, each: u64) -> ProgressBar {
    let handshakes = each * WORKERS as u64;
    let bar = ProgressBar::new(handshakes).with_prefix(format!("{what:8} TLS {}", tls.name()));
    match ProgressStyle::with_template("{prefix} [{bar:40}] {pos}/{len} handshakes, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
