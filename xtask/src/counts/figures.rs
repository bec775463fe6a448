//! What one run of an operation costs on average.

use super::callgrind::Instructions;
use super::shim::Places;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    SharedWrites,
    ReadModifyWrites,
    OwnWrites,
    Loads,
    Locked,
    Instructions,
}

impl Column {
    pub(super) const ALL: [Self; 6] = [
        Self::SharedWrites,
        Self::ReadModifyWrites,
        Self::OwnWrites,
        Self::Loads,
        Self::Locked,
        Self::Instructions,
    ];

    /// The share by which a figure may grow. All are the same in every run and in every folder.
    /// Instructions of adds are up to 0.16 % more or less under another key of the hash: less than
    /// that is no change of the code that is worth a word.
    pub(super) fn tolerance(self) -> f64 {
        match self {
            Self::Instructions => 0.002,
            _ => 0.0,
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SharedWrites => "shared-line writes",
            Self::ReadModifyWrites => "read-modify-writes",
            Self::OwnWrites => "own writes",
            Self::Loads => "loads",
            Self::Locked => "locked instructions",
            Self::Instructions => "instructions",
        })
    }
}

impl Figures {
    pub(super) fn get(&self, column: Column) -> Option<f64> {
        match column {
            Column::SharedWrites => Some(self.shared_writes),
            Column::ReadModifyWrites => Some(self.read_modify_writes),
            Column::OwnWrites => Some(self.own_writes),
            Column::Loads => Some(self.loads),
            Column::Locked => self.locked,
            Column::Instructions => self.instructions,
        }
    }

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
