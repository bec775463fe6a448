//! All tables in one: where the subject stands in each.

use crate::dyn_store::Role;
use crate::figures::Table;
use crate::report::{Results, Row};
use anyhow::Result;
use std::fmt::Write as _;

/// One line per workload, size and number of threads. The last column is the best that any store
/// could be expected to reach.
pub(crate) fn write_summary(page: &mut String, results: &Results) -> Result<()> {
    writeln!(page, "### Summary\n")?;
    writeln!(
        page,
        "| workload | sessions | threads | peers keep | best peer | x best peer | x best cache | of floor | floor x best peer |"
    )?;
    writeln!(page, "|---|--:|--:|---|---|--:|--:|--:|--:|")?;
    for table in &results.tables {
        if let Some(line) = line_of(table, &results.rows_of(table)) {
            writeln!(page, "{line}")?;
        }
    }
    writeln!(page)?;
    Ok(())
}

fn line_of(table: &Table, rows: &[Row]) -> Option<String> {
    let subject = rows.iter().find(|row| row.role == Some(Role::Subject))?;
    let floor = table
        .best_floor()
        .and_then(|floor| rows.iter().find(|row| row.peer == floor.candidate.name));
    let ratio =
        |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2}"));
    let threads = match table.is_oversubscribed {
        true => format!("{} (oversubscribed)", table.threads),
        false => table.threads.to_string(),
    };
    Some(format!(
        "| {} | {} | {threads} | {} | {} | {} | {} | {} | {} |",
        table.workload,
        table.entries,
        table.values,
        table.best_peer().map_or("-", |peer| peer.candidate.name),
        ratio(subject.vs_best_peer),
        ratio(subject.vs_best_cache),
        ratio(subject.vs_floor),
        ratio(floor.and_then(|floor| floor.vs_best_peer)),
    ))
}
