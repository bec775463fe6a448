//! Bytes per session of a full store: without the session, as the allocator was asked for them, and
//! with it, as the system supplied them.
//!
//! The system's are the pages of a process that has written to them. Each store is therefore filled
//! in a process of its own, where nothing was freed before that it could fill again.

use crate::allocator::bytes_kept;
use crate::dyn_store::{Candidate, Role, Start};
use crate::peers::Values;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::process::{Command, Stdio};

/// Of a store, per session that it holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Weight {
    /// What was asked for beyond the session; missing where the store allocates elsewhere.
    pub(crate) beside_session: Option<f64>,
    /// All pages, with the session's; missing where the system does not tell.
    pub(crate) with_session: Option<f64>,
}

/// By name; stores that hold nothing are missing.
pub(crate) type Weights = HashMap<&'static str, Weight>;

/// Weighs a full store of each candidate.
pub(crate) fn weigh(candidates: &[Candidate], values: Values, entries: u64) -> Weights {
    let mut weights = Weights::new();
    for candidate in candidates.iter().filter(|candidate| candidate.role != Role::Harness) {
        match weigh_elsewhere(candidate.name, values, entries) {
            Ok(weight) => _ = weights.insert(candidate.name, weight),
            Err(error) => eprintln!("compare: {} has no weight: {error:#}", candidate.name),
        }
    }
    weights
}

/// Asks a new process for [`weigh_here`].
fn weigh_elsewhere(name: &str, values: Values, entries: u64) -> Result<Weight> {
    let values = values.to_possible_value().context("all values have names")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--weigh", name, "--values", values.get_name()])
        .args(["--entries", &entries.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "its process ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Fills a store and prints its weight, for the process that asked.
pub(crate) fn weigh_here(name: &str, values: Values, entries: u64) -> Result<()> {
    let candidates = values.candidates();
    let candidate = candidates.iter().find(|candidate| candidate.name == name);
    let candidate = candidate.with_context(|| format!("no store is named '{name}'"))?;
    let before = bytes_written_to();
    let (store, asked) = bytes_kept(|| {
        let store = candidate.build(entries as usize, Start::Sized);
        store.fill(entries);
        store
    });
    let stored = store.stored().map_or(entries as f64, |stored| stored as f64);
    let supplied = before.zip(bytes_written_to()).map(|(before, after)| after - before);
    let beside = asked as f64 / stored - store.session_bytes() as f64;
    let weight = Weight {
        // A store that asks for nothing to find its sessions by does so elsewhere.
        beside_session: (beside >= 1.0).then_some(beside),
        with_session: supplied.map(|bytes| bytes / stored),
    };
    println!("{}", serde_json::to_string(&weight)?);
    Ok(())
}

/// Bytes of this process's pages that belong to no file.
fn bytes_written_to() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find(|line| line.starts_with("Anonymous:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024.0)
}
