//! Every command that a document shows is run by continuous integration exactly as it stands there,
//! or is listed in [`ELSEWHERE`] with the reason why it is not.
//!
//! A command that is neither fails, and so does an entry that no document shows, or that is run
//! after all. So does a table that differs from the figures that it is made from ([`tables`]).

mod elsewhere;
mod extract;
mod tables;

use crate::ci;
use crate::command::root;
use crate::verify;
use anyhow::{Context, Result, bail, ensure};
use elsewhere::ELSEWHERE;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Checks the documents that git tracks or would add; with `is_to_write` makes their tables anew
/// first.
pub(crate) fn run(is_to_write: bool) -> Result<()> {
    let mut documents = Vec::new();
    for file in files()? {
        let path = root().join(&file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let renewed = tables::renewed(&text).with_context(|| format!("the tables of {file}"))?;
        if renewed != text {
            ensure!(
                is_to_write,
                "a table of {file} differs from its figures: `cargo xtask documents --write`"
            );
            fs::write(&path, &renewed).with_context(|| format!("cannot write {file}"))?;
        }
        documents.push((file, renewed));
    }
    let ours: Vec<_> = ci::STEPS.iter().copied().chain([verify::MODELS_COMMAND]).collect();
    let faults = faults(&documents, &ours, ELSEWHERE);
    if !faults.is_empty() {
        bail!("the commands of the documents:\n  {}", faults.join("\n  "));
    }
    println!(
        "the commands of {} documents are run as they stand, or have a reason",
        documents.len()
    );
    Ok(())
}

/// What is wrong with these documents, for a run of these commands and a list of others.
fn faults(documents: &[(String, String)], run: &[&str], elsewhere: &[(&str, &str)]) -> Vec<String> {
    let mut shown = BTreeMap::new();
    for (file, text) in documents {
        for command in extract::commands(text) {
            shown.entry(command).or_insert(file);
        }
    }
    let mut faults = Vec::new();
    for (command, file) in &shown {
        let is_listed = elsewhere.iter().any(|(listed, _)| listed == command);
        match (run.contains(&command.as_str()), is_listed) {
            (false, false) => {
                faults.push(format!("{file} shows `{command}`, which is not run and has no reason"))
            }
            (true, true) => {
                faults.push(format!("`{command}` is run and has a reason why it is not"))
            }
            _ => {}
        }
    }
    for (command, reason) in elsewhere {
        if !shown.contains_key(*command) {
            faults.push(format!("no document shows `{command}`, which is listed: {reason}"));
        }
    }
    faults
}

/// The documents.
fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"])
        .current_dir(root());
    let output = git.output().context("cannot run git")?;
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let files: Vec<_> =
        names.lines().filter(|file| root().join(file).is_file()).map(str::to_owned).collect();
    if files.is_empty() {
        bail!("git lists no document: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::faults;

    fn found(text: &str, run: &[&str], elsewhere: &[(&str, &str)]) -> Vec<String> {
        faults(&[("A.md".into(), text.into())], run, elsewhere)
    }

    #[test]
    fn a_command_is_run_or_has_a_reason() {
        assert!(
            found("`cargo a`, `cargo b`", &["cargo a", "cargo z"], &[("cargo b", "long")])
                .is_empty()
        );
        let faults = found("`cargo a --b`", &["cargo a"], &[]);
        assert_eq!(faults, ["A.md shows `cargo a --b`, which is not run and has no reason"]);
    }

    #[test]
    fn a_reason_needs_a_command_that_is_shown_and_not_run() {
        assert_eq!(found("", &[], &[("cargo b", "long")]).len(), 1);
        assert_eq!(found("`cargo b`", &["cargo b"], &[("cargo b", "long")]).len(), 1);
    }

    #[test]
    fn the_documents_of_the_repository_hold() {
        super::run(false).unwrap();
    }
}
