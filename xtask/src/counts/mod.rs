//! `cargo xtask counts`: what one run of each operation costs, in figures that do not depend on the
//! machine's mood.
//!
//! The program `counts` of `benches/micro` runs each operation ten thousand times. It is built
//! twice: with the private cfg `sessile_counts`, where the cache counts its atomic accesses by
//! their places (`shim`), and as it ships, to run under callgrind (`callgrind`, `locked`). Both
//! builds have the cfg `fuzzing`, which fixes the key of the hash, read a clock that stands still
//! and keep to one processor: every run does the same. Then the distinct lines of some operations
//! are counted, beside those of peers (`census`). All is compared with `benches/counts.toml`
//! (`ledger`).

mod callgrind;
mod census;
mod driver;
mod figures;
mod ledger;
mod locked;
mod owner;
mod shim;
mod table;

use crate::command::root;
use crate::verify::context::PartContext;
use anyhow::{Result, bail};
use census::Census;
use clap::Args;
use figures::Figures;
use ledger::Ledger;
use shim::Places;
use std::path::PathBuf;

/// What to count, and what becomes of it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only operations whose name contains this.
    #[arg(conflicts_with = "accept")]
    filter: Option<String>,
    /// Writes the figures to `benches/counts.toml` instead of comparing them.
    #[arg(long)]
    accept: bool,
    /// Shows each place in the source that writes, and how often.
    #[arg(long)]
    places: bool,
    /// Fails when valgrind or the permission to trace is missing; without this, what they count is
    /// then skipped.
    #[arg(long)]
    deny_skips: bool,
}

/// Counts, shows, and compares or accepts.
pub(crate) fn run(options: &Options) -> Result<()> {
    let filter = options.filter.as_deref();
    let context = PartContext::new("counts", false, filter)?;
    let (skip, skipped_census) = (callgrind::missing(), census::missing());
    if let (Some(missing), true) = (skip.or(skipped_census), options.deny_skips || options.accept) {
        bail!("no complete counts without {missing}");
    }
    let (figures, places) = count(&context, skip.is_none())?;
    let census = match skipped_census {
        None => trace(&context)?,
        Some(missing) => {
            println!("SKIPPED: the census of lines, for want of {missing}");
            Vec::new()
        }
    };
    drop(context);
    if options.places {
        println!("\n{}", table::of_places(&places));
    }
    println!("\n{}", census::for_document(&census));
    if options.accept {
        Ledger::new(figures.clone(), census)?.write(&path())?;
        println!("\n{}", table::of_figures(&figures, |_, _| None));
        return Ok(());
    }
    let is_partial = filter.is_some() || skipped_census.is_some();
    let ledger = Ledger::read(&path())?;
    let mut complaints = compare(&ledger, &figures, filter, skip)?;
    if ledger.other_compiler(&ledger::compiler()?).is_none() {
        complaints.extend(census::complaints(ledger.census(), &census, is_partial));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\n`cargo xtask counts --places` shows where; `--accept` writes the new figures to the file",
        complaints.join("\n")
    );
}

/// Counts accesses, then instructions.
fn count(context: &PartContext, with_instructions: bool) -> Result<(Vec<Figures>, Vec<Places>)> {
    let counting = driver::build(context, driver::Build::Counting)?;
    context.progress.say("counting accesses");
    let operations = shim::run(&counting, context)?;
    if operations.is_empty() {
        bail!("no operation has such a name");
    }
    let instructions = if with_instructions {
        let shipped = driver::build(context, driver::Build::Shipped)?;
        context.progress.say("counting instructions");
        Some(callgrind::run(&shipped, &operations, context)?)
    } else {
        None
    };
    Ok((figures::join(&operations, instructions.as_deref())?, operations))
}

/// Counts lines.
fn trace(context: &PartContext) -> Result<Vec<Census>> {
    let traced = driver::build(context, driver::Build::Traced)?;
    context.progress.say("counting lines");
    census::run(&traced, context)
}

/// Shows the averages; what must not be.
fn compare(
    ledger: &Ledger,
    figures: &[Figures],
    filter: Option<&str>,
    skip: Option<&str>,
) -> Result<Vec<String>> {
    let compiler = ledger::compiler()?;
    println!("\n{}", table::of_figures(figures, |one, column| ledger.was(one, column, &compiler)));
    if let Some(missing) = skip {
        println!("SKIPPED: instructions and locked instructions, for want of {missing}");
    }
    if let Some(other) = ledger.other_compiler(&compiler) {
        println!(
            "SKIPPED: the comparison of instructions and lines, which are those of rustc {other} in the file"
        );
    }
    if ledger.has_gain(figures, &compiler) {
        println!(
            "Some are lower than in the file: `cargo xtask counts --accept` keeps them there."
        );
    }
    Ok(ledger.complaints(figures, filter, &compiler))
}

/// The accepted figures as a table for a document.
pub(crate) fn accepted_table() -> Result<String> {
    Ok(table::for_document(Ledger::read(&path())?.figures()))
}

/// The accepted census as a table for a document.
pub(crate) fn accepted_census() -> Result<String> {
    Ok(census::for_document(Ledger::read(&path())?.census()))
}

fn path() -> PathBuf {
    root().join("benches/counts.toml")
}
