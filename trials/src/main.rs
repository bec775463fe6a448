//! `cargo run --release -p trials -- …`: what only real threads can show.

mod churn;
mod faults;
mod histories;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;
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

/// What a trial came to.
trait Report: Serialize {
    /// In a line.
    fn summary(&self) -> String;

    /// Fails when something did not hold.
    fn verdict(&self) -> Result<()>;
}

fn main() -> Result<()> {
    let Arguments { trial, json } = Arguments::parse();
    match trial {
        Trial::Histories(options) => finish(histories::run(&options)?, json),
        Trial::Churn(options) => finish(churn::run(&options)?, json),
        Trial::Faults(options) => match faults::run(&options)? {
            Some(figures) => finish(figures, json),
            None => Ok(()),
        },
    }
}

/// Shows what a trial came to, and writes it down whether it holds or not.
fn finish(figures: impl Report, json: Option<PathBuf>) -> Result<()> {
    println!("{}", figures.summary());
    if let Some(path) = json {
        let mut fields = serde_json::to_value(&figures)?;
        fields["summary"] = figures.summary().into();
        fs::write(&path, format!("{fields:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    figures.verdict()
}
