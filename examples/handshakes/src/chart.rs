//! The figures as an SVG of four bar charts: what was resumed, how many handshakes that made, what
//! the store cost mostly, and at times. All axes are linear and begin at zero.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::backend::Kind;
use crate::driver::{Load, WORKERS};
use crate::host;
use crate::report::Run;

const SIZE: (u32, u32) = (1280, 500);
const HEADER: u32 = 70;
const FOOTER: u32 = 36;

/// Where the second, third and fourth panel begin.
const PANEL_EDGES: [u32; 3] = [320, 640, 960];

/// Part of a group's width that is left between groups.
const GAP: f64 = 0.25;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One bar chart: groups of bars, one bar for each store that was run.
struct Panel {
    title: &'static str,
    axis: &'static str,
    groups: Vec<(String, Vec<(Kind, f64)>)>,
    label: fn(f64) -> String,
}

/// Draws the runs; answers the text of the SVG.
pub(crate) fn draw(load: &Load, runs: &[Run]) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let (header, body) = root.split_vertically(HEADER);
        let (body, footer) = body.split_vertically(SIZE.1 - HEADER - FOOTER);
        legend(&header, load, runs)?;
        origin(&footer, load)?;
        for (area, panel) in body.split_by_breakpoints(PANEL_EDGES, [0; 0]).iter().zip(panels(runs))
        {
            bars(area, &panel)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(text)
}

fn panels(runs: &[Run]) -> [Panel; 4] {
    let microseconds = |value: &dyn Fn(&Run) -> u64| grouped(runs, &|run| value(run) as f64 / 1e3);
    [
        Panel {
            title: "Handshakes that resumed",
            axis: "% of all handshakes",
            groups: grouped(runs, &|run| run.resumption_ratio() * 100.0),
            label: |value| format!("{value:.0}"),
        },
        Panel {
            title: "Handshakes, full and resumed",
            axis: "per second, on all processors",
            groups: grouped(runs, &|run| run.handshakes_per_second),
            label: |value| format!("{value:.0}"),
        },
        Panel {
            title: "Time in the store, median",
            axis: "us per handshake, linear",
            groups: microseconds(&|run| run.store_ns.p50),
            label: |value| format!("{value:.1}"),
        },
        Panel {
            title: "Time in the store, p99",
            axis: "us per handshake, linear",
            groups: microseconds(&|run| run.store_ns.p99),
            label: |value| format!("{value:.0}"),
        },
    ]
}

/// The runs' values by protocol version.
fn grouped(runs: &[Run], value: &dyn Fn(&Run) -> f64) -> Vec<(String, Vec<(Kind, f64)>)> {
    let mut groups: Vec<(String, Vec<(Kind, f64)>)> = Vec::new();
    for run in runs {
        let group = format!("TLS {}", run.tls.name());
        let bar = (run.store, value(run));
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, bars)) => bars.push(bar),
            None => groups.push((group, vec![bar])),
        }
    }
    groups
}

fn legend(area: &Area<'_>, load: &Load, runs: &[Run]) -> Result<()> {
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
    area.draw(&Text::new(title, (20, 12), ("sans-serif", 20).into_font())).map_err(failed)?;
    for (kind, left) in kinds.iter().zip((0..).map(|index| 20 + index * 230)) {
        area.draw(&Rectangle::new([(left, 44), (left + 14, 58)], colour(*kind).filled()))
            .map_err(failed)?;
        area.draw(&Text::new(described(*kind), (left + 20, 44), ("sans-serif", 16).into_font()))
            .map_err(failed)?;
    }
    Ok(())
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

/// Where and when the figures were taken.
fn origin(area: &Area<'_>, load: &Load) -> Result<()> {
    let date = time::OffsetDateTime::now_utc().date();
    let text = format!(
        "{}; {WORKERS} connections at a time, clients and server share the processors; \
         seed {}; {date}",
        host::describe(),
        load.seed
    );
    area.draw(&Text::new(text, (20, 10), ("sans-serif", 12).into_font())).map_err(failed)
}

fn bars(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let values = panel.groups.iter().flat_map(|(_, bars)| bars).map(|(_, value)| *value);
    let top = values.fold(0.0, f64::max).max(1e-9) * 1.12;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..panel.groups.len() as f64, 0.0..top)
        .map_err(failed)?;
    let name = |position: &f64| group_at(&panel.groups, *position);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .x_labels(2 * panel.groups.len() + 1)
        .x_label_formatter(&name)
        .y_desc(panel.axis)
        .y_label_formatter(&|value| (panel.label)(*value))
        .label_style(("sans-serif", 12))
        .draw()
        .map_err(failed)?;
    for (index, (_, group)) in panel.groups.iter().enumerate() {
        let width = (1.0 - GAP) / group.len() as f64;
        for (place, (kind, value)) in group.iter().enumerate() {
            let left = index as f64 + GAP / 2.0 + place as f64 * width;
            let bar = Rectangle::new([(left, 0.0), (left + width, *value)], colour(*kind).filled());
            chart.draw_series([bar]).map_err(failed)?;
            let style =
                ("sans-serif", 10).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Bottom));
            let number = Text::new((panel.label)(*value), (left + width / 2.0, *value), style);
            chart.draw_series([number]).map_err(failed)?;
        }
    }
    Ok(())
}

/// Labels stand below the middle of their group, the axis' other marks stay bare.
fn group_at(groups: &[(String, Vec<(Kind, f64)>)], position: f64) -> String {
    let middle = (position.fract() - 0.5).abs() < 0.01;
    groups
        .get(position as usize)
        .filter(|_| middle)
        .map_or_else(String::new, |(name, _)| name.clone())
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

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw the chart: {error}")
}
