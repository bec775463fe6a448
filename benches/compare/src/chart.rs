//! Bar charts.

use crate::figures::Table;
use crate::stand::Role;
use crate::traces::HitRatios;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

const BAR: u32 = 14;
const GAP: u32 = 10;
const NAMES: i32 = 150;
const VALUES: i32 = 70;
const WIDTH: u32 = 860;
const TOP: u32 = 60;
const INK: RGBColor = RGBColor(40, 40, 40);
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
    /// Long bars are compressed: the values span powers of ten.
    is_logarithmic: bool,
}

/// Times per operation; one bar for each number of threads.
pub(crate) fn times(path: &Path, tables: &[&Table]) -> Result<()> {
    let Some(first) = tables.first() else { return Ok(()) };
    let series = tables.iter().map(|table| {
        let placement =
            table.placement().map_or(String::new(), |placement| format!(", {}", placement.name()));
        format!("{} thread(s){placement}", table.lanes)
    });
    let groups =
        first.records.iter().filter(|record| record.entrant.role != Role::Harness).map(|record| {
            let value = |table: &&Table| {
                let same =
                    table.records.iter().find(|other| other.entrant.name == record.entrant.name)?;
                Some(table.nanos(same)).filter(|nanos| nanos.is_finite())
            };
            Group {
                name: record.entrant.name,
                role: record.entrant.role,
                values: tables.iter().map(value).collect(),
            }
        });
    let chart = Chart {
        title: format!(
            "{}, {} sessions: ns per operation and thread (shorter is better)",
            first.workload, first.entries
        ),
        series: series.collect(),
        groups: groups.collect(),
        label: &|nanos| if nanos < 100.0 { format!("{nanos:.1}") } else { format!("{nanos:.0}") },
        is_logarithmic: true,
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
        is_logarithmic: false,
    };
    chart.draw(path)
}

impl Chart<'_> {
    fn draw(&self, path: &Path) -> Result<()> {
        let group_height = BAR * self.series.len() as u32 + GAP;
        let height = TOP + 20 + group_height * self.groups.len() as u32;
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

    /// Of a bar, in pixels.
    fn length(&self, value: f64) -> i32 {
        let room = f64::from(WIDTH as i32 - NAMES - VALUES);
        let values = || self.groups.iter().flat_map(|group| group.values.iter().flatten());
        let most = values().fold(f64::MIN_POSITIVE, |most, value| most.max(*value));
        let part = if self.is_logarithmic {
            let least = values().fold(most, |least, value| least.min(*value));
            // The shortest bar has a tenth of the room.
            0.1 + 0.9 * (value / least).ln() / (most / least).ln().max(f64::MIN_POSITIVE)
        } else {
            value / most
        };
        (part * room) as i32
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
