//! The chart of a comparison of stores: what was resumed, how many handshakes that made, what the
//! store cost mostly, and at times.

use anyhow::Result;
use plotters::style::RGBColor;

use crate::backend::Kind;
use crate::chart::{self, Group, Panel, Series};
use crate::driver::Load;
use crate::report::Run;

/// Draws the runs; answers the text of the SVG.
pub(crate) fn draw(load: &Load, runs: &[Run]) -> Result<String> {
    let mut kinds: Vec<Kind> = Vec::new();
    for run in runs {
        if !kinds.contains(&run.store) {
            kinds.push(run.store);
        }
    }
    let filled = if load.is_full { "full" } else { "empty" };
    let title = format!(
        "{} clients come back to a TLS server whose session store holds {} and began {filled}",
        load.clients, load.capacity
    );
    let series: Vec<_> =
        kinds.iter().map(|kind| Series { name: described(*kind), colour: colour(*kind) }).collect();
    chart::draw(load, &title, &series, &panels(&kinds, runs))
}

fn panels(kinds: &[Kind], runs: &[Run]) -> [Panel; 4] {
    let grouped = |value: &dyn Fn(&Run) -> f64| -> Vec<Group> {
        let series = |run: &Run| kinds.iter().position(|kind| *kind == run.store);
        let bar = |run: &Run| (series(run).unwrap_or_default(), value(run));
        chart::grouped(runs, |run: &Run| run.tls, bar)
    };
    [
        Panel {
            title: "Handshakes that resumed",
            axis: "% of all handshakes",
            groups: grouped(&|run| run.resumption_ratio() * 100.0),
            label: |value| format!("{value:.0}"),
        },
        Panel {
            title: "Handshakes, full and resumed",
            axis: "per second, on all processors",
            groups: grouped(&|run| run.handshakes_per_second),
            label: |value| format!("{value:.0}"),
        },
        Panel {
            title: "Time in the store, median",
            axis: "us per handshake, linear",
            groups: grouped(&|run| run.store_ns.p50 as f64 / 1e3),
            label: |value| format!("{value:.1}"),
        },
        Panel {
            title: "Time in the store, p99",
            axis: "us per handshake, linear",
            groups: grouped(&|run| run.store_ns.p99 as f64 / 1e3),
            label: |value| format!("{value:.0}"),
        },
    ]
}

fn described(kind: Kind) -> String {
    match kind {
        Kind::RustlsDefault => "rustls, 256 as by default".into(),
        Kind::Rustls => "rustls".into(),
        Kind::Moka => "moka, TinyLFU".into(),
        Kind::MokaLru => "moka, LRU".into(),
        Kind::Sessile | Kind::Libssl => kind.to_string(),
    }
}

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Sessile => RGBColor(0x1b, 0x7f, 0x79),
        Kind::RustlsDefault => RGBColor(0xe3, 0xa8, 0x9a),
        Kind::Rustls => RGBColor(0xc8, 0x55, 0x3d),
        Kind::Moka => RGBColor(0x8d, 0x86, 0x5c),
        Kind::MokaLru => RGBColor(0x5b, 0x6c, 0x9d),
        Kind::Libssl => RGBColor(0x7a, 0x3e, 0x65),
    }
}
