//! Seeded bugs: each one's test must fail with it, and pass without it.
//!
//! Two workers, each with a copy of the repository and a target folder of its own. First the named tests run on the sound
//! copies, but for models that the same verification has searched to their end already. Then the bugs are put in one at a time; only the one test is built and run. A bug that does not compile,
//! a search that did not finish, and a test that does not exist are errors and count for nothing.

mod copy;
mod list;

use super::judge::{Judgement, judge};
use super::libtest::Test;
use super::report::{Finding, MutantsFigures, Report};
use super::stage::Stage;
use super::{build, workers};
use crate::command::{cargo, loom_cargo, root};
use anyhow::{Context, Result, ensure};
use copy::Tree;
use list::{Mutant, TestName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Each worker builds everything once.
const WORKERS: usize = 2;

/// How long the sound source may take for one test.
const SOUND_LIMIT: Duration = Duration::from_secs(900);

/// What a bug may take is this many times what the sound source took, and at least [`LIMIT_FLOOR`].
const LIMIT_FACTOR: f64 = 3.0;
const LIMIT_FLOOR: Duration = Duration::from_secs(60);

/// Seeds every bug of the list.
pub(crate) fn run(stage: &Stage, report: &mut Report) -> Result<Finding> {
    let mut mutants = list::read(root())?;
    mutants.retain(|mutant| stage.wants(&mutant.name));
    ensure!(!mutants.is_empty(), "no mutant to seed");
    // Tests of one file in a row, so that a worker's builds have most in common.
    mutants.sort_by(|a, b| (&a.test, &a.name).cmp(&(&b.test, &b.name)));
    stage.progress.say("copying the files");
    let copies = (0..WORKERS).map(|n| Tree::sync(root(), &root().join(format!("target/mutants/{n}"))));
    let trees: Vec<_> = copies.collect::<Result<_>>()?;

    let limits = sound(stage, report, &trees, &mutants)?;
    stage.progress.expect(mutants.len());
    let total = mutants.len();
    let faults = workers::each(WORKERS, mutants, |worker, mutant| {
        let fault = seed(stage, &trees[worker], &mutant, limits[&mutant.test])
            .with_context(|| format!("mutant {}", mutant.name))?;
        stage.progress.step(&format!(
            "{}: {}",
            mutant.name,
            if fault.is_none() { "caught" } else { "MISSED" }
        ));
        Ok(fault.map(|fault| format!("mutant {} ({}): {fault}", mutant.name, mutant.test)))
    })?;
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    let caught = total - faults.len();
    report.mutants = Some(MutantsFigures { total, caught });
    Ok(Finding::Checked { summary: format!("{caught} of {total} seeded bugs caught"), faults })
}

/// Demands that all named tests pass on the sound copies. Returns how long each may take with a bug.
fn sound(
    stage: &Stage,
    report: &Report,
    trees: &[Tree],
    mutants: &[Mutant],
) -> Result<BTreeMap<TestName, Duration>> {
    let mut tests: Vec<_> = mutants.iter().map(|mutant| mutant.test.clone()).collect();
    tests.dedup();
    let mut limits = BTreeMap::new();
    for name in &tests {
        searched(report, name).map(|seconds| limits.insert(name.clone(), limit(seconds)));
    }
    tests.retain(|name| !limits.contains_key(name));
    stage.progress.expect(tests.len());
    let tested = workers::each(WORKERS, tests, |worker, name| {
        let test = build_test(stage, &trees[worker], &name)?;
        let ended = test.run(&folder(&trees[worker], &name), &[], SOUND_LIMIT, &stage.log)?;
        let judgement = judge(&ended);
        ensure!(
            judgement == Judgement::Held,
            "{name} must pass without a bug: {judgement:?}, {}",
            ended.tail()
        );
        stage.progress.step(&format!("{name} passes without a bug, {:.1} s", ended.seconds));
        Ok((name, limit(ended.seconds)))
    })?;
    limits.extend(tested);
    Ok(limits)
}

/// What a bug may take, by what the sound source took.
fn limit(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds * LIMIT_FACTOR).max(LIMIT_FLOOR)
}

/// How long the search of a model took that this verification has completed.
fn searched(report: &Report, name: &TestName) -> Option<f64> {
    let models = report.models.iter().flatten().filter(|_| name.is_model());
    let mut searches = models.filter(|model| model.complete && model.name == name.name);
    searches.next().map(|model| model.seconds)
}

/// Puts one bug in and runs its test; `None` if it is caught, otherwise what happened instead.
fn seed(stage: &Stage, tree: &Tree, mutant: &Mutant, limit: Duration) -> Result<Option<String>> {
    let _seeded = tree.seed(&mutant.file, |sound| mutant.apply(sound))?;
    let test = match build_test(stage, tree, &mutant.test) {
        Ok(test) => test,
        Err(error) => return Ok(Some(format!("it does not build: {error:#}"))),
    };
    let ended = test.run(&folder(tree, &mutant.test), &[], limit, &stage.log)?;
    let judgement = judge(&ended);
    stage.log.add(&format!("= {}: {judgement:?}\n", mutant.name))?;
    Ok(escape(judgement, mutant.hangs))
}

/// How a bug got away, if it did.
fn escape(judgement: Judgement, hangs: bool) -> Option<String> {
    match judgement {
        Judgement::Failed(_) => None,
        Judgement::Hung(_) if hangs => None,
        Judgement::Held => Some("the test passes".into()),
        Judgement::Hung(why) => Some(format!("the test does not end: {why}")),
        Judgement::Inconclusive(why) => Some(format!("nothing is known: {why}")),
    }
}

/// What makes a build shorter and a bug no harder to find.
const LEAN: [(&str, &str); 2] =
    [("CARGO_PROFILE_DEV_DEBUG", "false"), ("CARGO_PROFILE_RELEASE_DEBUG", "false")];

fn build_test(stage: &Stage, tree: &Tree, name: &TestName) -> Result<Test> {
    let mut command = if name.is_model() {
        loom_cargo(tree.root(), build::MODELS)
    } else {
        let mut cargo = cargo(&["test", "--no-run", "--package", &name.package]);
        cargo.current_dir(tree.root()).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
        cargo
    };
    build::choose(&mut command, &name.file);
    let executables = build::executables(command.envs(LEAN), &stage.log)?;
    // Binaries of the package that a test starts are built with it.
    let wanted = if name.file == "lib" { name.package.replace('-', "_") } else { name.file.clone() };
    let executable =
        executables.into_iter().rev().find(|executable| executable.target.replace('-', "_") == wanted);
    let executable = executable.with_context(|| format!("{name} was not built"))?;
    Ok(Test { file: name.file.clone(), name: name.name.clone(), binary: executable.path })
}

/// Where cargo runs the tests of a package.
fn folder(tree: &Tree, name: &TestName) -> std::path::PathBuf {
    match name.package.as_str() {
        "sessile" => tree.root().to_owned(),
        "sessile-rustls" => tree.root().join("adapters/rustls"),
        package => tree.root().join(package),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_test_catches_a_bug_and_a_hang_where_one_is_meant() {
        let hung = || Judgement::Hung("cut off".into());
        assert_eq!(escape(Judgement::Failed("race".into()), false), None);
        assert_eq!(escape(hung(), true), None);
        assert!(escape(hung(), false).is_some());
        assert!(escape(Judgement::Held, true).is_some());
        assert!(escape(Judgement::Inconclusive("incomplete".into()), true).is_some());
    }
}
