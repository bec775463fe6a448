//! `cargo run --release -p trials -- …`: what only real threads can show.

mod churn;
mod faults;
mod histories;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Trials of the cache on real threads.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    trial: Trial,
    /// Writes the figures to this file too.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Trial {
    /// Records what threads saw and looks for an order that explains it.
    Histories(histories::Options),
    /// Keeps every operation busy, for a sanitizer to watch.
    Churn(churn::Options),
    /// Injects faults and checks that nothing is lost.
    Faults(faults::Options),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (figures, verdict): (Value, Result<()>) = match arguments.trial {
        Trial::Histories(options) => {
            let figures = histories::run(&options)?;
            (serde_json::to_value(&figures)?, figures.verdict())
        }
        Trial::Churn(options) => {
            let figures = churn::run(&options)?;
            (serde_json::to_value(&figures)?, figures.verdict())
        }
        Trial::Faults(options) => {
            let figures = faults::run(&options)?;
            (serde_json::to_value(&figures)?, figures.verdict())
        }
    };
    if let Some(path) = arguments.json {
        fs::write(&path, format!("{figures:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    verdict
}
