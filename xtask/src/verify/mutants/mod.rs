//! Seeded bugs: each one's test must fail with it, and pass without it.
//!
//! They are put into a copy of the repository with a target folder of its own. Most of them
//! [share](shared) one build, of which each test is run without a bug first, but for models that
//! the same verification has searched to their end already, and then with its bugs, one at a time.
//! The others are built and run one after another. A bug that does not compile, a search that did
//! not finish, and a test that does not exist are errors and count for nothing.

mod copy;
mod list;
mod shared;

use super::context::PartContext;
use super::judge::{Judgement, judge};
use super::libtest::{self, Test};
use super::models::Search;
use super::report::PartResult;
use super::{build, workers};
use crate::command::{cargo, loom_cargo, root};
use anyhow::{Context, Result, ensure};
use copy::Tree;
use list::{Mutant, TestName};
use serde_json::json;
use shared::Shared;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long the sound source may take for one test.
const SOUND_LIMIT: Duration = Duration::from_secs(3600);

/// What a bug may take is this many times what the sound source took, and at least [`LIMIT_FLOOR`].
const LIMIT_FACTOR: f64 = 3.0;
const LIMIT_FLOOR: Duration = Duration::from_secs(600);

/// Seeds every bug of the list. `searches` are the models' that were searched before.
pub(crate) fn run(context: &PartContext, searches: &[Search]) -> Result<PartResult> {
    let mut mutants = list::read(root())?;
    mutants.retain(|mutant| context.wants(&mutant.name));
    ensure!(!mutants.is_empty(), "no mutant to seed");
    // Tests of one file in a row, whose builds have most in common.
    mutants.sort_by(|a, b| (&a.test, &a.name).cmp(&(&b.test, &b.name)));
    context.progress.say("copying the files");
    let tree = Tree::sync(root(), &root().join("target/mutants"))?;
    let total = mutants.len();

    let mut shared = Shared::plan(root(), &mutants)?;
    let mut built = BTreeMap::new();
    if shared.numbers.len() > 1 {
        let seeded: Vec<_> = shared
            .files
            .iter()
            .map(|(file, text)| tree.seed(&file.to_string_lossy(), |_| Ok(text.clone())))
            .collect();
        let seeded = seeded.into_iter().collect::<Result<Vec<_>>>()?;
        context.progress.say(&format!("building with {} of {total} bugs", shared.numbers.len()));
        match build_tests(context, &tree, mutants.iter().map(|mutant| &mutant.test)) {
            Ok(tests) => built = tests,
            Err(error) => {
                // One of them does not compile: alone it is named.
                context.progress.say("the bugs do not build together");
                context.log.add(&format!("= together: {error:#}\n"))?;
                shared = Shared::default();
            }
        }
        drop(seeded);
    }
    let (together, alone): (Vec<_>, Vec<_>) = mutants
        .into_iter()
        .partition(|mutant| shared.numbers.contains_key(&mutant.name) && !built.is_empty());
    let mut faults = run_shared(context, searches, &tree, &shared, &built, together)?;
    faults.extend(run_alone(context, searches, &tree, alone)?);
    let caught = total - faults.len();
    let summary = format!("{caught} of {total} seeded bugs caught");
    let figures = json!({"mutants": {"total": total, "caught": caught}});
    Ok(PartResult::Checked { summary, faults, figures })
}

/// Runs the tests of bugs that share a build: first all without a bug, then each with its own.
fn run_shared(
    context: &PartContext,
    searches: &[Search],
    tree: &Tree,
    shared: &Shared,
    built: &BTreeMap<TestName, Test>,
    mutants: Vec<Mutant>,
) -> Result<Vec<String>> {
    let limits = sound(context, searches, tree, &mutants, |name| {
        built.get(name).cloned().with_context(|| format!("{name} was not built"))
    })?;
    context.progress.expect(mutants.len());
    let faults = workers::each(workers::cores(), mutants, |_, mutant| {
        let number = shared.numbers.get(&mutant.name).map(u32::to_string).unwrap_or_default();
        let test =
            built.get(&mutant.test).with_context(|| format!("{} was not built", mutant.test))?;
        judged(context, tree, &mutant, test, &[(shared::VARIABLE, &number)], limits[&mutant.test])
    })?;
    Ok(faults.into_iter().flatten().collect())
}

/// Builds and runs the tests of bugs that need a build of their own.
fn run_alone(
    context: &PartContext,
    searches: &[Search],
    tree: &Tree,
    mutants: Vec<Mutant>,
) -> Result<Vec<String>> {
    let limits = sound(context, searches, tree, &mutants, |name| build_test(context, tree, name))?;
    context.progress.expect(mutants.len());
    let mut faults = Vec::new();
    for mutant in mutants {
        let _seeded = tree.seed(&mutant.file, |sound| mutant.apply(sound))?;
        match build_test(context, tree, &mutant.test) {
            Ok(test) => {
                faults.extend(judged(context, tree, &mutant, &test, &[], limits[&mutant.test])?)
            }
            Err(error) => {
                faults.push(missed(context, &mutant, &format!("it does not build: {error:#}")))
            }
        }
    }
    Ok(faults)
}

