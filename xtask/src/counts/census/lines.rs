//! The distinct lines of one run of an operation, and the medians of many.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What one run touches.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) instructions: u64,
    pub(super) data: BTreeSet<u64>,
    pub(super) written: BTreeSet<u64>,
    pub(super) code: BTreeSet<u64>,
    /// Read or written.
    pub(super) stack: BTreeSet<u64>,
}

/// The medians of one operation on one store, as they stand in the file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::counts) struct Census {
    pub(super) store: String,
    pub(super) operation: String,
    pub(super) sessions: u64,
    pub(super) instructions: u64,
    /// Lines outside of the stack.
    pub(super) data: u64,
    /// Of these, those that are written.
    pub(super) written: u64,
    pub(super) code: u64,
    pub(super) stack: u64,
}

/// A figure, and by how much it may grow before it is a complaint.
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) figure: fn(&Census) -> u64,
    /// At least this much,
    least: u64,
    /// and this part of what it was.
    part: u64,
}

const fn column(head: &'static str, figure: fn(&Census) -> u64, least: u64, part: u64) -> Column {
    Column { head, figure, least, part }
}

/// All are the same in every run of one program. Where functions and constants begin within their
/// lines is the linker's choice. Built under another name of the crate (`-C metadata`), Sessile had
/// one code line of 28 more, up to three data lines of 71 fewer, and else the same. After a change
/// of other functions that left every instruction count as it was, it had six code lines of 73 more.
/// Which of the allocator's functions run is the choice of the system's library.
pub(super) const COLUMNS: [Column; 5] = [
    column("instructions", |census| census.instructions, 2, 256),
    column("data lines", |census| census.data, 1, 20),
    column("written", |census| census.written, 1, 32),
    column("code lines", |census| census.code, 2, 10),
    column("stack lines", |census| census.stack, 1, 32),
];

impl Census {
    pub(super) fn of(store: &str, operation: &str, sessions: u64, runs: &[Lines]) -> Self {
        let median = |figure: fn(&Lines) -> usize| {
            let mut figures: Vec<_> = runs.iter().map(figure).collect();
            figures.sort_unstable();
            figures.get(figures.len() / 2).map_or(0, |figure| *figure as u64)
        };
        Self {
            store: store.to_owned(),
            operation: operation.to_owned(),
            sessions,
            instructions: median(|lines| lines.instructions as usize),
            data: median(|lines| lines.data.len()),
            written: median(|lines| lines.written.len()),
            code: median(|lines| lines.code.len()),
            stack: median(|lines| lines.stack.len()),
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        (&self.store, &self.operation, self.sessions)
            == (&other.store, &other.operation, other.sessions)
    }
}

/// What grew in the subject's figures since those of the file; peers are shown only. Operations of
/// the file that were not counted are missing, unless a filter is given.
pub(in crate::counts) fn complaints(
    known: &[Census],
    now: &[Census],
    is_filtered: bool,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for census in now.iter().filter(|census| census.store == super::SUBJECT) {
        let name = format!("{} ({} sessions, lines)", census.operation, census.sessions);
        let Some(before) = known.iter().find(|known| known.is_of(census)) else {
            complaints.push(format!("{name}: not in the file"));
            continue;
        };
        for Column { head, figure, least, part } in COLUMNS {
            let (was, is) = (figure(before), figure(census));
            if is > was + least.max(was / part) {
                complaints.push(format!("{name}: {head} grew from {was} to {is}"));
            }
        }
    }
    let is_gone = |known: &&Census| !now.iter().any(|census| census.is_of(known));
    for gone in known.iter().filter(|known| !is_filtered && is_gone(known)) {
        complaints
            .push(format!("{} on {}: its lines were not counted", gone.operation, gone.store));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(data: u64) -> Lines {
        Lines { instructions: 100, data: (0..data).collect(), ..Lines::default() }
    }

    fn census(store: &str, data: u64) -> Census {
        Census::of(store, "get", 20_480, &[run(data)])
    }

    #[test]
    fn the_median_is_that_of_the_runs() {
        let census = Census::of("sessile", "get", 20_480, &[run(9), run(1000), run(8)]);
        assert_eq!((census.data, census.instructions, census.code), (9, 100, 0));
    }

    #[test]
    fn what_grew_is_a_complaint_and_what_fell_is_none() {
        let known = [census("sessile", 20)];
        let with = |data| complaints(&known, &[census("sessile", data)], false);
        assert_eq!(with(22), ["get (20480 sessions, lines): data lines grew from 20 to 22"]);
        assert!(with(21).is_empty() && with(10).is_empty());
    }

    #[test]
    fn peers_are_shown_and_not_judged() {
        let known = [census("dashmap", 20)];
        assert!(complaints(&known, &[census("dashmap", 40)], false).is_empty());
        assert_eq!(complaints(&known, &[], false).len(), 1);
        assert!(complaints(&known, &[], true).is_empty());
        assert_eq!(complaints(&[], &[census("sessile", 1)], false).len(), 1);
    }
}
