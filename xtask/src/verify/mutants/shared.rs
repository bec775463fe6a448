//! Bugs that share one build: a function with bugs chooses its body by a number from the
//! environment.
//!
//! Most bugs lie in the body of one function. There the body becomes a `match` over the number,
//! with the sound body as its last arm. The others get a build each: bugs outside of functions, and
//! in functions whose body has a type of its own (`impl Trait`) or runs at compile time.

use super::list::Mutant;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// The variable that switches a bug on.
pub(super) const VARIABLE: &str = "SESSILE_SEEDED_BUG";

/// What is added to the root of a crate with bugs.
const NUMBER: &str = r#"
/// The bug that is switched on; 0 for none.
pub(crate) fn seeded_bug() -> u32 {
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let read = || std::env::var("SESSILE_SEEDED_BUG").ok().and_then(|number| number.parse().ok());
    *NUMBER.get_or_init(|| read().unwrap_or(0))
}
"#;

/// The files with all of the bugs that can share a build, and their numbers.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) files: BTreeMap<PathBuf, String>,
    pub(super) numbers: BTreeMap<String, u32>,
}

/// The body of a function, from brace to brace.
struct Body {
    range: Range<usize>,
    /// It can have arms of one type.
    may_branch: bool,
}

impl Shared {
    /// Puts the bugs together, as far as that goes, on the source below `root`.
    pub(super) fn plan(root: &Path, mutants: &[Mutant]) -> Result<Self> {
        let mut by_file = BTreeMap::<&str, Vec<&Mutant>>::new();
        for mutant in mutants {
            by_file.entry(&mutant.file).or_default().push(mutant);
        }
        let mut shared = Self::default();
        for (file, mutants) in by_file {
            let read = |file: &Path| {
                fs::read_to_string(root.join(file))
                    .with_context(|| format!("cannot read {}", file.display()))
            };
            let source = read(Path::new(file))?;
            let text =
                shared.seed(&source, &mutants).with_context(|| format!("the bugs of {file}"))?;
            let Some(crate_root) = crate_root(root, Path::new(file)).filter(|_| text != source)
            else {
                continue;
            };
            shared.files.insert(file.into(), text);
            if let std::collections::btree_map::Entry::Vacant(entry) =
                shared.files.entry(crate_root)
            {
                let text = read(entry.key())?;
                entry.insert(text);
            }
        }
        let mut roots: Vec<_> =
            shared.files.keys().filter_map(|file| crate_root(root, file)).collect();
        roots.dedup();
        for crate_root in roots {
            shared.files.entry(crate_root).and_modify(|text| text.push_str(NUMBER));
        }
        Ok(shared)
    }

    /// The source with a choice in every function that has bugs.
    fn seed(&mut self, source: &str, mutants: &[&Mutant]) -> Result<String> {
        let bodies = bodies(source)?;
        let mut arms = BTreeMap::<usize, String>::new();
        for mutant in mutants {
            let place = mutant.place(source)?;
            let is_around =
                |body: &&Body| body.range.start < place.start && place.end < body.range.end;
            let around = bodies.iter().filter(is_around);
            let Some(body) =
                around.min_by_key(|body| body.range.len()).filter(|body| body.may_branch)
            else {
                continue;
            };
            let number = self.numbers.len() as u32 + 1;
            self.numbers.insert(mutant.name.clone(), number);
            let (before, after) =
                (&source[body.range.start..place.start], &source[place.end..body.range.end]);
            *arms.entry(body.range.start).or_default() +=
                &format!("{number} => {before}{}{after}\n", mutant.replacement());
        }
        let mut text = source.to_owned();
        // From the end, so that what is to come stays where it is.
        for (start, arms) in arms.into_iter().rev() {
            let Some(body) = bodies.iter().find(|body| body.range.start == start) else { continue };
            let sound = &source[body.range.clone()];
            text.replace_range(
                body.range.clone(),
                &format!("{{ match crate::seeded_bug() {{\n{arms}_ => {sound}\n}} }}"),
            );
        }
        Ok(text)
    }
}

