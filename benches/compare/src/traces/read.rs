//! Public trace files.

use super::{Event, Op};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// How a trace file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One id per line, of any kind.
    Ids,
    /// ARC (`.lis`): first block, number of blocks, and two fields that do not matter.
    Arc,
    /// LIRS (`.trc`): one block per line; lines with `*` separate.
    Lirs,
}

impl Format {
    /// By the extension that the published files have.
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("lis") => Self::Arc,
            Some("trc") => Self::Lirs,
            _ => Self::Ids,
        }
    }
}

/// Ids in the order of their first appearance.
#[derive(Default)]
struct Dense<K>(HashMap<K, u32>);

impl<K: std::hash::Hash + Eq> Dense<K> {
    fn request(&mut self, key: K) -> Event {
        let next = self.0.len() as u32;
        Event { op: Op::GetOrAdd, id: *self.0.entry(key).or_insert(next) }
    }
}

/// Reads a trace; each line is a request that stores what is missing.
pub(crate) fn read(path: &Path, format: Option<Format>) -> Result<Vec<Event>> {
    let format = format.unwrap_or_else(|| Format::of(path));
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut names = Dense::<String>::default();
    let mut blocks = Dense::<u64>::default();
    let mut trace = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        let line = line.trim();
        if line.is_empty() || (format == Format::Lirs && line.starts_with('*')) {
            continue;
        }
        if format == Format::Arc {
            let (first, count) = extent(line).with_context(|| {
                format!("{} line {}: not an ARC line", path.display(), number + 1)
            })?;
            trace.extend((first..first.saturating_add(count)).map(|block| blocks.request(block)));
        } else {
            trace.push(names.request(line.to_owned()));
        }
    }
    if trace.is_empty() {
        bail!("{} holds no requests", path.display());
    }
    Ok(trace)
}

/// First block and number of blocks.
fn extent(line: &str) -> Result<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let mut field = || fields.next().context("too short")?.parse::<u64>().context("not a number");
    Ok((field()?, field()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_formats() {
        let path = std::env::temp_dir().join(format!("compare-trace-{}", std::process::id()));
        let ids = |text: &str, format| {
            std::fs::write(&path, text).unwrap();
            read(&path, Some(format))
                .map(|trace| trace.iter().map(|event| event.id).collect::<Vec<_>>())
        };
        assert_eq!(ids("a\nb\n\na\n", Format::Ids).unwrap(), [0, 1, 0]);
        assert_eq!(ids("10 3 0 1\n11 1 0 2\n", Format::Arc).unwrap(), [0, 1, 2, 1]);
        assert_eq!(ids("7\n*\n8\n7\n", Format::Lirs).unwrap(), [0, 1, 0]);
        assert!(ids("x 1\n", Format::Arc).is_err());
        assert!(ids("\n", Format::Ids).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
