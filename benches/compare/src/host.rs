//! The machine that figures were taken on.

use std::fs;
use std::thread;

/// Processor, number of processors, system.
pub(crate) fn describe() -> String {
    let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.into());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let system = system().unwrap_or_else(|| std::env::consts::OS.into());
    format!("{processor}, {processors} processors, {system}")
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.trim().to_owned())
}

fn system() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", release.trim()))
}
