//! The chart of a fleet: what was resumed, how many handshakes that made, and their tail.

use anyhow::Result;
use plotters::style::RGBColor;

use super::{FleetRun, Setting};
use crate::chart::{self, Group, Panel, Series};
use crate::driver::Load;

/// Draws the runs; answers the text of the SVG.
pub(crate) fn draw(load: &Load, runs: &[FleetRun]) -> Result<String> {
    let mut settings: Vec<(Setting, usize)> = Vec::new();
    for run in runs {
        if !settings.contains(&(run.setting, run.nodes)) {
            settings.push((run.setting, run.nodes));
        }
    }
    let title = format!(
        "{} clients come back to any of several TLS server processes, which share sessions or not",
        load.clients
    );
    let series: Vec<_> = settings
        .iter()
        .map(|(setting, nodes)| Series {
            name: described(*setting, *nodes),
            colour: colour(*setting),
        })
        .collect();
    let settings: Vec<_> = settings.into_iter().map(|(setting, _)| setting).collect();
    chart::draw(load, &title, &series, &panels(&settings, runs))
}

fn panels(settings: &[Setting], runs: &[FleetRun]) -> [Panel; 3] {
    let grouped = |value: &dyn Fn(&FleetRun) -> f64| -> Vec<Group> {
        let series = |run: &FleetRun| settings.iter().position(|one| *one == run.setting);
        let bar = |run: &FleetRun| (series(run).unwrap_or_default(), value(run));
        chart::grouped(runs, |run: &FleetRun| run.run.tls, bar)
    };
    [
        Panel {
            title: "Handshakes that resumed",
            axis: "% of all handshakes",
            groups: grouped(&|run| run.run.resumption_ratio() * 100.0),
            label: |value| format!("{value:.0}"),
        },
        Panel {
            title: "Handshakes, full and resumed",
            axis: "per second, on all processors",
            groups: grouped(&|run| run.run.handshakes_per_second),
            label: |value| format!("{value:.0}"),
        },
        Panel {
            title: "Time of a handshake, p99",
            axis: "ms as the client saw it, linear",
            groups: grouped(&|run| run.run.latency_us.p99 / 1e3),
            label: |value| format!("{value:.1}"),
        },
    ]
}

fn described(setting: Setting, nodes: usize) -> String {
    match setting {
        Setting::OneNode => "one node".into(),
        Setting::NoTier => format!("{nodes} nodes, no tier"),
        Setting::Tier => format!("{nodes} nodes, a tier"),
        Setting::TierPaused => format!("{nodes} nodes, a tier paused"),
    }
}

fn colour(setting: Setting) -> RGBColor {
    match setting {
        Setting::OneNode => RGBColor(0x5b, 0x6c, 0x9d),
        Setting::NoTier => RGBColor(0xc8, 0x55, 0x3d),
        Setting::Tier => RGBColor(0x1b, 0x7f, 0x79),
        Setting::TierPaused => RGBColor(0x8d, 0x86, 0x5c),
    }
}
