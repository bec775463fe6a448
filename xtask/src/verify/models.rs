//! The models: every test of `loom-tests`, one process each, as many at a time as there are cores.
//!
//! A model that holds prints what it searched and, when asked, the atomic operations that it executed. The orderings part
//! starts from those.

use super::build;
use super::judge::{Judgement, judge};
use super::libtest::{self, Test};
use super::report::{Finding, ModelFigures, Report};
use super::site::Site;
use super::stage::Stage;
use super::workers;
use crate::command::{loom_cargo, root};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::time::Duration;

/// The bound that a night searches the real reclaimer to.
const NIGHT_BOUND: usize = 3;

const LIMIT: Duration = Duration::from_secs(900);
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
pub(crate) fn tests(stage: &Stage) -> Result<Vec<Test>> {
    stage.progress.say("building the models");
    let binaries = build::executables(&mut loom_cargo(root(), build::MODELS), &stage.log)?;
    let tests = libtest::list(&binaries, &stage.log)?;
    let mut files = BTreeMap::new();
    for test in &tests {
        // Comments name models without their files.
        if let Some(other) = files.insert(&test.name, &test.file) {
            bail!("{} and {} both have a test {}", other, test.file, test.name);
        }
    }
    Ok(tests)
}

/// Runs all models and reports each; the searches are returned for the orderings.
pub(crate) fn run(stage: &Stage, report: &mut Report) -> Result<(Finding, Vec<Search>)> {
    let searches = search(stage, tests(stage)?, None)?;
    let mut models: Vec<_> = searches.iter().flat_map(|search| search.models.clone()).collect();
    let mut faults: Vec<_> = searches.iter().filter_map(Search::fault).collect();
    if stage.long {
        let is_shallow = |model: &ModelFigures| model.reclaimer == "epoch" && model.bound < NIGHT_BOUND;
        let shallow = searches.iter().filter(|search| search.models.iter().any(is_shallow));
        let shallow = shallow.map(|search| search.test.clone()).collect();
        let deeper = search(stage, shallow, Some(NIGHT_BOUND))?;
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
    report.models = Some(models);
    report.interleavings = Some(interleavings);
    Ok((Finding::Checked { summary, faults }, searches))
}

/// Runs these tests, with a bound for all if one is given.
pub(crate) fn search(stage: &Stage, tests: Vec<Test>, bound: Option<usize>) -> Result<Vec<Search>> {
    stage.progress.expect(tests.len());
    let limit = if stage.long { NIGHT_LIMIT } else { LIMIT };
    let bound = bound.map(|bound| bound.to_string());
    let mut variables = vec![("SESSILE_SITES", "1")];
    variables.extend(bound.as_deref().map(|bound| ("LOOM_MAX_PREEMPTIONS", bound)));
    workers::each(workers::cores(), tests, |_, test| {
        let ended = test.run(&root().join("loom-tests"), &variables, limit, &stage.log)?;
        let read = read(&ended.stdout).with_context(|| format!("the output of {}", test.name))?;
        stage.progress.step(&format!("{} {:.1} s", test.name, ended.seconds));
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

/// `model NAME reclaimer=contract bound=3 complete=true iterations=9 seconds=0.1`, in any order after the name.
fn read_model(line: &str) -> Result<ModelFigures> {
    let name = line.split_whitespace().nth(1).ok_or_else(|| anyhow!("no name in `{line}`"))?;
    let field = |key: &str| {
        let value = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.ok_or_else(|| anyhow!("no `{key}` in `{line}`"))
    };
    Ok(ModelFigures {
        name: name.into(),
        reclaimer: field("reclaimer")?.into(),
        bound: field("bound")?.parse().with_context(|| format!("the bound in `{line}`"))?,
        complete: field("complete")?.parse()?,
        iterations: field("iterations")?.parse()?,
        seconds: field("seconds")?.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_model_is_read_even_behind_that_of_the_test() {
        let stdout = "\nrunning 1 test\n\
            test add_and_get ... model add_and_get reclaimer=epoch bound=2 complete=true iterations=90 seconds=0.25\n\
            site src/raw/bucket.rs:32:40 load Acquire\nok\n";
        let (models, sites) = read(stdout).unwrap();
        assert_eq!((models.len(), sites.len()), (1, 1));
        assert_eq!((models[0].name.as_str(), models[0].reclaimer.as_str()), ("add_and_get", "epoch"));
        assert_eq!((models[0].bound, models[0].complete, models[0].iterations), (2, true, 90));
    }

    #[test]
    fn a_line_that_lacks_a_figure_or_ran_on_threads_is_an_error() {
        assert!(read("model x reclaimer=epoch complete=true iterations=90 seconds=0.25").is_err());
        assert!(read("model x reclaimer=epoch bound=threads complete=true iterations=9 seconds=1").is_err());
    }
}
