//! The models: every test of `loom-tests`, by the command that the documents show.
//!
//! A model that holds reports what it searched and, when asked, the atomic operations that it
//! executed. The orderings part starts from those. Models that are asked for by name run in a
//! process each, as many at a time as there are cores.

use super::build;
use super::child;
use super::context::PartContext;
use super::judge::{Judgement, judge};
use super::libtest::{self, Test};
use super::report::{ModelFigures, PartResult};
use super::site::Site;
use super::workers;
use crate::command::{as_models, loom_cargo, root, shell};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// The command of the documents, which this part runs as it stands.
pub(crate) const COMMAND: &str = "cd loom-tests && cargo test --release";

/// The bound that a night searches the real reclaimer to.
const NIGHT_BOUND: usize = 3;

const LIMIT: Duration = Duration::from_secs(3600);
const LIMIT_OF_ALL: Duration = Duration::from_secs(7200);
const NIGHT_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// One test, run once.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) test: Test,
    pub(crate) judgement: Judgement,
    pub(crate) seconds: f64,
    pub(crate) models: Vec<ModelFigures>,
    pub(crate) sites: Vec<Site>,
    tail: String,
}

/// Every test of `loom-tests`.
pub(crate) fn tests(context: &PartContext) -> Result<Vec<Test>> {
    context.progress.say("building the models");
    let binaries = build::executables(&mut loom_cargo(root(), build::MODELS), &context.log)?;
    let tests = libtest::list(&binaries, &context.log)?;
    let mut files = BTreeMap::new();
    for test in &tests {
        // Comments name models without their files.
        if let Some(other) = files.insert(test.model(), &test.name) {
            bail!("{other} and {} have one name", test.name);
        }
    }
    Ok(tests)
}

/// Runs all models and reports each; the searches are returned for the orderings.
pub(crate) fn run(context: &PartContext) -> Result<(PartResult, Vec<Search>)> {
    let (searches, mut faults) = search_all(context, tests(context)?)?;
    let mut models: Vec<_> = searches.iter().flat_map(|search| search.models.clone()).collect();
    if context.long {
        let is_shallow =
            |model: &ModelFigures| model.reclaimer == "epoch" && model.bound < NIGHT_BOUND;
        let shallow = searches.iter().filter(|search| search.models.iter().any(is_shallow));
        let shallow = shallow.map(|search| search.test.clone()).collect();
        let deeper = search(context, shallow, Some(NIGHT_BOUND))?;
        models.extend(deeper.iter().flat_map(|search| search.models.clone()));
        faults.extend(deeper.iter().filter_map(Search::fault));
    }
    if models.is_empty() {
        faults.push("no test reported a model".into());
    }
    let incomplete = models.iter().filter(|model| !model.complete);
    faults.extend(incomplete.map(|model| format!("{}: the search is not complete", model.name)));
    let interleavings = models.iter().map(|model| model.iterations).sum::<u64>();
    let real = models.iter().filter(|model| model.reclaimer == "epoch").count();
    let others = searches.iter().filter(|search| search.models.is_empty()).count();
    let summary = format!(
        "{} complete, {real} of them over the real reclaimer; {interleavings} interleavings; {others} tests beside them",
        models.iter().filter(|model| model.complete).count()
    );
    let figures = json!({"models": models, "interleavings": interleavings});
    Ok((PartResult::Checked { summary, faults, figures }, searches))
}

/// Runs all tests by [`COMMAND`]. Returns what each came to, and the faults.
fn search_all(context: &PartContext, tests: Vec<Test>) -> Result<(Vec<Search>, Vec<String>)> {
    let path = root().join("target/verify/models.txt");
    // The reports must be those of this run.
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    context.progress.say(COMMAND);
    let mut command = shell(COMMAND);
    as_models(&mut command);
    command.env("SESSILE_SITES", "1").env("SESSILE_REPORT", &path).env("RUST_BACKTRACE", "0");
    if context.long {
        command.env("SESSILE_NIGHT", "1");
    }
    let limit = context.choose(LIMIT_OF_ALL, NIGHT_LIMIT);
    let ended = child::run(&mut command, Some(limit), &context.log)?;
    let report = fs::read_to_string(&path).context("no model reported")?;
    let searches = assign(tests, &report, &ended.stdout)?;
    let mut faults: Vec<_> = searches.iter().filter_map(Search::fault).collect();
    if !ended.is_success() {
        faults.push(format!("`{COMMAND}`: {}", ended.tail()));
    }
    Ok((searches, faults))
}

/// Gives each test the report of its model, which has its name, and what libtest said of it.
fn assign(tests: Vec<Test>, report: &str, stdout: &str) -> Result<Vec<Search>> {
    let mut reports = BTreeMap::new();
    for block in report
        .split_inclusive('\n')
        .collect::<Vec<_>>()
        .chunk_by(|_, next| next.starts_with("site "))
    {
        let (models, sites) = read(&block.concat())?;
        let [model] =
            models.try_into().map_err(|_| anyhow!("not the report of one model: {block:?}"))?;
        reports.insert(model.name.clone(), (model, sites));
    }
    let passed: BTreeSet<_> = stdout.lines().filter_map(passed).collect();
    let mut searches = Vec::new();
    for test in tests {
        let (models, sites) = reports
            .remove(test.model())
            .map_or_else(Default::default, |(model, sites)| (vec![model], sites));
        let judgement = match passed.contains(test.name.as_str()) {
            true => Judgement::Held,
            false => Judgement::Inconclusive("it did not pass".into()),
        };
        let seconds = models.iter().map(|model| model.seconds).sum();
        searches.push(Search {
            test,
            judgement,
            seconds,
            models,
            sites,
            tail: "it did not pass".into(),
        });
    }
    match reports.into_keys().next() {
        Some(stray) => bail!("the model {stray} has not the name of its test"),
        None => Ok(searches),
    }
}

