//! Instructions, counted by callgrind: each of the program's own with its address, so that those
//! that lock can be told.
//!
//! callgrind counts while `measure` runs. Instructions of the program's file alone are compared: it
//! holds the cache and crossbeam-epoch. What other files execute is the system's allocator.

use super::locked::Code;
use super::shim::Places;
use crate::command::root;
use crate::verify::context::PartContext;
use crate::verify::{child, tools, workers};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(600);

/// One operation's instructions, in all runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Instructions {
    /// Of the program.
    pub(super) own: u64,
    /// Of the system's libraries.
    pub(super) foreign: u64,
    /// Of the program's, those that lock.
    pub(super) locked: u64,
}

/// What is missing for it, if something is.
pub(super) fn missing() -> Option<&'static str> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some("x86-64 under Linux");
    }
    (!tools::has_valgrind()).then_some("valgrind")
}

/// Runs the shipped build for each of the operations, as many at a time as there are processors.
pub(super) fn run(
    binary: &Path,
    operations: &[Places],
    context: &PartContext,
) -> Result<Vec<Instructions>> {
    let code = Code::read(binary)?;
    context.progress.expect(operations.len());
    workers::each(
        workers::cores(),
        operations.iter().enumerate().collect(),
        |worker, (nth, operation)| {
            let out = root().join(format!("target/counts/callgrind.{nth}.out"));
            let mut command = command(binary, operation, &out);
            let report =
                run_one(command.args(["--processor", &worker.to_string()]), &out, context)?;
            context
                .progress
                .step(&format!("{}, {} sessions", operation.operation, operation.sessions));
            Report::read(&report, binary)?.instructions(&code)
        },
    )
}

fn command(binary: &Path, operation: &Places, out: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--toggle-collect=micro::measured::measure"]);
    command.args([
        "--dump-instr=yes",
        "--dump-line=no",
        "--compress-strings=no",
        "--compress-pos=no",
    ]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(binary).args(["--clock", "still", "--exact", "--operation", &operation.operation]);
    command.args(["--sessions", &operation.sessions.to_string()]).current_dir(root());
    command
}

/// Runs it and returns what it wrote to `out`.
fn run_one(command: &mut Command, out: &Path, context: &PartContext) -> Result<String> {
    let ended = child::run(command, Some(LIMIT), &context.log)?;
    if !ended.is_success() {
        bail!("{}", ended.tail());
    }
    let text =
        fs::read_to_string(out).with_context(|| format!("callgrind wrote no {}", out.display()))?;
    fs::remove_file(out).with_context(|| format!("cannot remove {}", out.display()))?;
    Ok(text)
}

/// How often each instruction was executed.
#[derive(Debug, Default, PartialEq)]
struct Report {
    /// Of the program, by address.
    own: BTreeMap<u64, u64>,
    foreign: u64,
}

impl Report {
    /// Reads callgrind's format, with positions of instructions and without compression. The line
    /// after a `calls=` tells what the called function cost, which is told again where it is.
    fn read(text: &str, program: &Path) -> Result<Self> {
        let mut report = Self::default();
        let (mut is_own, mut is_callee, mut total) = (false, false, None);
        for line in text.lines() {
            if let Some(object) = line.strip_prefix("ob=") {
                is_own = Path::new(object) == program;
            } else if let Some(sum) = line.strip_prefix("totals: ") {
                total = Some(sum.trim().parse().with_context(|| format!("`{line}`"))?);
            } else if line.starts_with("calls=") {
                is_callee = true;
            } else if let Some(position) = line.strip_prefix("0x")
                && !std::mem::take(&mut is_callee)
            {
                let (address, times) =
                    cost(position).with_context(|| format!("not a cost: `{line}`"))?;
                let count = if is_own {
                    report.own.entry(address).or_default()
                } else {
                    &mut report.foreign
                };
                *count += times;
            }
        }
        let found = report.own.values().sum::<u64>() + report.foreign;
        ensure!(
            total == Some(found),
            "{found} instructions are not callgrind's total of {total:?}"
        );
        ensure!(!report.own.is_empty(), "callgrind did not see the operation");
        Ok(report)
    }

    fn instructions(&self, code: &Code) -> Result<Instructions> {
        let mut locked = 0;
        for (address, times) in &self.own {
            locked += if code.is_locked(*address)? { *times } else { 0 };
        }
        Ok(Instructions { own: self.own.values().sum(), foreign: self.foreign, locked })
    }
}

/// An address without its prefix, and a number of executions.
fn cost(line: &str) -> Option<(u64, u64)> {
    let (address, times) = line.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, times.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ob=/p/counts
fn=measure
0x10 5
0x14 7
cob=/lib/libc.so
cfn=malloc
calls=3 0x99
0x18 1000
0x1c 1

ob=/lib/libc.so
fn=malloc
0x99 1000

ob=/p/counts
fn=measure
0x10 2
totals: 1015
";

    #[test]
    fn the_cost_of_a_callee_is_counted_once() {
        let report = Report::read(TEXT, Path::new("/p/counts")).unwrap();
        assert_eq!(report.own, BTreeMap::from([(0x10, 7), (0x14, 7), (0x1c, 1)]));
        assert_eq!(report.foreign, 1000);
    }

    #[test]
    fn a_report_that_does_not_add_up_is_an_error() {
        let text = TEXT.replace("totals: 1015", "totals: 1016");
        assert!(Report::read(&text, Path::new("/p/counts")).is_err());
        assert!(Report::read(TEXT, Path::new("/p/another")).is_err());
        assert!(Report::read(&TEXT.replace("0x14 7", "0x14 x"), Path::new("/p/counts")).is_err());
    }
}
