//! The census as a table of Markdown.

use super::lines::{COLUMNS, Census, Column};
use super::{OPERATIONS, STORES, SUBJECT};

/// For each operation a line for each store, and how many times the subject's figures are those of
/// the peer that has the fewest.
pub(in crate::counts) fn for_document(all: &[Census]) -> String {
    let heads: Vec<_> = COLUMNS.iter().map(|column| format!(" {} |", column.head)).collect();
    let mut table = format!(
        "| operation | store |{}\n|---|---|{}\n",
        heads.concat(),
        "--:|".repeat(heads.len())
    );
    for (_, operation) in OPERATIONS {
        let of = |store: &str| {
            all.iter().find(|census| census.operation == operation && census.store == store)
        };
        for census in STORES.into_iter().filter_map(of) {
            let cells = COLUMNS.map(|column| format!(" {} |", (column.figure)(census)));
            table += &format!("| {operation} | {} |{}\n", census.store, cells.concat());
        }
        let Some(subject) = of(SUBJECT) else { continue };
        let ratios = COLUMNS.map(|Column { figure, .. }| {
            let peers = STORES.into_iter().filter(|store| *store != SUBJECT).filter_map(of);
            let least = peers.map(figure).min().filter(|least| *least > 0);
            least.map_or(" - |".into(), |least| {
                format!(" {:.1} x |", figure(subject) as f64 / least as f64)
            })
        });
        table += &format!("| {operation} | *{SUBJECT} of the least* |{}\n", ratios.concat());
    }
    table
}
