//! Distinct lines of memory that one run of an operation touches: data, code and stack, of Sessile
//! and of three peers as a program would write them.
//!
//! The program `census` of `benches/stores` does an operation again and again between two marks;
//! `tracer` runs it instruction by instruction between them, `access` says what each touches,
//! `lines` makes medians of it. The allocator's instructions and lines are among them.

mod access;
mod lines;
mod table;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tracer;

pub(super) use lines::{Census, complaints};
pub(super) use table::for_document;

use crate::command::root;
use crate::verify::context::PartContext;
use crate::verify::workers;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

const SUBJECT: &str = "sessile";
/// As the program names them.
const STORES: [&str; 4] = [SUBJECT, "dashmap", "rwlock-hashbrown", "scc-cache"];
/// As the program names them and as the tables do.
const OPERATIONS: [(&str, &str); 6] = [
    ("get", "get"),
    ("miss", "miss"),
    ("replace", "add, replacing"),
    ("add", "add, at capacity"),
    ("take", "take"),
    ("tls13", "TLS 1.3: 2 adds, 1 take"),
];
const SESSIONS: u64 = 20_480;
/// Runs of which the median is taken.
const TIMES: usize = 51;

/// What is missing for it, if something is.
pub(super) fn missing() -> Option<&'static str> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return (!tracer::is_permitted()).then_some("the permission to trace a process");
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    return Some("x86-64 under Linux");
}

/// Traces every operation on every store, as many at a time as there are processors, each as if it
/// had one.
pub(super) fn run(binary: &Path, context: &PartContext) -> Result<Vec<Census>> {
    let wanted = OPERATIONS.iter().filter(|(_, name)| context.wants(name));
    let jobs: Vec<_> =
        wanted.flat_map(|operation| STORES.map(|store| (store, operation))).collect();
    context.progress.expect(jobs.len());
    workers::each(workers::cores(), jobs, |worker, (store, (value, name))| {
        let mut command = Command::new(binary);
        command.args(["--store", store, "--operation", value]).current_dir(root());
        command.args(["--sessions", &SESSIONS.to_string(), "--times", &TIMES.to_string()]);
        let runs = trace(&mut command, worker)?;
        context.progress.step(&format!("{name}, {store}"));
        Ok(Census::of(store, name, SESSIONS, &runs))
    })
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn trace(command: &mut Command, worker: usize) -> Result<Vec<lines::Lines>> {
    tracer::keep_to(worker)?;
    let runs = tracer::trace(command)?;
    anyhow::ensure!(runs.len() == TIMES, "{} of {TIMES} runs were traced", runs.len());
    Ok(runs)
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn trace(_command: &mut Command, _worker: usize) -> Result<Vec<lines::Lines>> {
    anyhow::bail!("nothing is traced on this platform")
}
