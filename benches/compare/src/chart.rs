//! Bar charts. Times span powers of ten, so their axis is logarithmic: it says so, and shows each
//! power.

use crate::dyn_store::Role;
use crate::figures::Table;
use crate::traces::HitRatios;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;
use stores::workloads::Workload;

const BAR: u32 = 14;
const GAP: u32 = 10;
const NAMES: i32 = 150;
const VALUES: i32 = 70;
const WIDTH: u32 = 860;
const TOP: u32 = 78;
const BOTTOM: u32 = 24;
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(215, 215, 215);
const SUBJECT: RGBColor = RGBColor(200, 80, 30);
const PEER: RGBColor = RGBColor(110, 130, 150);
const FLOOR: RGBColor = RGBColor(190, 200, 190);

/// The bars of one store.
struct Group {
    name: &'static str,
    role: Role,
    values: Vec<Option<f64>>,
}

struct Chart<'c> {
    title: String,
    /// What the bars of a group are, darkest first.
    series: Vec<String>,
    groups: Vec<Group>,
    label: &'c dyn Fn(f64) -> String,
    axis: Axis,
}

/// What the length of a bar means.
enum Axis {
    Linear,
    /// From the power of ten at or below the shortest bar.
    Logarithmic,
}

/// Times per operation; one bar for each number of threads.
pub(crate) fn times(path: &Path, tables: &[&Table]) -> Result<()> {
    let Some(first) = tables.first() else { return Ok(()) };
    let series = tables.iter().map(|table| {
        let placement =
            table.placement().map_or(String::new(), |placement| format!(", {}", placement.name()));
        format!("{} thread(s){placement}", table.threads)
    });
    let groups = first.records.iter().filter(|record| record.candidate.role != Role::Harness).map(
        |record| {
            let value = |table: &&Table| {
                let same = table
                    .records
                    .iter()
                    .find(|other| other.candidate.name == record.candidate.name)?;
                Some(table.median_score(same)).filter(|nanos| nanos.is_finite())
            };
            Group {
                name: record.candidate.name,
                role: record.candidate.role,
                values: tables.iter().map(value).collect(),
            }
        },
    );
    let chart = Chart {
        title: format!(
            "{}, {} sessions, peers keep {}: {} (shorter is better)",
            first.workload,
            first.entries,
            first.values,
            match first.workload {
                Workload::Tail => "99.9 % of operations take less, ns",
                _ => "ns per operation and thread",
            }
        ),
        series: series.collect(),
        groups: groups.collect(),
        label: &|nanos| if nanos < 100.0 { format!("{nanos:.1}") } else { format!("{nanos:.0}") },
        axis: Axis::Logarithmic,
    };
    chart.draw(path)
}

/// Hit ratios; one bar for each trace.
pub(crate) fn hit_ratios(path: &Path, traces: &[HitRatios]) -> Result<()> {
    let Some(first) = traces.first() else { return Ok(()) };
    let groups = first.policies.iter().map(|policy| {
        let value = |trace: &HitRatios| {
            trace.policies.iter().find(|other| other.name == policy.name)?.hit_ratio
        };
        let is_ours = policy.name.starts_with(crate::peers::SUBJECT);
        let role = if is_ours { Role::Subject } else { Role::Peer };
        Group { name: policy.name, role, values: traces.iter().map(value).collect() }
    });
    let chart = Chart {
        title: format!("hit ratios at a capacity of {} (longer is better)", first.capacity),
        series: traces.iter().map(|trace| trace.trace.clone()).collect(),
        groups: groups.collect(),
        label: &|ratio| format!("{ratio:.3}"),
        axis: Axis::Linear,
    };
    chart.draw(path)
}

