//! Whose word an access is to: found by the type in whose method it stands.
//!
//! A thread's own words are written by that thread in steady state, and looked at by others once a
//! batch at most: its counters, its spare permits, its sample cursor, its tick counter, its limbo. All else is
//! shared: slots, publication words, permits, settings, and a session's count and dates, which
//! belong to whoever holds it next.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned;
use syn::{Item, Type};

/// The types whose words are a thread's own.
const OF_THREAD: [(&str, &str); 7] = [
    ("src/sync/single_writer.rs", "SingleWriterCounter"),
    ("src/cache/budget/permits.rs", "Spare"),
    ("src/cache/eviction/victim.rs", "SampleCursor"),
    ("src/cache/eviction/clock.rs", "TickCounter"),
    ("src/reclaim/limbo.rs", "Limbo"),
    ("src/reclaim/limbo.rs", "LimboLock"),
    ("src/reclaim/overflow.rs", "OverflowStack"),
];

/// What an access belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    file: String,
    /// A type, or a function outside of all types.
    pub(super) name: String,
}

impl Owner {
    pub(super) fn is_thread(&self) -> bool {
        OF_THREAD.contains(&(&self.file, &self.name))
    }
}

/// The sources, read as they are asked for.
pub(super) struct Owners {
    root: PathBuf,
    sources: BTreeMap<String, String>,
}

impl Owners {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), sources: BTreeMap::new() }
    }

    /// The owner of the access at `line`, counted from one.
    pub(super) fn of(&mut self, file: &str, line: usize) -> Result<Owner> {
        if !self.sources.contains_key(file) {
            let path = self.root.join(file);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            self.sources.insert(file.to_owned(), text);
        }
        let name = item_at(&self.sources[file], line)?;
        let name = name.with_context(|| format!("{file}:{line} is in no item"))?;
        Ok(Owner { file: file.to_owned(), name })
    }
}

/// The name of the item in which a line of source stands: of an `impl`, its type.
fn item_at(source: &str, line: usize) -> Result<Option<String>> {
    let items = syn::parse_file(source).context("it cannot be parsed")?.items;
    let is_around = |item: &&Item| {
        let span = item.span();
        (span.start().line..=span.end().line).contains(&line)
    };
    Ok(items.iter().find(is_around).and_then(name_of))
}

fn name_of(item: &Item) -> Option<String> {
    match item {
        Item::Fn(function) => Some(function.sig.ident.to_string()),
        Item::Impl(block) => match &*block.self_ty {
            Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::root;

    const SOURCE: &str = "\
impl<B: super::Reclaim, F: Fn(u8) -> Word<B>> Limbo<B> {
    fn a() {}
}

impl<T> Drop for session::Handle<'_, T>
where
    T: Send,
{
    fn drop(&mut self) {}
}

pub(crate) fn alone(word: &AtomicU64) {
    word.load();
}
";

    #[test]
    fn the_item_around_a_line_is_named() {
        let name = |line| item_at(SOURCE, line).unwrap().unwrap();
        assert_eq!([name(2), name(9), name(13)], ["Limbo", "Handle", "alone"]);
        assert_eq!(item_at("use std::mem;\n", 1).unwrap(), None);
    }

    #[test]
    fn the_types_of_a_thread_are_in_the_source() {
        for (file, name) in OF_THREAD {
            let source = fs::read_to_string(root().join(file)).unwrap();
            let items = syn::parse_file(&source).unwrap().items;
            let found = items.iter().filter_map(name_of).any(|item| item == name);
            assert!(found, "{file} has no {name}");
        }
    }

    #[test]
    fn spares_are_a_threads_own_and_permits_are_not() {
        const PERMITS: &str = "src/cache/budget/permits.rs";
        let source = fs::read_to_string(root().join(PERMITS)).unwrap();
        let line = |text: &str| 1 + source.lines().position(|line| line.starts_with(text)).unwrap();
        let mut owners = Owners::new(root());
        assert!(owners.of(PERMITS, line("impl Spare") + 2).unwrap().is_thread());
        assert!(!owners.of(PERMITS, line("impl Permits") + 2).unwrap().is_thread());
    }
}
