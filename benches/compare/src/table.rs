//! Which figures a table shows, and tables in plain text.

use crate::figures::{Placement, Table, median};
use crate::report::{Results, Row};
use crate::traces::HitRatios;
use std::fmt::Write as _;
use stores::workloads::Workload;

/// A figure of a row.
pub(crate) struct Column {
    pub(crate) head: &'static str,
    pub(crate) cell: fn(&Row) -> String,
}

/// A thing that may not be there.
pub(crate) fn or_dash(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.decimals$}"))
}

/// Nanoseconds with the digits that mean something.
fn nanos(value: Option<f64>) -> String {
    let decimals = usize::from(value.is_some_and(|value| value < 100.0));
    or_dash(value, decimals)
}

const NANOS: Column = Column { head: "ns/op", cell: |row| nanos(row.ns_per_op) };
const SPREAD: Column =
    Column { head: "spread %", cell: |row| or_dash(row.spread.map(|part| 100.0 * part), 0) };
const P50: Column = Column { head: "p50 ns", cell: |row| nanos(row.p50_ns) };
const P99: Column = Column { head: "p99 ns", cell: |row| nanos(row.p99_ns) };
const P999: Column = Column { head: "p99.9 ns", cell: |row| nanos(row.p999_ns) };
const WORST: Column =
    Column { head: "worst µs", cell: |row| or_dash(row.worst_ns.map(|nanos| nanos / 1e3), 1) };
const QUIET: Column = Column { head: "quiet p99", cell: |row| nanos(row.quiet_p99_ns) };
const HITS: Column = Column { head: "hit ratio", cell: |row| or_dash(row.hit_ratio, 3) };
const PEER: Column = Column { head: "x best peer", cell: |row| or_dash(row.vs_best_peer, 2) };
const CACHE: Column = Column { head: "x best cache", cell: |row| or_dash(row.vs_best_cache, 2) };
const FLOOR: Column = Column { head: "of floor", cell: |row| or_dash(row.vs_floor, 2) };
const BYTES: Column = Column { head: "B/entry", cell: |row| or_dash(row.bytes_per_entry, 1) };
const WHOLE: Column =
    Column { head: "with session", cell: |row| or_dash(row.bytes_with_session, 0) };

impl Table {
    /// What it is about.
    pub(crate) fn title(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        let mut title = format!(
            "{}, {} sessions, {} thread{plural}",
            self.workload, self.entries, self.threads
        );
        let _ = write!(title, ", peers keep {}", self.values);
        if self.is_oversubscribed {
            title += " (oversubscribed)";
        }
        if let Some(placement) = self.placement() {
            let is_left_out = |trip: &&f64| Placement::of(**trip) != placement;
            let left_out = self.round_trips.iter().filter(is_left_out).count();
            let trip = median(&self.round_trips);
            let _ = write!(title, ", line round trip {trip:.0} ns, {}", placement.name());
            if left_out > 0 {
                let _ =
                    write!(title, " ({left_out} of {} rounds left out)", self.round_trips.len());
            }
        }
        let part = self.part_delayed();
        if part > 0.02 {
            let _ = write!(title, ", {:.0} % of the time lost to other processes", 100.0 * part);
        }
        title
    }

    pub(crate) fn columns(&self) -> Vec<Column> {
        if self.workload.cold().is_some() {
            return vec![P50, SPREAD, P99, HITS, PEER, CACHE, FLOOR];
        }
        match self.workload {
            Workload::Tail => vec![P50, P99, P999, WORST, HITS, PEER, FLOOR],
            Workload::Fill | Workload::Grow => {
                vec![NANOS, SPREAD, P99, P999, WORST, BYTES, WHOLE, PEER, FLOOR]
            }
            Workload::Flush => vec![NANOS, SPREAD, P99, QUIET, P999, WORST, PEER, FLOOR],
            Workload::Tls12 | Workload::Tls13 => {
                vec![NANOS, SPREAD, HITS, BYTES, WHOLE, PEER, CACHE, FLOOR]
            }
            _ => vec![NANOS, SPREAD, HITS, BYTES, WHOLE, PEER, FLOOR],
        }
    }
}

/// A table in plain text.
pub(crate) fn text_of(results: &Results, table: &Table) -> String {
    let columns = table.columns();
    let mut text = format!("{}\n  {:<16}", table.title(), "");
    for column in &columns {
        let _ = write!(text, " {:>12}", column.head);
    }
    for row in results.rows_of(table) {
        let _ = write!(text, "\n  {:<16}", row.peer);
        for column in &columns {
            let _ = write!(text, " {:>12}", (column.cell)(&row));
        }
    }
    text.push('\n');
    text
}

/// The hit ratios of one trace in plain text.
pub(crate) fn text_of_trace(trace: &HitRatios) -> String {
    let mut text = format!("{}, {} events, capacity {}", trace.trace, trace.events, trace.capacity);
    let lru =
        trace.policies.iter().find(|policy| policy.name == "LRU").and_then(|lru| lru.hit_ratio);
    let _ = write!(text, "\n  {:<18} {:>12} {:>12} {:>12}", "", "hit ratio", "of LRU", "holds");
    for policy in &trace.policies {
        let of_lru =
            policy.hit_ratio.zip(lru.filter(|&lru| lru > 0.0)).map(|(ratio, lru)| ratio / lru);
        let (ratio, of_lru) = (or_dash(policy.hit_ratio, 4), or_dash(of_lru, 3));
        let holds = policy.holds.map_or("-".into(), |holds| holds.to_string());
        let _ = write!(text, "\n  {:<18} {ratio:>12} {of_lru:>12} {holds:>12}", policy.name);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::text_of_trace;
    use crate::peers::Values;
    use crate::traces::{Event, Op, compare};

    /// The lines of a trace of 400 events on ids that never return.
    fn scan(op: Op) -> Vec<String> {
        let trace: Vec<_> = (0..400).map(|id| Event { op, id }).collect();
        let text =
            text_of_trace(&compare("scan".into(), &trace, 32, &Values::Session.candidates()));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        text.lines()
            .skip(2)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn where_nothing_is_hit_or_looked_up_there_is_a_dash() {
        assert_eq!(
            scan(Op::GetOrAdd)[..3],
            ["Belady 0.0000 - -", "LRU 0.0000 - -", "FIFO 0.0000 - -"]
        );
        assert_eq!(scan(Op::Add)[..3], ["Belady - - -", "LRU - - -", "FIFO - - -"]);
    }
}