impl Chart<'_> {
    fn draw(&self, path: &Path) -> Result<()> {
        let group_height = BAR * self.series.len() as u32 + GAP;
        let height = TOP + BOTTOM + group_height * self.groups.len() as u32;
        let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
        // The errors of the backend borrow it.
        let failed =
            |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", path.display());
        area.fill(&WHITE).map_err(|error| failed(&error))?;
        let heading = ("sans-serif", 16).into_font().color(&INK);
        area.draw(&Text::new(self.title.clone(), (10, 10), heading))
            .map_err(|error| failed(&error))?;
        let small = ("sans-serif", 12).into_font().color(&INK);
        let legend = format!("bars from top: {}", self.series.join(" | "));
        area.draw(&Text::new(legend, (10, 34), small.clone())).map_err(|error| failed(&error))?;
        for (value, label) in self.marks() {
            let (left, bottom) = (NAMES + self.length(value), (height - BOTTOM) as i32);
            let line = PathElement::new([(left, TOP as i32 - 6), (left, bottom)], GRID);
            area.draw(&line).map_err(|error| failed(&error))?;
            area.draw(&Text::new(label, (left, TOP as i32 - 22), small.clone()))
                .map_err(|error| failed(&error))?;
        }
        for (at, group) in self.groups.iter().enumerate() {
            let top = (TOP + at as u32 * group_height) as i32;
            area.draw(&Text::new(group.name, (10, top + 1), small.clone()))
                .map_err(|error| failed(&error))?;
            for (nth, value) in group.values.iter().enumerate() {
                let Some(value) = *value else { continue };
                let top = top + nth as i32 * BAR as i32;
                let end = NAMES + self.length(value);
                let shade = 1.0 - 0.5 * nth as f64 / self.series.len() as f64;
                let style = group.color().mix(shade).filled();
                let bar = Rectangle::new([(NAMES, top), (end, top + BAR as i32 - 2)], style);
                area.draw(&bar).map_err(|error| failed(&error))?;
                let label = Text::new((self.label)(value), (end + 6, top + 1), small.clone());
                area.draw(&label).map_err(|error| failed(&error))?;
            }
        }
        area.present().map_err(|error| failed(&error))
    }

    /// The lines of the axis: values and what stands above them.
    fn marks(&self) -> Vec<(f64, String)> {
        match self.axis {
            Axis::Linear => {
                let most = self.values().fold(0.0, f64::max);
                [0.0, 0.25, 0.5, 0.75, 1.0]
                    .map(|part| (part * most, (self.label)(part * most)))
                    .into()
            }
            Axis::Logarithmic => {
                let (first, last) = self.powers();
                let name = |power| match power == first {
                    true => format!("{} ns, logarithmic axis", 10_f64.powi(power)),
                    false => format!("{}", 10_f64.powi(power)),
                };
                (first..=last).map(|power| (10_f64.powi(power), name(power))).collect()
            }
        }
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.groups.iter().flat_map(|group| group.values.iter().flatten().copied())
    }

    /// The powers of ten around all bars that have a length.
    fn powers(&self) -> (i32, i32) {
        let measured = || self.values().filter(|&value| value > 0.0).map(f64::log10);
        let first = measured().fold(f64::MAX, f64::min).floor();
        let last = measured().fold(f64::MIN, f64::max).ceil();
        if first > last { (0, 1) } else { (first as i32, (last as i32).max(first as i32 + 1)) }
    }

    /// Of a bar, in pixels. A value that is below what was measured has none.
    fn length(&self, value: f64) -> i32 {
        let room = f64::from(WIDTH as i32 - NAMES - VALUES);
        let part = match self.axis {
            Axis::Linear => value / self.values().fold(f64::MIN_POSITIVE, f64::max),
            Axis::Logarithmic => {
                let (first, last) = self.powers();
                (value.log10() - f64::from(first)) / f64::from(last - first)
            }
        };
        (part.max(0.0) * room) as i32
    }
}

impl Group {
    fn color(&self) -> RGBColor {
        match self.role {
            Role::Subject | Role::Variant => SUBJECT,
            Role::Peer => PEER,
            _ => FLOOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bars' lengths of a chart with these values.
    fn lengths(axis: Axis, values: &[f64]) -> Vec<i32> {
        let group = |value: &f64| Group { name: "", role: Role::Peer, values: vec![Some(*value)] };
        let groups = values.iter().map(group).collect();
        let label = &|value: f64| value.to_string();
        let chart = Chart { title: String::new(), series: vec![], groups, label, axis };
        values.iter().map(|value| chart.length(*value)).collect()
    }

    #[test]
    fn a_floor_of_nothing_has_no_bar_and_leaves_the_others_theirs() {
        let lengths = lengths(Axis::Logarithmic, &[0.0, 10.0, 100.0, 1000.0]);
        assert_eq!((lengths[0], lengths[1]), (0, 0));
        assert!((lengths[3] - 2 * lengths[2]).abs() <= 1 && lengths[2] > 300, "{lengths:?}");
    }

    #[test]
    fn ratios_are_as_long_as_they_are_large() {
        let lengths = lengths(Axis::Linear, &[0.25, 0.5, 1.0]);
        assert_eq!(lengths, [160, 320, 640]);
    }
}
