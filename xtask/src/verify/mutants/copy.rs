//! A copy of the repository's files in which bugs are seeded, so that the files themselves are
//! never touched.
//!
//! The copy stays between runs together with what was built in it; only files that differ are
//! written, which keeps the next build short.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use walkdir::WalkDir;

/// A folder with the repository's files.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

/// A file of the copy with a bug in it; dropped, it is as before.
#[derive(Debug)]
pub(super) struct Seeded {
    path: PathBuf,
    sound: String,
}

impl Tree {
    /// Brings the copy in `into` up to date with the files of `from` that git tracks or would add.
    pub(super) fn sync(from: &Path, into: &Path) -> Result<Self> {
        let files = files(from)?;
        for file in &files {
            let wanted =
                fs::read(from.join(file)).with_context(|| format!("cannot read {file}"))?;
            let copy = into.join(file);
            if fs::read(&copy).ok().as_ref() == Some(&wanted) {
                continue;
            }
            if let Some(folder) = copy.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&copy, wanted).with_context(|| format!("cannot write {}", copy.display()))?;
        }
        let is_built =
            |path: &Path| path.strip_prefix(into).is_ok_and(|path| path.starts_with("target"));
        for entry in WalkDir::new(into).into_iter().filter_entry(|entry| !is_built(entry.path())) {
            let entry = entry?;
            let file = entry.path().strip_prefix(into)?.to_string_lossy().into_owned();
            if entry.file_type().is_file() && !files.contains(&file) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { root: into.to_owned() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Rewrites one file of the copy.
    pub(super) fn seed(
        &self,
        file: &str,
        bug: impl FnOnce(&str) -> Result<String>,
    ) -> Result<Seeded> {
        let path = self.root.join(file);
        let sound = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let seeded = Seeded { path, sound };
        fs::write(&seeded.path, bug(&seeded.sound)?)
            .with_context(|| format!("cannot write {file}"))?;
        Ok(seeded)
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        // Should it fail, the next `sync` mends it.
        let _ = fs::write(&self.path, &self.sound);
    }
}

/// The files that git tracks or would add, without those that are gone.
fn files(root: &Path) -> Result<BTreeSet<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().context("cannot run git")?;
    ensure!(
        output.status.success(),
        "git lists no files: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    Ok(names
        .split_terminator('\0')
        .filter(|file| root.join(file).is_file())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(root: &Path, arguments: &[&str]) {
        assert!(Command::new("git").args(arguments).current_dir(root).status().unwrap().success());
    }

    #[test]
    fn the_copy_follows_the_files_and_a_bug_is_taken_out_again() {
        let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, into) = (from.path(), into.path());
        git(from, &["init", "--quiet"]);
        fs::create_dir(from.join("src")).unwrap();
        for (file, text) in [
            (".gitignore", "/target\n"),
            ("src/a.rs", "a"),
            ("b.rs", "b"),
            ("new.rs", "n"),
            ("target", "t"),
        ] {
            fs::write(from.join(file), text).unwrap();
        }
        git(from, &["add", ".gitignore", "src/a.rs", "b.rs"]);
        fs::create_dir(into.join("target")).unwrap();
        fs::write(into.join("target/built"), "kept").unwrap();
        fs::write(into.join("stale.rs"), "s").unwrap();
        let tree = Tree::sync(from, into).unwrap();
        let read = |file: &str| fs::read_to_string(into.join(file)).ok();
        assert_eq!(
            (read("src/a.rs").as_deref(), read("new.rs").as_deref()),
            (Some("a"), Some("n"))
        );
        assert_eq!((read("stale.rs"), read("target/built").as_deref()), (None, Some("kept")));
        let written = fs::metadata(into.join("b.rs")).unwrap().modified().unwrap();

        let seeded = tree.seed("src/a.rs", |sound| Ok(format!("{sound}!"))).unwrap();
        assert_eq!(read("src/a.rs").as_deref(), Some("a!"));
        drop(seeded);
        assert_eq!(read("src/a.rs").as_deref(), Some("a"));

        fs::remove_file(from.join("new.rs")).unwrap();
        Tree::sync(from, into).unwrap();
        assert_eq!(read("new.rs"), None);
        assert_eq!(fs::metadata(into.join("b.rs")).unwrap().modified().unwrap(), written);
    }
}
