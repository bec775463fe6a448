//! The list of seeded bugs, `loom-tests/mutants.toml`.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

/// Where the list is, from the root.
const LIST: &str = "loom-tests/mutants.toml";

/// One bug: a piece of the source replaced by another, and the test that finds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutant {
    pub(super) name: String,
    pub(super) file: String,
    /// Occurs once in the file, unless `nth` says which one is meant.
    find: String,
    replace: String,
    /// Counted from 1.
    nth: Option<usize>,
    pub(super) test: TestName,
    /// The bug is one of progress: a test that never ends finds it.
    #[serde(default)]
    pub(super) hangs: bool,
}

/// `loom-tests::<file>::<name>`, `sessile::<file>::<name>`, `sessile::lib::<name>` or the same of
/// another package.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(super) struct TestName {
    pub(super) package: String,
    /// `lib` for unit tests.
    pub(super) file: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

impl TestName {
    /// Run under the model's cfgs.
    pub(super) fn is_model(&self) -> bool {
        self.package == "loom-tests"
    }
}

impl std::fmt::Display for TestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}::{}", self.package, self.file, self.name)
    }
}

impl TryFrom<String> for TestName {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for TestName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, "::").map(str::to_owned);
        let (Some(package), Some(file), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("`{text}` is not PACKAGE::FILE::TEST");
        };
        Ok(Self { package, file, name })
    }
}

impl Mutant {
    /// The source with the bug in it.
    pub(super) fn apply(&self, source: &str) -> Result<String> {
        let place = self.place(source).with_context(|| format!("mutant {}", self.name))?;
        Ok(format!("{}{}{}", &source[..place.start], self.replace, &source[place.end..]))
    }

    /// What is put in the place of the text that is found.
    pub(super) fn replacement(&self) -> &str {
        &self.replace
    }

    /// Where the text to replace is.
    pub(super) fn place(&self, source: &str) -> Result<Range<usize>> {
        ensure!(!self.find.is_empty() && self.find != self.replace, "it changes nothing");
        let starts: Vec<_> = source.match_indices(&self.find).map(|(start, _)| start).collect();
        let start = match (self.nth, starts.as_slice()) {
            (_, []) => bail!("`{}` is not in {}", self.find, self.file),
            (None, &[start]) => start,
            (None, _) => {
                bail!("`{}` is {} times in {}: say `nth`", self.find, starts.len(), self.file)
            }
            (Some(nth), _) => {
                *nth.checked_sub(1).and_then(|nth| starts.get(nth)).ok_or_else(|| {
                    anyhow!("`{}` is {} times in {}", self.find, starts.len(), self.file)
                })?
            }
        };
        Ok(start..start + self.find.len())
    }
}

#[cfg(test)]
impl Mutant {
    /// A bug that is named after what it replaces.
    pub(super) fn of(file: &str, find: &str, replace: &str) -> Self {
        let test = TestName { package: "sessile".into(), file: "lib".into(), name: "t".into() };
        let (name, file, find, replace) = (find.into(), file.into(), find.into(), replace.into());
        Self { name, file, find, replace, nth: None, test, hangs: false }
    }
}

/// Reads the list and tries every entry on the source below `root`.
pub(super) fn read(root: &Path) -> Result<Vec<Mutant>> {
    let text =
        fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("cannot read {LIST}"))?;
    let mut names = BTreeSet::new();
    for mutant in &list.mutant {
        ensure!(names.insert(&mutant.name), "{LIST} has two mutants {}", mutant.name);
        let source = fs::read_to_string(root.join(&mutant.file))
            .with_context(|| format!("mutant {}: cannot read {}", mutant.name, mutant.file))?;
        mutant.apply(&source)?;
    }
    Ok(list.mutant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_list(entries: &str, source: &str) -> Result<Vec<Mutant>> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("loom-tests")).unwrap();
        fs::write(folder.path().join(LIST), entries).unwrap();
        fs::write(folder.path().join("a.rs"), source).unwrap();
        read(folder.path())
    }

    fn entry(find: &str, more: &str) -> String {
        format!(
            "[[mutant]]\nname = 'm'\nfile = 'a.rs'\nfind = '{find}'\nreplace = 'z'\n\
             test = 'sessile::lib::raw::tests::t'\n{more}\n"
        )
    }

    #[test]
    fn the_text_to_replace_must_be_there_once_or_be_chosen() {
        let error =
            |find, more| format!("{:#}", read_list(&entry(find, more), "x y x").unwrap_err());
        let apply =
            |find, more| read_list(&entry(find, more), "x y x").unwrap()[0].apply("x y x").unwrap();
        assert_eq!(apply("y", ""), "x z x");
        assert_eq!(apply("x", "nth = 2"), "x y z");
        assert!(error("x", "").contains("2 times"));
        assert!(error("x", "nth = 3").contains("2 times"));
        assert!(error("x", "nth = 0").contains("2 times"));
        assert!(error("w", "").contains("not in a.rs"));
        assert!(error("z", "").contains("changes nothing"));
        assert!(error("y", "hang = true").contains("hang"));
    }

    #[test]
    fn names_are_unique() {
        let twice = entry("y", "") + &entry("y", "");
        assert!(read_list(&twice, "y").unwrap_err().to_string().contains("two mutants m"));
    }

    #[test]
    fn a_test_has_a_package_a_file_and_a_name() {
        let test: TestName = "sessile::lib::raw::word::tests::fits".parse().unwrap();
        assert_eq!((test.file.as_str(), test.name.as_str()), ("lib", "raw::word::tests::fits"));
        assert_eq!(test.to_string(), "sessile::lib::raw::word::tests::fits");
        assert!("sessile::lib".parse::<TestName>().is_err());
    }
}