/// Runs the test of a bug that is there; `None` if it is caught, otherwise what happened instead.
fn judged(
    context: &PartContext,
    tree: &Tree,
    mutant: &Mutant,
    test: &Test,
    variables: &[(&str, &str)],
    limit: Duration,
) -> Result<Option<String>> {
    let ended = test.run(&folder(tree, &mutant.test), variables, limit, &context.log)?;
    let judgement = judge(&ended);
    context.log.add(&format!("= {}: {judgement:?}\n", mutant.name))?;
    let Some(escaped) = escape(judgement, mutant.hangs) else {
        context.progress.step(&format!("{}: caught", mutant.name));
        return Ok(None);
    };
    Ok(Some(missed(context, mutant, &escaped)))
}

fn missed(context: &PartContext, mutant: &Mutant, why: &str) -> String {
    context.progress.step(&format!("{}: MISSED", mutant.name));
    format!("mutant {} ({}): {why}", mutant.name, mutant.test)
}

/// Demands that all named tests pass without a bug. Returns how long each may take with one.
fn sound(
    context: &PartContext,
    searches: &[Search],
    tree: &Tree,
    mutants: &[Mutant],
    find: impl Fn(&TestName) -> Result<Test> + Sync,
) -> Result<BTreeMap<TestName, Duration>> {
    let mut tests: Vec<_> = mutants.iter().map(|mutant| mutant.test.clone()).collect();
    tests.dedup();
    let mut limits = BTreeMap::new();
    for name in &tests {
        searched(searches, name).map(|seconds| limits.insert(name.clone(), limit(seconds)));
    }
    tests.retain(|name| !limits.contains_key(name));
    context.progress.expect(tests.len());
    let tested = workers::each(workers::cores(), tests, |_, name| {
        let ended = find(&name)?.run(&folder(tree, &name), &[], SOUND_LIMIT, &context.log)?;
        let judgement = judge(&ended);
        ensure!(
            judgement == Judgement::Held,
            "{name} must pass without a bug: {judgement:?}, {}",
            ended.tail()
        );
        context.progress.step(&format!("{name} passes without a bug, {:.1} s", ended.seconds));
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
fn searched(searches: &[Search], name: &TestName) -> Option<f64> {
    let models = searches.iter().flat_map(|search| &search.models).filter(|_| name.is_model());
    let mut complete =
        models.filter(|model| model.complete && model.name == libtest::model(&name.name));
    complete.next().map(|model| model.seconds)
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

/// Builds one test.
fn build_test(context: &PartContext, tree: &Tree, name: &TestName) -> Result<Test> {
    let built = build_tests(context, tree, [name])?.remove(name);
    built.with_context(|| format!("{name} was not built"))
}

/// Builds these tests, the targets of a package at once.
fn build_tests<'n>(
    context: &PartContext,
    tree: &Tree,
    tests: impl IntoIterator<Item = &'n TestName>,
) -> Result<BTreeMap<TestName, Test>> {
    let mut packages = BTreeMap::<&str, Vec<&TestName>>::new();
    tests.into_iter().for_each(|name| packages.entry(&name.package).or_default().push(name));
    let mut built = BTreeMap::new();
    for mut names in packages.into_values() {
        names.dedup();
        let mut files: Vec<_> = names.iter().map(|name| name.file.as_str()).collect();
        files.dedup();
        let binaries = build_targets(context, tree, names[0], &files)?;
        for name in names {
            let binary =
                binaries.get(&name.file).with_context(|| format!("{name} was not built"))?;
            let test = Test { name: name.name.clone(), binary: binary.clone() };
            built.insert(name.clone(), test);
        }
    }
    Ok(built)
}

/// Builds some test targets of the package of `name`. Returns the binaries by their targets.
fn build_targets(
    context: &PartContext,
    tree: &Tree,
    name: &TestName,
    files: &[&str],
) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = if name.is_model() {
        loom_cargo(tree.root(), build::MODELS)
    } else {
        let mut cargo = cargo(&["test", "--no-run", "--package", &name.package]);
        cargo.current_dir(tree.root()).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
        cargo
    };
    files.iter().for_each(|file| build::choose(&mut command, file));
    let executables = build::executables(&mut command, &context.log)?;
    let mut built = BTreeMap::new();
    for file in files {
        // Binaries of the package that a test starts are built with it.
        let wanted = if *file == "lib" { name.package.as_str() } else { file }.replace('-', "_");
        let executable =
            executables.iter().rev().find(|one| one.target.replace('-', "_") == wanted);
        built.extend(executable.map(|executable| ((*file).to_owned(), executable.path.clone())));
    }
    Ok(built)
}

/// Where cargo runs the tests of a package.
fn folder(tree: &Tree, name: &TestName) -> PathBuf {
    match name.package.as_str() {
        "sessile" => tree.root().to_owned(),
        "sessile-rustls" => tree.root().join("adapters/rustls"),
        "sessile-openssl" => tree.root().join("adapters/openssl"),
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
