//! The tables of the documents that are made from figures: between `<!-- table: NAME -->` and
//! `<!-- end of table -->`.
//!
//! What stands there is compared with what the figures give, so that nobody types one; `--write`
//! puts it there.

use crate::command::root;
use crate::counts;
use crate::load;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

const BEGIN: &str = "<!-- table: ";
const END: &str = "<!-- end of table -->";
/// The sessions of the tables that show one size.
const SESSIONS: &str = "20480";

/// The document with all of its tables made anew.
pub(super) fn renewed(document: &str) -> Result<String> {
    let (mut renewed, mut lines) = (String::new(), document.lines());
    while let Some(line) = lines.next() {
        writeln!(renewed, "{line}")?;
        let Some(name) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let table = table(name)?;
        ensure!(lines.any(|line| line == END), "the table {name} has no end");
        writeln!(renewed, "\n{}\n\n{END}", table.trim())?;
    }
    Ok(renewed)
}

/// A table by its name.
fn table(name: &str) -> Result<String> {
    match name {
        "stores" => stores(),
        "compare" => Ok(summary("benches/results/tables.md")?.join("\n")),
        "allocators" => allocators(),
        "cold" => cold("benches/results/cold/tables.md"),
        "counts" => counts::accepted_table(),
        "census" => counts::accepted_census(),
        "fleet" => fleet(),
        "libssl" => Ok(summary(load::FIGURES)?.join("\n")),
        _ => anyhow::bail!(
            "there is no table {name}: stores, compare, allocators, cold, counts, census, fleet, libssl"
        ),
    }
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file}"))
}

/// The lines of the table under the heading `Summary` of a report of `compare`.
fn summary(file: &str) -> Result<Vec<String>> {
    let report = read(file)?;
    let below = report.lines().skip_while(|line| *line != "### Summary").skip(1);
    let table = below.skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|'));
    let table: Vec<_> = table.map(str::to_owned).collect();
    ensure!(table.len() > 2, "{file} has no table under `### Summary`");
    Ok(table)
}

/// What a server would resume from otherwise, beside the subject: times, and what they found.
fn stores() -> Result<String> {
    const STORES: [&str; 4] = ["**sessile**", "rustls", "moka", "quick_cache"];
    let report = read("benches/results/tables.md")?;
    let heads = STORES.map(|store| store.trim_matches('*')).join(" | ");
    let mut table = format!("| workload | threads | {heads} |\n|---|--:|--:|--:|--:|--:|\n");
    for (workload, time) in [("tls13", "ns/op"), ("tls12", "ns/op"), ("tail", "p99.9 ns")] {
        for threads in ["1", "2"] {
            let heading = format!("### {workload}, {SESSIONS} sessions, {threads} thread");
            let section = rows_below(&report, &heading)?;
            let lines = columns(&section, ["", time, "hit ratio"])?;
            let cell = |store: &str| -> Result<String> {
                let [_, time, hits] = line_of(&lines, store, &heading)?;
                Ok(format!("{time} ns, {hits}"))
            };
            let cells = STORES.map(cell).into_iter().collect::<Result<Vec<_>>>()?;
            writeln!(table, "| {workload} | {threads} | {} |", cells.join(" | "))?;
        }
    }
    Ok(table)
}

/// The cells of the first table below the heading that begins so; its head first.
fn rows_below<'r>(report: &'r str, heading: &str) -> Result<Vec<Vec<&'r str>>> {
    let below = report.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let table = below.skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|'));
    let cells = |line: &'r str| {
        let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        inner.unwrap_or(line).split('|').map(str::trim).collect()
    };
    let rows: Vec<Vec<_>> = table.map(cells).collect();
    ensure!(rows.len() > 2, "no table below `{heading}`");
    Ok(rows)
}

/// The cells below these heads in each line of a table whose first row has the heads.
fn columns<'r, const N: usize>(
    rows: &[Vec<&'r str>],
    heads: [&str; N],
) -> Result<Vec<[&'r str; N]>> {
    let (first, lines) = rows.split_first().context("an empty table")?;
    let mut places = [0; N];
    for (place, head) in places.iter_mut().zip(heads) {
        let found = first.iter().position(|cell| *cell == head);
        *place = found.with_context(|| format!("no column `{head}`"))?;
    }
    let cells =
        |line: &Vec<&'r str>| places.map(|place| line.get(place).copied().unwrap_or_default());
    // Below the heads there is a rule.
    Ok(lines.iter().skip(1).map(cells).collect())
}

/// The line of a store, which the first cell names.
fn line_of<'r>(lines: &[[&'r str; 3]], store: &str, heading: &str) -> Result<[&'r str; 3]> {
    let line = lines.iter().find(|[name, ..]| *name == store);
    line.copied().with_context(|| format!("`{heading}` has no {store}"))
}

