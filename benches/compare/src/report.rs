//! Rows for machines, and the page for people.

use crate::chart;
use crate::dyn_store::Role;
use crate::figures::{Record, Table, median};
use crate::machine::Machine;
use crate::memory::{Weight, Weights};
use crate::peers::Values;
use crate::summary::write_summary;
use crate::table::or_dash;
use crate::traces::{HitRatios, Outcome};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use stores::workloads::cold::Control;

/// Everything that a run found out.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// Of the cold workloads, if there are any.
    pub(crate) control: Option<Control>,
    pub(crate) tables: Vec<Table>,
    pub(crate) traces: Vec<HitRatios>,
    /// By values and entries.
    pub(crate) weights: HashMap<(Values, u64), Weights>,
}

/// One store in one workload.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    /// What the peers keep.
    pub(crate) values: String,
    pub(crate) entries: u64,
    pub(crate) threads: u64,
    pub(crate) peer: &'static str,
    #[serde(skip)]
    pub(crate) role: Option<Role>,
    pub(crate) ns_per_op: Option<f64>,
    pub(crate) p50_ns: Option<f64>,
    pub(crate) p99_ns: Option<f64>,
    pub(crate) p999_ns: Option<f64>,
    pub(crate) worst_ns: Option<f64>,
    /// Beside no sweep.
    pub(crate) quiet_p99_ns: Option<f64>,
    pub(crate) spread: Option<f64>,
    pub(crate) hit_ratio: Option<f64>,
    /// Beyond the session, as they were asked for.
    pub(crate) bytes_per_entry: Option<f64>,
    /// All of them, as the system supplied them.
    pub(crate) bytes_with_session: Option<f64>,
    pub(crate) vs_best_peer: Option<f64>,
    /// Of the peers that make room by themselves.
    pub(crate) vs_best_cache: Option<f64>,
    pub(crate) vs_floor: Option<f64>,
    pub(crate) round_trip_ns: Option<f64>,
    pub(crate) placement: Option<&'static str>,
    pub(crate) oversubscribed: bool,
    pub(crate) allocator: &'static str,
}

