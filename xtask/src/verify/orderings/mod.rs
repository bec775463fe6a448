//! Orderings: each one stronger than `Relaxed` is weakened, and a model that its comment names must
//! fail.
//!
//! `scan` lists the orderings in the source with their comments, `plan` matches them with the
//! operations that the models executed, `run` tries the weakenings. A comment that names no model
//! must say why no model can see the site. A survivor, a search that did not end, and a comment
//! that does not fit all fail the part.

mod comment;
mod plan;
mod run;
mod scan;

use super::context::PartContext;
use super::judge::Judgement;
use super::models::{self, Search};
use super::report::{OrderingsFigures, PartResult};
use crate::command::root;
use anyhow::{Context, Result, bail};
use plan::{Known, Plan};
use run::{Runner, Verdict};
use scan::Token;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use walkdir::WalkDir;

/// The backends and the model of the reclaimer: they are what the checks stand on.
const EXEMPT: [&str; 5] = [
    "src/sync/std.rs",
    "src/sync/counts/",
    "src/sync/loom/",
    "src/sync/shuttle.rs",
    "src/reclaim/collector/contract.rs",
];

const LIMIT_FACTOR: f64 = 4.0;
const LIMIT_FLOOR: Duration = Duration::from_secs(600);

/// Tries all orderings. `searches` are those of the models part; without them, the named models run
/// first.
pub(crate) fn run(context: &PartContext, searches: Option<&[Search]>) -> Result<PartResult> {
    let mut tokens = scan_all(root())?;
    tokens.retain(|token| context.wants(&format!("{}:{}", token.file, token.position.line)));
    if tokens.is_empty() {
        bail!("no ordering to weaken");
    }
    let searches = match searches {
        Some(searches) => searches.to_vec(),
        None => search_named(context, &tokens)?,
    };
    let held = searches.iter().filter(|search| search.judgement == Judgement::Held);
    let known: Vec<_> = held
        .map(|search| Known {
            name: search.test.model().to_owned(),
            sites: search.sites.clone(),
            seconds: search.seconds,
        })
        .collect();
    let plan = plan::plan(&tokens, &known);
    let runners = searches.into_iter().map(|search| {
        let limit = LIMIT_FLOOR.max(Duration::from_secs_f64(search.seconds * LIMIT_FACTOR));
        (search.test.model().to_owned(), Runner { test: search.test, limit })
    });
    try_all(context, &tokens, plan, &runners.collect())
}

fn try_all(
    context: &PartContext,
    tokens: &[Token],
    plan: Plan,
    runners: &BTreeMap<String, Runner>,
) -> Result<PartResult> {
    let mut faults = plan.errors;
    let mut figures = OrderingsFigures {
        sites: tokens.len(),
        invisible: plan.invisible,
        ..OrderingsFigures::default()
    };
    for (weakening, verdict, tried) in run::run(context, plan.weakenings, runners)? {
        figures.weakened += 1;
        figures.weakenings.push(tried);
        let models = weakening.models.join(", ");
        match verdict {
            Verdict::Caught { .. } => figures.caught += 1,
            Verdict::Survived => {
                figures.survived += 1;
                faults.push(format!("{} {} survived {models}", weakening.at, weakening.what));
            }
            Verdict::Inconclusive(why) => {
                figures.inconclusive += 1;
                faults.push(format!("{} {} is inconclusive: {why}", weakening.at, weakening.what));
            }
        }
    }
    let summary = format!(
        "{} of {} weakenings of {} orderings caught, {} survived; {} more are invisible to models",
        figures.caught, figures.weakened, figures.sites, figures.survived, figures.invisible
    );
    Ok(PartResult::Checked { summary, faults, figures: json!({"orderings": figures}) })
}

/// The models that comments name, run to learn what they execute.
fn search_named(context: &PartContext, tokens: &[Token]) -> Result<Vec<Search>> {
    let names = plan::named(tokens);
    let mut tests = models::tests(context)?;
    tests.retain(|test| names.iter().any(|name| name == test.model()));
    models::search(context, tests, None)
}

/// The strong orderings of every source file below `root`, known to git or not.
fn scan_all(root: &Path) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    for entry in WalkDir::new(root.join("src")).sort_by_file_name() {
        let entry = entry.context("the source cannot be listed")?;
        let path = entry.path();
        let file = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        let is_exempt = EXEMPT.iter().any(|exempt| file.starts_with(exempt));
        if !entry.file_type().is_file() || !file.ends_with(".rs") || is_exempt {
            continue;
        }
        let source = fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
        tokens.extend(scan::scan(&file, &source)?);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_scanned_and_the_backends_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for file in
            ["src/new/deep.rs", "src/sync/std.rs", "src/sync/loom/atomic.rs", "src/notes.md"]
        {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "fn f() { x.load(Ordering::Acquire); }").unwrap();
        }
        let tokens = scan_all(folder.path()).unwrap();
        let files: Vec<_> = tokens.iter().map(|token| token.file.as_str()).collect();
        assert_eq!(files, ["src/new/deep.rs"]);
    }

    #[test]
    fn the_source_of_the_cache_can_be_read() {
        let tokens = scan_all(root()).unwrap();
        assert!(
            tokens
                .iter()
                .any(|token| token.file == "src/raw/table.rs" && token.ordering == "AcqRel")
        );
    }
}
