//! What the runs came to, as a table and as JSON.

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use super::{Fleet, FleetRun, Setting};
use crate::driver::{Load, WORKERS};
use crate::host;
use crate::server::Tls;

#[derive(Serialize)]
struct Document<'a> {
    nodes: usize,
    /// Where it is; nothing without one.
    tier: Option<String>,
    runs: &'a [FleetRun],
}

/// The runs as a JSON document.
pub(crate) fn json(fleet: &Fleet, runs: &[FleetRun]) -> Result<String> {
    let tier = fleet.tier.as_ref().map(|tier| tier.name());
    let mut text = serde_json::to_string_pretty(&Document { nodes: fleet.nodes, tier, runs })?;
    text.push('\n');
    Ok(text)
}

/// What a run is about to do, and for how long.
pub(crate) fn announcement(load: &Load, fleet: &Fleet, versions: &[Tls]) -> String {
    let runs = versions.len() * fleet.settings().len();
    let about = versions.len() as u64 + runs as u64 * load.seconds;
    let tier = match &fleet.tier {
        Some(tier) => format!("with and without a second tier on {}", tier.name()),
        None => "without a second tier (--tier)".into(),
    };
    let budget = fleet.budget_ms;
    let filled = if load.is_full { "full" } else { "empty" };
    format!(
        "{} server processes on this machine, {tier}, and clients that come to any of them.\n\
         Each process has a cache of {} sessions, {filled} to begin with, and waits {budget} ms \
         for the tier at most.\n\
         {} clients come back, every fifth visitor never does.\n\
         {runs} runs of about {} s, about {about} s in all; \
         Ctrl-C shows what was measured until then.\n\n",
        fleet.nodes, load.capacity, load.clients, load.seconds,
    )
}

/// The runs for people.
pub(crate) fn table(load: &Load, runs: &[FleetRun]) -> String {
    let mut text = String::new();
    let written = write_rows(&mut text, load, runs).and_then(|()| write_notes(&mut text, runs));
    debug_assert!(written.is_ok(), "a string takes any text");
    text
}

fn write_rows(text: &mut String, load: &Load, runs: &[FleetRun]) -> std::fmt::Result {
    writeln!(text, "{}, {WORKERS} connections at a time, seed {}", host::describe(), load.seed)?;
    if load.is_stopped() {
        writeln!(text, "Stopped: the last run is shorter than the others, and some are missing.")?;
    }
    writeln!(text, "\n{:62} {:^26}", "", "handshake latency, us")?;
    writeln!(
        text,
        "{:11} {:>5} {:>3} {:>8} {:>16} {:>10} {:>11} {:>8} {:>8} {:>8}",
        "",
        "nodes",
        "TLS",
        "resumed",
        "of those moved",
        "handshakes",
        "per second",
        "p50",
        "p99",
        "p99.9"
    )?;
    for one in runs {
        let (run, latency) = (&one.run, &one.run.latency_us);
        let elsewhere = match one.elsewhere {
            0 => "-".into(),
            _ => format!("{:.1}%", one.ratio_elsewhere() * 100.0),
        };
        writeln!(
            text,
            "{:11} {:>5} {:>3} {:>7.1}% {:>16} {:>10} {:>11.0} {:>8.0} {:>8.0} {:>8.0}",
            one.setting.name(),
            one.nodes,
            run.tls.name(),
            run.resumption_ratio() * 100.0,
            elsewhere,
            run.handshakes,
            run.handshakes_per_second,
            latency.p50,
            latency.p99,
            latency.p999
        )?;
    }
    Ok(())
}

impl FleetRun {
    /// Resumed handshakes of those by clients that came to another node, from 0 to 1.
    fn ratio_elsewhere(&self) -> f64 {
        self.resumed_elsewhere as f64 / self.elsewhere.max(1) as f64
    }
}

/// What the tier counted, how the settings compare, and how the figures came about.
fn write_notes(text: &mut String, runs: &[FleetRun]) -> std::fmt::Result {
    writeln!(text)?;
    for one in runs {
        let Some(tier) = one.tier_figures else { continue };
        writeln!(
            text,
            "{:11} TLS {}: {} written, {} asked, {} found, {} withheld, {} not asked, {} unanswered",
            one.setting.name(),
            one.run.tls.name(),
            tier.written,
            tier.asked,
            tier.found,
            tier.withheld,
            tier.unavailable,
            tier.unanswered
        )?;
    }
    for tls in [Tls::V1_2, Tls::V1_3] {
        write_comparison(text, tls, runs)?;
    }
    writeln!(
        text,
        "\nOf those moved: resumed handshakes of clients that came to another node than the time \
         before.\n\
         Latency: the TLS handshake as the client saw it, the wait for the tier included, while \
         {WORKERS} connections,\n\
         the nodes and the tier compete for the processors. Every setting saw the same visits."
    )
}

fn write_comparison(text: &mut String, tls: Tls, runs: &[FleetRun]) -> std::fmt::Result {
    let of = |setting: Setting| {
        runs.iter().find(|one| one.setting == setting && one.run.tls == tls).map(|one| &one.run)
    };
    let (Some(one), Some(without)) = (of(Setting::OneNode), of(Setting::NoTier)) else {
        return Ok(());
    };
    let of_one = |ratio: f64| ratio / one.resumption_ratio() * 100.0;
    write!(
        text,
        "\nTLS {}: of what one node resumes, {:.0}% without a tier",
        tls.name(),
        of_one(without.resumption_ratio())
    )?;
    if let Some(with) = of(Setting::Tier) {
        write!(text, ", {:.1}% with it", of_one(with.resumption_ratio()))?;
    }
    if let Some(paused) = of(Setting::TierPaused) {
        let p99 = paused.latency_us.p99 / without.latency_us.p99;
        write!(text, "; p99 with the tier paused is {p99:.2} times that without a tier")?;
    }
    writeln!(text)
}
