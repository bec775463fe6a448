//! Figures as an SVG: a title with a legend, bar charts side by side, and where and when the figures
//! were taken. All axes are linear and begin at zero.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::driver::{Load, WORKERS};
use crate::host;
use crate::server::Tls;

const SIZE: (u32, u32) = (1280, 500);
const HEADER: u32 = 70;
const FOOTER: u32 = 36;
const LEGEND_WIDTH: i32 = 230;

/// Part of a group's width that is left between groups.
const GAP: f64 = 0.25;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What bars of one colour stand for.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) colour: RGBColor,
}

/// One bar chart: groups of bars, each of which belongs to a series.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) axis: &'static str,
    pub(crate) groups: Vec<Group>,
    pub(crate) label: fn(f64) -> String,
}

/// Bars that stand together: their series, by its index, and their value.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<(usize, f64)>,
}

/// Draws the panels; answers the text of the SVG.
pub(crate) fn draw(
    load: &Load,
    title: &str,
    series: &[Series],
    panels: &[Panel],
) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let (header, body) = root.split_vertically(HEADER);
        let (body, footer) = body.split_vertically(SIZE.1 - HEADER - FOOTER);
        legend(&header, title, series)?;
        origin(&footer, load)?;
        for (area, panel) in body.split_evenly((1, panels.len())).iter().zip(panels) {
            bars(area, series, panel)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(text)
}

/// Puts runs into groups by protocol version, with the series that each belongs to.
pub(crate) fn grouped<R>(
    runs: &[R],
    version: impl Fn(&R) -> Tls,
    bar: impl Fn(&R) -> (usize, f64),
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for run in runs {
        let name = format!("TLS {}", version(run).name());
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.bars.push(bar(run)),
            None => groups.push(Group { name, bars: vec![bar(run)] }),
        }
    }
    groups
}

fn legend(area: &Area<'_>, title: &str, series: &[Series]) -> Result<()> {
    area.draw(&Text::new(title, (20, 12), ("sans-serif", 20).into_font())).map_err(failed)?;
    for (one, left) in series.iter().zip((0..).map(|index| 20 + index * LEGEND_WIDTH)) {
        area.draw(&Rectangle::new([(left, 44), (left + 14, 58)], one.colour.filled()))
            .map_err(failed)?;
        let name = one.name.as_str();
        area.draw(&Text::new(name, (left + 20, 44), ("sans-serif", 16).into_font()))
            .map_err(failed)?;
    }
    Ok(())
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

fn bars(area: &Area<'_>, series: &[Series], panel: &Panel) -> Result<()> {
    let values = panel.groups.iter().flat_map(|group| &group.bars).map(|(_, value)| *value);
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
    for (index, group) in panel.groups.iter().enumerate() {
        let width = (1.0 - GAP) / group.bars.len() as f64;
        for (place, (one, value)) in group.bars.iter().enumerate() {
            let left = index as f64 + GAP / 2.0 + place as f64 * width;
            let colour = series[*one].colour;
            let bar = Rectangle::new([(left, 0.0), (left + width, *value)], colour.filled());
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
fn group_at(groups: &[Group], position: f64) -> String {
    let middle = (position.fract() - 0.5).abs() < 0.01;
    let group = groups.get(position as usize).filter(|_| middle);
    group.map_or_else(String::new, |group| group.name.clone())
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw the chart: {error}")
}