/// The name in `test NAME ... ok` or `test NAME - should panic ... ok`.
fn passed(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?
        .strip_suffix(" ... ok")
        .map(|name| name.trim_end_matches(" - should panic"))
}

/// Runs these tests, with a bound for all if one is given.
pub(crate) fn search(
    context: &PartContext,
    tests: Vec<Test>,
    bound: Option<usize>,
) -> Result<Vec<Search>> {
    context.progress.expect(tests.len());
    let limit = context.choose(LIMIT, NIGHT_LIMIT);
    let bound = bound.map(|bound| bound.to_string());
    let mut variables = vec![("SESSILE_SITES", "1")];
    variables.extend(bound.as_deref().map(|bound| ("LOOM_MAX_PREEMPTIONS", bound)));
    workers::each(workers::cores(), tests, |_, test| {
        let ended = test.run(&root().join("loom-tests"), &variables, limit, &context.log)?;
        let read = read(&ended.stdout).with_context(|| format!("the output of {}", test.name))?;
        context.progress.step(&format!("{} {:.1} s", test.name, ended.seconds));
        let (models, sites) = read;
        Ok(Search {
            judgement: judge(&ended),
            seconds: ended.seconds,
            tail: ended.tail(),
            test,
            models,
            sites,
        })
    })
}

impl Search {
    fn fault(&self) -> Option<String> {
        match self.judgement {
            Judgement::Held => None,
            _ => Some(format!("{}: {}", self.test.name, self.tail)),
        }
    }
}

/// The lines about models and sites in what a test printed.
fn read(stdout: &str) -> Result<(Vec<ModelFigures>, Vec<Site>)> {
    let (mut models, mut sites) = (Vec::new(), Vec::new());
    for line in stdout.lines() {
        // libtest leaves its own line open: `test add_and_get ... model add_and_get …`.
        let line = match line.strip_prefix("test ") {
            Some(rest) => rest.split_once(" ... ").map_or(line, |(_, printed)| printed),
            None => line,
        };
        if line.starts_with("model ") {
            models.push(read_model(line)?);
        } else if line.starts_with("site ") {
            sites.push(line.parse()?);
        }
    }
    Ok((models, sites))
}

/// `model NAME reclaimer=contract bound=3 complete=true iterations=9
/// seconds=0.1`, in any order after the name.
fn read_model(line: &str) -> Result<ModelFigures> {
    let name = line.split_whitespace().nth(1).ok_or_else(|| anyhow!("no name in `{line}`"))?;
    let field = |key: &str| field(line, key);
    Ok(ModelFigures {
        name: name.into(),
        reclaimer: field("reclaimer")?.into(),
        bound: field("bound")?.parse().with_context(|| format!("the bound in `{line}`"))?,
        complete: field("complete")?.parse()?,
        iterations: field("iterations")?.parse()?,
        seconds: field("seconds")?.parse()?,
    })
}

/// The value in `key=value`, a word of a line.
pub(crate) fn field<'l>(line: &'l str, key: &str) -> Result<&'l str> {
    let mut values =
        line.split_whitespace().filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    values.next().with_context(|| format!("no `{key}` in `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_model_is_read_even_behind_that_of_the_test() {
        let stdout = "\nrunning 1 test\n\
            test add_and_get ... model add_and_get reclaimer=epoch bound=2 complete=true iterations=90 seconds=0.25\n\
            site src/raw/table.rs:32:40 load Acquire\nok\n";
        let (models, sites) = read(stdout).unwrap();
        assert_eq!((models.len(), sites.len()), (1, 1));
        assert_eq!(
            (models[0].name.as_str(), models[0].reclaimer.as_str()),
            ("add_and_get", "epoch")
        );
        assert_eq!((models[0].bound, models[0].complete, models[0].iterations), (2, true, 90));
    }

    #[test]
    fn each_test_gets_the_report_of_its_name_and_needs_to_have_passed() {
        let test = |name: &str| Test { name: format!("module::{name}"), binary: "b".into() };
        let model = |name| {
            format!(
                "model {name} reclaimer=contract bound=3 complete=true iterations=9 seconds=0.5\n"
            )
        };
        let report = model("b") + "site src/x.rs:3:4 load Acquire\n" + &model("a");
        let tests = || vec![test("a"), test("b"), test("c"), test("d")];
        let stdout = "test module::b ... ok\ntest module::a ... FAILED\n\
            test module::c - should panic ... ok\n";
        let searches = assign(tests(), &report, stdout).unwrap();
        let held: Vec<_> =
            searches.iter().map(|search| search.judgement == Judgement::Held).collect();
        assert_eq!(held, [false, true, true, false]);
        let counts: Vec<_> =
            searches.iter().map(|search| (search.models.len(), search.sites.len())).collect();
        assert_eq!(counts, [(1, 0), (1, 1), (0, 0), (0, 0)]);
        assert!(
            assign(tests(), &model("e"), stdout).is_err(),
            "a model without a test of its name"
        );
        assert!(assign(tests(), "site src/x.rs:3:4 load Acquire\n", stdout).is_err());
    }

    #[test]
    fn a_line_that_lacks_a_figure_or_ran_on_threads_is_an_error() {
        assert!(read("model x reclaimer=epoch complete=true iterations=90 seconds=0.25").is_err());
        assert!(
            read("model x reclaimer=epoch bound=threads complete=true iterations=9 seconds=1")
                .is_err()
        );
    }
}
