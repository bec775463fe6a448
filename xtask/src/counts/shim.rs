//! Atomic accesses, counted by the cache itself: `src/sync/counts`.

use super::driver::{self, Access, Kind};
use super::owner::Owners;
use crate::command::root;
use crate::verify::child;
use crate::verify::context::PartContext;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(600);

/// The accesses of one operation, with whose lines they touch.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) operation: String,
    pub(super) sessions: usize,
    pub(super) times: u64,
    pub(super) places: Vec<Place>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) access: Access,
    /// The type whose method it is in, or the function.
    pub(super) owner: String,
    /// Whether other threads read or write the line while this one works.
    pub(super) is_shared: bool,
}

impl Places {
    /// The accesses that `is_wanted`, in all runs.
    pub(super) fn sum(&self, is_wanted: impl Fn(&Place) -> bool) -> u64 {
        self.places.iter().filter(|place| is_wanted(place)).map(|place| place.access.times).sum()
    }

    pub(super) fn shared_writes(&self) -> u64 {
        self.sum(|place| place.access.kind.writes() && place.is_shared)
    }

    pub(super) fn own_writes(&self) -> u64 {
        self.sum(|place| place.access.kind.writes() && !place.is_shared)
    }

    pub(super) fn read_modify_writes(&self) -> u64 {
        self.sum(|place| place.access.kind == Kind::ReadModifyWrite)
    }

    pub(super) fn loads(&self) -> u64 {
        self.sum(|place| place.access.kind == Kind::Load)
    }
}

/// Runs the counting build.
pub(super) fn run(binary: &Path, context: &PartContext) -> Result<Vec<Places>> {
    let mut command = Command::new(binary);
    command.args(["--clock", "still", "--processor", "0"]).current_dir(root());
    if let Some(filter) = context.filter {
        command.args(["--operation", filter]);
    }
    let ended = child::run(&mut command, Some(LIMIT), &context.log)?;
    if !ended.is_success() {
        bail!("{}", ended.tail());
    }
    let mut owners = Owners::new(root());
    let mut all = Vec::new();
    for line in driver::lines(&ended.stdout)? {
        if line.accesses.is_empty() {
            bail!("the cache counted nothing in `{}`", line.operation);
        }
        let place = |access: Access| -> Result<Place> {
            let owner = owners.of(&access.file, access.line)?;
            Ok(Place { is_shared: !owner.is_thread(), owner: owner.name, access })
        };
        let places = line.accesses.into_iter().map(place).collect::<Result<_>>()?;
        all.push(Places {
            operation: line.operation,
            sessions: line.sessions,
            times: line.times,
            places,
        });
    }
    Ok(all)
}
