//! What the figures were taken on.

use crate::{allocator, host};
use std::fmt::{self, Display, Formatter};
use std::fs;

/// The machine, the build and the command.
pub(crate) struct Machine {
    host: String,
    rustc: &'static str,
    commit: &'static str,
    pub(crate) allocator: &'static str,
    command: String,
    load: Option<String>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let command: Vec<_> = std::env::args().skip(1).collect();
        Self {
            host: host::describe(),
            rustc: env!("COMPARE_RUSTC"),
            commit: env!("COMPARE_COMMIT"),
            allocator: allocator::NAME,
            command: format!("cargo run --release -p compare -- {}", command.join(" "))
                .trim_end()
                .to_owned(),
            load: load(),
        }
    }
}

/// Who else is running.
fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

/// Bytes of memory that may be used, where the system tells.
pub(crate) fn memory_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; {}; commit {}; {}; `{}`",
            self.host, self.rustc, self.commit, self.allocator, self.command
        )?;
        match &self.load {
            Some(load) => write!(f, "; load average at the start {load}"),
            None => Ok(()),
        }
    }
}