/// The root of the crate that a file belongs to.
fn crate_root(root: &Path, file: &Path) -> Option<PathBuf> {
    let roots = file.ancestors().skip(1).map(|folder| folder.join("lib.rs"));
    roots.into_iter().find(|candidate| root.join(candidate).is_file())
}

/// The bodies of all functions, but for those that contain another one.
fn bodies(source: &str) -> Result<Vec<Body>> {
    struct Bodies(Vec<Body>);

    impl Bodies {
        fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let braces = block.brace_token.span;
            let range = braces.open().byte_range().start..braces.close().byte_range().end;
            let own_type = match &signature.output {
                syn::ReturnType::Type(_, returned) => quotes_impl(returned),
                syn::ReturnType::Default => false,
            };
            self.0.push(Body { range, may_branch: !own_type && signature.constness.is_none() });
        }
    }

    impl<'s> Visit<'s> for Bodies {
        fn visit_item_fn(&mut self, function: &'s syn::ItemFn) {
            self.note(&function.sig, &function.block);
            syn::visit::visit_item_fn(self, function);
        }

        fn visit_impl_item_fn(&mut self, function: &'s syn::ImplItemFn) {
            self.note(&function.sig, &function.block);
            syn::visit::visit_impl_item_fn(self, function);
        }

        fn visit_trait_item_fn(&mut self, function: &'s syn::TraitItemFn) {
            if let Some(block) = &function.default {
                self.note(&function.sig, block);
            }
            syn::visit::visit_trait_item_fn(self, function);
        }
    }

    let mut bodies = Bodies(Vec::new());
    bodies.visit_file(&syn::parse_file(source).context("it cannot be parsed")?);
    let starts: Vec<_> = bodies.0.iter().map(|body| body.range.start).collect();
    for body in &mut bodies.0 {
        let holds_another =
            starts.iter().any(|start| body.range.start < *start && *start < body.range.end);
        body.may_branch &= !holds_another;
    }
    Ok(bodies.0)
}

/// Whether a type has `impl` in it.
fn quotes_impl(returned: &syn::Type) -> bool {
    struct Search(bool);

    impl<'s> Visit<'s> for Search {
        fn visit_type_impl_trait(&mut self, _: &'s syn::TypeImplTrait) {
            self.0 = true;
        }
    }

    let mut search = Search(false);
    search.visit_type(returned);
    search.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
const fn one() -> u32 { 1 }
fn two(x: u32) -> u32 {
    // {
    x + 2
}
fn three() -> impl Fn() -> u32 { || 3 }
struct Four;
impl Four {
    fn four(&self) -> Option<u32> { let five = 4; Some(five) }
}
";

    fn planned(bugs: &[(&str, &str)]) -> (Shared, String) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "mod a;\n").unwrap();
        fs::write(folder.path().join("src/a.rs"), SOURCE).unwrap();
        let mutants: Vec<_> =
            bugs.iter().map(|(find, replace)| Mutant::of("src/a.rs", find, replace)).collect();
        let shared = Shared::plan(folder.path(), &mutants).unwrap();
        let text = shared.files.get(Path::new("src/a.rs")).cloned().unwrap_or_default();
        (shared, text)
    }

    #[test]
    fn a_function_chooses_among_its_bugs() {
        let (shared, text) = planned(&[("x + 2", "x + 3"), ("Some(five)", "None"), ("+ 2", "- 2")]);
        assert_eq!(shared.numbers.len(), 3);
        for arm in [
            "1 => {\n    // {\n    x + 3\n}",
            "3 => {\n    // {\n    x - 2\n}",
            "_ => {\n    // {\n    x + 2\n}",
        ] {
            assert!(text.contains(arm), "{arm} is not in {text}");
        }
        assert!(text.contains(
            "{ match crate::seeded_bug() {\n2 => { let five = 4; None }\n_ => { let five"
        ));
        syn::parse_file(&text).unwrap();
        assert!(shared.files[Path::new("src/lib.rs")].starts_with("mod a;\n\n/// The bug"));
    }

    #[test]
    fn what_cannot_branch_is_left_alone() {
        let (shared, _) = planned(&[("{ 1 }", "{ 2 }"), ("|| 3", "|| 4"), ("Four;", "Four();")]);
        assert!(shared.numbers.is_empty() && shared.files.is_empty());
    }
}
