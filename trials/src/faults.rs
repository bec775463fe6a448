//! To be written.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Options {}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {}

pub(crate) fn run(_options: &Options) -> Result<Figures> {
    Ok(Figures {})
}
