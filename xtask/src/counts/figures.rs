//! What one run of an operation costs on average.

use super::callgrind::Instructions;
use super::shim::Places;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The averages of one operation, as they stand in the file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figures {
    pub(super) operation: String,
    pub(super) sessions: usize,
    /// Writes to lines that other threads use, read-modify-writes included.
    pub(super) shared_writes: f64,
    /// Read-modify-writes by the cache, on whosoever's lines.
    pub(super) read_modify_writes: f64,
    /// Writes to lines of the thread itself, read-modify-writes included.
    pub(super) own_writes: f64,
    pub(super) loads: f64,
    /// Locked instructions of cache, crossbeam-epoch and standard library together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) locked: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instructions: Option<f64>,
    /// Of the system's libraries: the allocator. Shown, and compared with nothing.
    #[serde(skip)]
    pub(super) foreign: Option<f64>,
}

/// A column of the figures.
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) figure: fn(&Figures) -> Option<f64>,
    /// The share by which a figure may grow. All are the same in every run and in every folder.
    pub(super) tolerance: f64,
}

const fn exact(head: &'static str, figure: fn(&Figures) -> Option<f64>) -> Column {
    Column { head, figure, tolerance: 0.0 }
}

pub(super) const SHARED_WRITES: Column = exact("shared-line writes", |one| Some(one.shared_writes));
pub(super) const LOADS: Column = exact("loads", |one| Some(one.loads));
pub(super) const LOCKED: Column = exact("locked instructions", |one| one.locked);
/// Those of adds are up to 0.16 % more or less under another key of the hash: less than that is no
/// change of the code that is worth a word.
pub(super) const INSTRUCTIONS: Column =
    Column { tolerance: 0.002, ..exact("instructions", |one| one.instructions) };

pub(super) const COLUMNS: [Column; 6] = [
    SHARED_WRITES,
    exact("read-modify-writes", |one| Some(one.read_modify_writes)),
    exact("own writes", |one| Some(one.own_writes)),
    LOADS,
    LOCKED,
    INSTRUCTIONS,
];

impl Column {
    pub(super) fn is_instructions(&self) -> bool {
        self.head == INSTRUCTIONS.head
    }
}

impl Figures {
    pub(super) fn is_of(&self, other: &Self) -> bool {
        (&self.operation, self.sessions) == (&other.operation, other.sessions)
    }
}

/// The averages over all runs.
pub(super) fn join(
    operations: &[Places],
    instructions: Option<&[Instructions]>,
) -> Result<Vec<Figures>> {
    let mut all = Vec::new();
    for (nth, places) in operations.iter().enumerate() {
        let instructions = instructions.and_then(|all| all.get(nth));
        if let Some(Instructions { locked, .. }) = instructions {
            // Else one of the two counts is blind.
            ensure!(
                *locked >= places.read_modify_writes(),
                "{}: {locked} locked instructions are fewer than {} read-modify-writes",
                places.operation,
                places.read_modify_writes()
            );
        }
        let average = |sum: u64| sum as f64 / places.times as f64;
        all.push(Figures {
            operation: places.operation.clone(),
            sessions: places.sessions,
            shared_writes: average(places.shared_writes()),
            read_modify_writes: average(places.read_modify_writes()),
            own_writes: average(places.own_writes()),
            loads: average(places.loads()),
            locked: instructions.map(|all| average(all.locked)),
            instructions: instructions.map(|all| average(all.own)),
            foreign: instructions.map(|all| average(all.foreign)),
        });
    }
    Ok(all)
}