/// `x best peer` by workload and threads.
fn ratios(file: &str) -> Result<BTreeMap<(String, String), String>> {
    let report = read(file)?;
    let rows = rows_below(&report, "### Summary")?;
    let lines = columns(&rows, ["workload", "sessions", "threads", "x best peer"])?;
    let of_size = lines.into_iter().filter(|[_, sessions, ..]| *sessions == SESSIONS);
    Ok(of_size
        .map(|[workload, _, threads, ratio]| {
            ((workload.to_owned(), threads.to_owned()), ratio.to_owned())
        })
        .collect())
}

/// Where the subject stands with cold caches, with the times of both.
fn cold(file: &str) -> Result<String> {
    let report = read(file)?;
    let rows = rows_below(&report, "### Summary")?;
    let heads = [
        "workload",
        "sessions",
        "threads",
        "peers keep",
        "best peer",
        "x best peer",
        "x best cache",
    ];
    let mut table = String::from(
        "| | sessions | threads | sessile: median, p99 ns | best peer | its median, p99 ns \
         | x best peer | x best cache | peers keep |\n|---|--:|--:|--:|---|--:|--:|--:|---|\n",
    );
    for [workload, sessions, threads, keep, peer, ratio, cache] in columns(&rows, heads)? {
        let plural = if threads == "1" { "" } else { "s" };
        let heading = format!(
            "### {workload}, {sessions} sessions, {threads} thread{plural}, peers keep {keep}"
        );
        let section = rows_below(&report, &heading)?;
        let lines = columns(&section, ["", "p50 ns", "p99 ns"])?;
        let times = |store: &str| {
            let [_, median, p99] = line_of(&lines, store, &heading)?;
            anyhow::Ok(format!("{median}, {p99}"))
        };
        let (own, its) = (times("**sessile**")?, times(peer)?);
        writeln!(
            table,
            "| {workload} | {sessions} | {threads} | {own} | {peer} | {its} | {ratio} | {cache} | {keep} |"
        )?;
    }
    Ok(table)
}

fn allocators() -> Result<String> {
    let glibc = ratios("benches/results/tables.md")?;
    let mimalloc = ratios("benches/results/mimalloc/tables.md")?;
    let mut table = String::from("| workload | 1 thread | 2 threads |\n|---|--:|--:|\n");
    let of = |workload: &str, threads: &str| {
        let key = (workload.to_owned(), threads.to_owned());
        Some(format!("{} → {}", glibc.get(&key)?, mimalloc.get(&key)?))
    };
    for (workload, _) in mimalloc.keys().filter(|(_, threads)| threads == "1") {
        if let (Some(one), Some(two)) = (of(workload, "1"), of(workload, "2")) {
            writeln!(table, "| {workload} | {one} | {two} |")?;
        }
    }
    Ok(table)
}

/// Several server processes, as `handshakes --nodes` measured them.
fn fleet() -> Result<String> {
    let document: Fleet = serde_json::from_str(&read("benches/results/fleet.json")?)?;
    let mut table = String::from(
        "| | nodes | TLS | handshakes | resumed | of those that moved | p50, ms | p99, ms |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for run in document.runs {
        let percent = |part: u64, all: u64| part as f64 * 100.0 / all.max(1) as f64;
        let moved = match run.elsewhere {
            0 => "–".into(),
            all => format!("{:.1} %", percent(run.resumed_elsewhere, all)),
        };
        let resumed = percent(run.resumed, run.handshakes);
        let milliseconds = |quantile: &str| run.latency_us.get(quantile).map(|time| time / 1e3);
        let (p50, p99) = milliseconds("p50").zip(milliseconds("p99")).context("no latency")?;
        let FleetRun { setting, nodes, tls, handshakes, .. } = &run;
        writeln!(
            table,
            "| {} | {nodes} | {tls} | {handshakes} | {resumed:.1} % | {moved} | {p50:.1} | {p99:.1} |",
            setting.replace('-', " "),
        )?;
    }
    Ok(table)
}

#[derive(Deserialize)]
struct Fleet {
    runs: Vec<FleetRun>,
}

#[derive(Deserialize)]
struct FleetRun {
    setting: String,
    nodes: u64,
    tls: String,
    handshakes: u64,
    resumed: u64,
    elsewhere: u64,
    resumed_elsewhere: u64,
    latency_us: BTreeMap<String, f64>,
}

#[cfg(test)]
mod tests {
    use super::renewed;

    #[test]
    fn a_table_is_made_anew_and_the_rest_stays() {
        let typed = "# A\n\n<!-- table: counts -->\n\n| get | 1 |\n\n<!-- end of table -->\n\nB\n";
        let renewed = renewed(typed).unwrap();
        assert!(renewed.starts_with("# A\n\n<!-- table: counts -->\n\n| operation | sessions |"));
        assert!(
            renewed.ends_with("|\n\n<!-- end of table -->\n\nB\n")
                && renewed.contains("| get | 20480 |")
        );
        assert_eq!(super::renewed(&renewed).unwrap(), renewed);
    }

    #[test]
    fn a_table_without_an_end_or_a_source_is_a_fault() {
        assert!(renewed("<!-- table: counts -->\n| get | 1 |\n").is_err());
        assert!(renewed("<!-- table: weather -->\n<!-- end of table -->\n").is_err());
    }
}