/// Infinities and the like have no place in JSON.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Results {
    pub(crate) fn rows(&self) -> Vec<Row> {
        let timed = self.tables.iter().flat_map(|table| self.rows_of(table));
        let traced = self.traces.iter().flat_map(|trace| self.rows_of_trace(trace));
        timed.chain(traced).collect()
    }

    pub(crate) fn rows_of(&self, table: &Table) -> Vec<Row> {
        let (peer, cache, floor) = (table.best_peer(), table.best_cache(), table.best_floor());
        let weight = |name| self.weight_of(table.values, table.entries, name);
        let row = |record: &Record| Row {
            workload: table.workload.to_string(),
            values: table.values.to_string(),
            entries: table.entries,
            threads: table.threads,
            peer: record.candidate.name,
            role: Some(record.candidate.role),
            ns_per_op: finite(table.nanos(record)),
            p50_ns: table.quantile(record, |quantiles| quantiles.p50),
            p99_ns: table.quantile(record, |quantiles| quantiles.p99),
            p999_ns: table.quantile(record, |quantiles| quantiles.p999),
            worst_ns: table.worst(record),
            quiet_p99_ns: table.quiet_p99(record),
            spread: finite(table.spread(record)),
            hit_ratio: record.hit_ratio(),
            bytes_per_entry: weight(record.candidate.name).beside_session,
            bytes_with_session: weight(record.candidate.name).with_session,
            vs_best_peer: peer.and_then(|peer| finite(table.ratio(peer, record))),
            vs_best_cache: cache.and_then(|cache| finite(table.ratio(cache, record))),
            vs_floor: floor.and_then(|floor| finite(table.ratio(record, floor))),
            round_trip_ns: finite(median(&table.round_trips)),
            placement: table.placement().map(|placement| placement.name()),
            oversubscribed: table.is_oversubscribed,
            allocator: self.machine.allocator,
        };
        table.records.iter().map(row).collect()
    }

    fn weight_of(&self, values: Values, entries: u64, name: &str) -> Weight {
        let weights = self.weights.get(&(values, entries));
        weights.and_then(|weights| weights.get(name)).copied().unwrap_or_default()
    }

    fn rows_of_trace(&self, trace: &HitRatios) -> Vec<Row> {
        let weight = |name| self.weight_of(Values::Session, trace.capacity, name);
        let row = |policy: &Outcome| Row {
            workload: trace.trace.clone(),
            values: Values::Session.to_string(),
            entries: trace.capacity,
            threads: 1,
            peer: policy.name,
            hit_ratio: policy.hit_ratio,
            bytes_per_entry: weight(policy.name).beside_session,
            bytes_with_session: weight(policy.name).with_session,
            allocator: self.machine.allocator,
            ..Row::default()
        };
        trace.policies.iter().map(row).collect()
    }

    /// Writes the rows.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.rows())?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the tables and the charts.
    pub(crate) fn write_report(&self, directory: &Path) -> Result<()> {
        let cannot = || format!("cannot write to {}", directory.display());
        fs::create_dir_all(directory).with_context(cannot)?;
        let mut page = format!("{}\n\n", self.machine);
        if let Some(control) = &self.control {
            writeln!(page, "{control}\n")?;
        }
        write_summary(&mut page, self)?;
        let mut charted = Vec::new();
        for table in &self.tables {
            let kind = match table.values {
                Values::Session => "",
                Values::Arc => "-arc",
            };
            let name = format!("{}-{}{kind}.svg", table.workload, table.entries);
            if !charted.contains(&name) {
                let of_size = |other: &&Table| {
                    (other.workload, other.values, other.entries)
                        == (table.workload, table.values, table.entries)
                };
                let tables: Vec<_> = self.tables.iter().filter(of_size).collect();
                chart::times(&directory.join(&name), &tables)?;
                writeln!(page, "![{} with {} sessions]({name})\n", table.workload, table.entries)?;
                charted.push(name);
            }
            self.write_table(&mut page, table)?;
        }
        self.write_traces(&mut page, directory)?;
        fs::write(directory.join("tables.md"), page).with_context(cannot)
    }

    fn write_table(&self, page: &mut String, table: &Table) -> Result<()> {
        writeln!(page, "### {}\n", table.title())?;
        let columns = table.columns();
        let head: Vec<_> = columns.iter().map(|column| column.head).collect();
        writeln!(page, "| | {} |", head.join(" | "))?;
        writeln!(page, "|---|{}", "--:|".repeat(columns.len()))?;
        for row in self.rows_of(table) {
            let cells: Vec<_> = columns.iter().map(|column| (column.cell)(&row)).collect();
            let name = if row.role == Some(Role::Subject) {
                format!("**{}**", row.peer)
            } else {
                row.peer.into()
            };
            writeln!(page, "| {name} | {} |", cells.join(" | "))?;
        }
        writeln!(page)?;
        Ok(())
    }

    fn write_traces(&self, page: &mut String, directory: &Path) -> Result<()> {
        if self.traces.is_empty() {
            return Ok(());
        }
        chart::hit_ratios(&directory.join("hit-ratios.svg"), &self.traces)?;
        writeln!(page, "![hit ratios](hit-ratios.svg)\n\n{}", markdown_of(&self.traces)?)?;
        Ok(())
    }
}

/// Policies against traces.
fn markdown_of(traces: &[HitRatios]) -> Result<String> {
    let mut text = String::from("### Hit ratios\n\n|");
    for trace in traces {
        write!(text, " | {} ({} of {} events)", trace.trace, trace.capacity, trace.events)?;
    }
    writeln!(text, " |\n|---|{}", "--:|".repeat(traces.len()))?;
    let policies = traces.first().map(|trace| trace.policies.iter()).into_iter().flatten();
    for (at, policy) in policies.enumerate() {
        let ratio = |trace: &HitRatios| or_dash(trace.policies[at].hit_ratio, 4);
        let cells: Vec<_> = traces.iter().map(ratio).collect();
        let remark = match policy.holds {
            Some(holds) if holds as f64 > 1.01 * traces[0].capacity as f64 => {
                format!(" (holds {holds})")
            }
            _ => String::new(),
        };
        writeln!(text, "| {}{remark} | {} |", policy.name, cells.join(" | "))?;
    }
    Ok(text)
}
