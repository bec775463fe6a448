//! What a run came to, as a table and as JSON.

use std::fmt::Write;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::backend::{Backend, Kind};
use crate::driver::{Load, WORKERS};
use crate::figures::Figures;
use crate::host;
use crate::server::Tls;

/// Handshakes of each worker in the shortest run.
const LEAST_EACH: u64 = 50;

/// The figures of one run. Latencies are of the TLS handshake as the client saw it, without TCP's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) store: Kind,
    pub(crate) tls: Tls,
    pub(crate) handshakes: u64,
    pub(crate) resumed: u64,
    pub(crate) full: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    pub(crate) handshakes_per_second: f64,
    pub(crate) store_ns_per_handshake: f64,
    /// The same of one thread that makes all calls, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store_ns_per_handshake_alone: Option<f64>,
    pub(crate) store_ns: StoreTime,
    pub(crate) latency_us: Latency,
    pub(crate) cache: Figures,
    #[serde(skip)]
    pub(crate) first_failure: Option<String>,
}

/// Quantiles in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// Quantiles of the time that a handshake spent in the store, all its calls together, in
/// nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StoreTime {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

impl Run {
    /// After a trial: handshakes for each worker that take about as long as was asked for, and are
    /// enough to say something where a handshake takes long.
    pub(crate) fn handshakes_each(&self, load: &Load) -> Result<u64> {
        let failure = self.first_failure.as_deref().unwrap_or_default();
        ensure!(self.failed == 0, "handshakes fail: {failure}");
        let all = self.handshakes_per_second * load.seconds as f64;
        Ok(((all / WORKERS as f64).ceil() as u64).max(LEAST_EACH))
    }

    /// Resumed handshakes of all, from 0 to 1.
    pub(crate) fn resumption_ratio(&self) -> f64 {
        self.resumed as f64 / self.handshakes.max(1) as f64
    }
}

#[derive(Serialize)]
struct Document<'a> {
    runs: &'a [Run],
}

/// The runs as a JSON document.
pub(crate) fn json(runs: &[Run]) -> Result<String> {
    let mut text = serde_json::to_string_pretty(&Document { runs })?;
    text.push('\n');
    Ok(text)
}

/// The runs for people.
pub(crate) fn table(load: &Load, runs: &[Run]) -> String {
    let mut text = String::new();
    let written =
        write_rows(&mut text, load, runs).and_then(|()| write_notes(&mut text, load.backend, runs));
    debug_assert!(written.is_ok(), "a string takes any text");
    text
}

/// What a run is about to do, and for how long.
pub(crate) fn announcement(load: &Load, kinds: &[Kind], versions: &[Tls]) -> String {
    let names: Vec<_> = kinds.iter().map(Kind::to_string).collect();
    let runs = kinds.len() * versions.len();
    let filled = if load.is_full { "full to begin with" } else { "empty to begin with" };
    let default = match kinds.contains(&Kind::RustlsDefault) {
        true => " (rustls-256: 256, rustls's default)",
        false => "",
    };
    let about = runs as u64 * (load.seconds + 1);
    format!(
        "A TLS server and its clients on this machine. The server resumes from {}:\n\
         each of {} sessions{default}, {filled}.\n\
         {} clients come back, every fifth visitor never does.\n\
         {runs} runs of about {} s, about {about} s in all; \
         Ctrl-C shows what was measured until then.\n\n",
        names.join(", "),
        load.capacity,
        load.clients,
        load.seconds,
    )
}

fn write_rows(text: &mut String, load: &Load, runs: &[Run]) -> std::fmt::Result {
    writeln!(text, "{}, {WORKERS} connections at a time, seed {}", host::describe(), load.seed)?;
    if load.is_stopped() {
        writeln!(text, "Stopped: the last run is shorter than the others, and some are missing.")?;
    }
    writeln!(
        text,
        "\n{:54} {:^23} {:^26}",
        "", "store, us per handshake", "handshake latency, us"
    )?;
    writeln!(
        text,
        "{:10} {:>3} {:>8} {:>10} {:>7} {:>11} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "store",
        "TLS",
        "resumed",
        "handshakes",
        "full",
        "per second",
        "p50",
        "p99",
        "mean",
        "p50",
        "p99",
        "p99.9"
    )?;
    let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    for run in runs {
        let (latency, store) = (&run.latency_us, &run.store_ns);
        writeln!(
            text,
            "{:10} {:>3} {:>7.1}% {:>10} {:>7} {:>11.0} {:>7.1} {:>7.1} {:>7.1} \
             {:>8.0} {:>8.0} {:>8.0}",
            run.store,
            run.tls.name(),
            run.resumption_ratio() * 100.0,
            run.handshakes,
            run.full,
            run.handshakes_per_second,
            microseconds(store.p50),
            microseconds(store.p99),
            run.store_ns_per_handshake / 1e3,
            latency.p50,
            latency.p99,
            latency.p999
        )?;
    }
    Ok(())
}

/// What each store counted, and how the figures came about.
fn write_notes(text: &mut String, backend: Backend, runs: &[Run]) -> std::fmt::Result {
    writeln!(text)?;
    for run in runs {
        write!(
            text,
            "{:10} TLS {}: {} failed, {}",
            run.store,
            run.tls.name(),
            run.failed,
            run.cache
        )?;
        if let Some(alone) = run.store_ns_per_handshake_alone {
            write!(text, "; store's mean on one thread alone {alone:.0} ns")?;
        }
        writeln!(text)?;
    }
    let measured = match backend {
        Backend::Rustls => "Measured in the run.",
        Backend::Openssl => {
            "Measured by playing the visits\nof the run once more, by as many threads as \
             the server has, with nothing but the calls that libssl makes to either\n\
             cache: where threads do not run at once, they do not wait for a lock."
        }
    };
    writeln!(
        text,
        "\nStore: all calls of one handshake together, with the clock readings, 50 ns a call, \
         and the waits of threads that\nlost their processor. {measured}\n\
         Latency: the TLS handshake as the client saw it, while {WORKERS} connections compete for \
         the processors.\n\
         Every store saw the same visits: their number and each worker's sequence are fixed \
         before its run."
    )
}
