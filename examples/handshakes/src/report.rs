//! What a run came to, as a table and as JSON.

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use crate::backend::{Backend, Kind};
use crate::driver::{Load, STRANGERS, WORKERS};
use crate::figures::Figures;
use crate::server::Tls;

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
    pub(crate) store_call_ns: CallTime,
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

/// Quantiles of the time in one call to the store, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CallTime {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

impl Run {
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

fn write_rows(text: &mut String, load: &Load, runs: &[Run]) -> std::fmt::Result {
    writeln!(
        text,
        "{} returning clients, {:.0} % strangers, capacity {} sessions, {WORKERS} connections at a time, seed {}\n",
        load.clients,
        STRANGERS * 100.0,
        load.capacity,
        load.seed
    )?;
    writeln!(text, "{:52} {:^35} {:^21}", "", "handshake latency, us", "store, ns")?;
    writeln!(
        text,
        "{:8} {:>3} {:>10} {:>6} {:>7} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>7}",
        "store",
        "TLS",
        "handshakes",
        "/s",
        "full",
        "resumed",
        "ratio",
        "p50",
        "p99",
        "p99.9",
        "max",
        "p50",
        "p99",
        "mean"
    )?;
    for run in runs {
        let (latency, call) = (&run.latency_us, &run.store_call_ns);
        writeln!(
            text,
            "{:8} {:>3} {:>10} {:>6.0} {:>7} {:>7} {:>5.1}% {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>6} {:>6} {:>7.0}",
            run.store,
            run.tls.name(),
            run.handshakes,
            run.handshakes_per_second,
            run.full,
            run.resumed,
            run.resumption_ratio() * 100.0,
            latency.p50,
            latency.p99,
            latency.p999,
            latency.max,
            call.p50,
            call.p99,
            run.store_ns_per_handshake
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
            "{:8} TLS {}: {} failed, {}",
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
            "Measured by playing the visits\nof the run once more, by as many threads as the server has, with nothing but \
             the calls that libssl makes to either\ncache: where threads do not run at once, they do not wait for a lock."
        }
    };
    writeln!(
        text,
        "\nLatency is that of the TLS handshake as the client saw it, while {WORKERS} connections compete for the processors.\n\
         Store: p50 and p99 of one put, get or take; mean of all of them together per handshake. Both include clock\n\
         readings and the waits of threads that lost their processor. {measured}\n\
         Every store saw the same visits: their number and each worker's sequence are fixed before its run."
    )
}
