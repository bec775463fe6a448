//! The command line.

use crate::dyn_store::{Candidate, Role};
use crate::peers::Values;
use crate::traces::Format;
use anyhow::{Context, Result, bail};
use clap::builder::RangedU64ValueParser;
use clap::error::ErrorKind;
use clap::{Parser, ValueEnum, value_parser};
use std::fs::{self, OpenOptions};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::exit;
use stores::workloads::Workload;

/// Runs Sessile beside every cache it is measured against, round by round, and prints a table per
/// workload.
///
/// Times are nanoseconds per operation and thread. "x best peer" is how many times faster a store
/// is than the fastest real one, "of floor" how many times slower than a table whose ids name their
/// slots. Compare within one table only.
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
pub(crate) struct Options {
    /// About two minutes instead of about ten: fewer rounds, and the large stores in the three main
    /// workloads only
    #[arg(long)]
    pub(crate) quick: bool,
    /// Workloads, by name; `cold` is all of those with cold caches, `hot` is hot-get and hot-read,
    /// `traces` the hit ratios [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_selection)]
    pub(crate) workload: Vec<Selection>,
    /// Peers, by name or the beginning of it; `none` for the floors alone [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// What the peers keep whose values one can choose; a table for each
    #[arg(
        long,
        value_name = "KINDS",
        value_enum,
        value_delimiter = ',',
        default_value = "session"
    )]
    pub(crate) values: Vec<Values>,
    /// Threads; more than there are processors is labelled
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,2", value_parser = RangedU64ValueParser::<usize>::new().range(1..=THREADS_MAX))]
    pub(crate) threads: Vec<usize>,
    /// Sessions that the stores hold; the first is the capacity of the traces
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "20480,1048576", value_parser = value_parser!(u64).range(ENTRIES))]
    pub(crate) entries: Vec<u64>,
    /// Writes one row per store and workload
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes tables.md and an SVG chart per workload and size
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Replays a public trace file as well; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Vec<PathBuf>,
    /// How the trace files are written [default: by extension: .lis is ARC, .trc LIRS, else one id
    /// per line]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) trace_format: Option<Format>,
    /// Print what the bytes of a store of this name come to, for the process that started this one
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) weigh: Option<String>,
}

/// What `--workload` names.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    Workloads(Vec<Workload>),
    Traces,
}

/// More threads than this do not fit a popularity list.
const THREADS_MAX: u64 = 15;
const ENTRIES: RangeInclusive<u64> = 1024..=1 << 26;

fn parse_selection(name: &str) -> Result<Selection, String> {
    match name {
        "hot" => Ok(Selection::Workloads(vec![Workload::HotGet, Workload::HotRead])),
        "cold" => {
            let is_cold = |workload: &Workload| workload.cold().is_some();
            let all = Workload::value_variants().iter().copied();
            Ok(Selection::Workloads(all.filter(is_cold).collect()))
        }
        "traces" => Ok(Selection::Traces),
        _ => match Workload::from_str(name, false) {
            Ok(workload) => Ok(Selection::Workloads(vec![workload])),
            Err(_) => {
                Err(format!("known are {}, cold, hot, traces", names(Workload::value_variants())))
            }
        },
    }
}

fn names(workloads: &[Workload]) -> String {
    workloads.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Options {
    /// Fails where the results could not be written, before they are measured.
    pub(crate) fn check_outputs(&self) -> Result<()> {
        if let Some(directory) = &self.report {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let page = self.report.as_ref().map(|directory| directory.join("tables.md"));
        for path in page.iter().chain(&self.json) {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Reads the command line. A bad one ends the process with one line and status 2.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => refuse(&one_line(&error.to_string())),
        })
    }

    /// The workloads asked for, each once, in the order of the tables.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        if self.workload.is_empty() && self.trace.is_empty() {
            return Workload::value_variants().to_vec();
        }
        let asked = |workload: &Workload| {
            self.workload.iter().any(|selection| match selection {
                Selection::Workloads(workloads) => workloads.contains(workload),
                Selection::Traces => false,
            })
        };
        Workload::value_variants().iter().copied().filter(asked).collect()
    }

    /// Whether the synthetic traces are asked for.
    pub(crate) fn wants_traces(&self) -> bool {
        let is_everything = self.workload.is_empty() && self.trace.is_empty();
        is_everything
            || self.workload.iter().any(|selection| matches!(selection, Selection::Traces))
    }

    /// Of all candidates, those asked for. The subject, the floors and the harness always take
    /// part.
    pub(crate) fn candidates(&self, all: Vec<Candidate>) -> Result<Vec<Candidate>> {
        for name in self.peers.iter().filter(|name| *name != "none") {
            if !all.iter().any(|candidate| is_named(candidate, name)) {
                let peers = all.iter().filter(|candidate| candidate.role == Role::Peer);
                let known: Vec<_> = peers.map(|candidate| candidate.name).collect();
                bail!("no peer is named '{name}'; known are {}", known.join(", "));
            }
        }
        let is_asked = |candidate: &Candidate| {
            candidate.role != Role::Peer
                || self.peers.is_empty()
                || self.peers.iter().any(|name| is_named(candidate, name))
        };
        Ok(all.into_iter().filter(is_asked).collect())
    }
}

fn is_named(candidate: &Candidate, name: &str) -> bool {
    candidate.role == Role::Peer && !name.is_empty() && candidate.name.starts_with(name)
}

/// The message of an error without its hints and usage.
fn one_line(message: &str) -> String {
    let paragraph: Vec<_> =
        message.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    paragraph.join(" ").trim_start_matches("error: ").to_owned()
}

/// Ends the process for what the user asked.
pub(crate) fn refuse(reason: &str) -> ! {
    eprintln!("compare: {reason}");
    exit(2)
}
