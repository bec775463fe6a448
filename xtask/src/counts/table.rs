//! The figures as tables for people.

use super::figures::{COLUMNS, Column, Figures, INSTRUCTIONS, LOADS, LOCKED, SHARED_WRITES};
use super::shim::Places;
use comfy_table::{CellAlignment, LineStyle, Table, presets};

/// A line for each operation; a figure that differs shows what it `was`.
pub(super) fn of_figures(
    figures: &[Figures],
    was: impl Fn(&Figures, &Column) -> Option<f64>,
) -> Table {
    let mut table = new(&[
        "operation",
        "sessions",
        "shared-line\nwrites",
        "read-modify-\nwrites",
        "own\nwrites",
        "loads",
        "locked\ninstructions",
        "not by\nthe cache",
        "instructions",
        "by the\nallocator",
    ]);
    for line in figures {
        let cells = COLUMNS.map(|column| {
            let now = number((column.figure)(line), digits(&column));
            match was(line, &column) {
                Some(was) => format!("{now} (was {})", number(Some(was), digits(&column))),
                None => now,
            }
        });
        let [shared, exchanges, own, loads, locked, instructions] = cells;
        let others = line.locked.map(|locked| locked - line.read_modify_writes);
        table.add_row([
            line.operation.clone(),
            line.sessions.to_string(),
            shared,
            exchanges,
            own,
            loads,
            locked,
            number(others, 4),
            instructions,
            number(line.foreign, 1),
        ]);
    }
    align(&mut table, 1..10);
    table
}

/// A line for each place that writes.
pub(super) fn of_places(operations: &[Places]) -> Table {
    let mut table =
        new(&["operation", "sessions", "place", "in", "line", "read-modify-writes", "stores"]);
    for operation in operations {
        for place in operation.places.iter().filter(|place| place.access.kind.writes()) {
            let average = number(Some(place.access.times as f64 / operation.times as f64), 4);
            let is_store = place.access.kind == super::driver::Kind::Store;
            let (exchanges, stores) =
                if is_store { (String::new(), average) } else { (average, String::new()) };
            table.add_row([
                operation.operation.clone(),
                operation.sessions.to_string(),
                format!("{}:{}", place.access.file, place.access.line),
                place.owner.clone(),
                (if place.is_shared { "shared" } else { "own" }).into(),
                exchanges,
                stores,
            ]);
        }
    }
    align(&mut table, 5..7);
    table
}

/// A line of Markdown for each operation.
pub(super) fn for_document(figures: &[Figures]) -> String {
    let columns = [INSTRUCTIONS, LOCKED, LOADS, SHARED_WRITES];
    let heads: Vec<_> = columns.iter().map(|column| format!(" {} |", column.head)).collect();
    let mut table = format!(
        "| operation | sessions |{}\n|---|--:|{}\n",
        heads.concat(),
        "--:|".repeat(columns.len())
    );
    for line in figures {
        let cells = columns.each_ref().map(|column| {
            let digits = usize::from(!column.is_instructions());
            let shown = (column.figure)(line).map(|value| format!(" {value:.digits$} |"));
            shown.unwrap_or(" - |".into())
        });
        table += &format!("| {} | {} |{}\n", line.operation, line.sessions, cells.concat());
    }
    table
}

fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.style_mut().row_separator = LineStyle::none();
    table.set_header(header);
    table
}

fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for nth in columns {
        if let Some(column) = table.column_mut(nth) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// All decimals of an exact average, one of an instruction count.
fn digits(column: &Column) -> usize {
    if column.is_instructions() { 1 } else { 4 }
}

/// Without zeros at the end.
fn number(value: Option<f64>, digits: usize) -> String {
    let Some(value) = value else { return "-".into() };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_lose_zeros_and_nothing_else() {
        assert_eq!(number(Some(20.0), 4), "20");
        assert_eq!(number(Some(2.4599), 4), "2.4599");
        assert_eq!(number(Some(0.0), 4), "0");
        assert_eq!(number(None, 4), "-");
    }
}
