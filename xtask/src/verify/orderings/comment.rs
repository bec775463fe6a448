//! `ORDERING:` comments and what they claim.
//!
//! A comment is made of paragraphs, one for each `ORDERING:`, that begin with the ordering they
//! speak of: where only one half of an `AcqRel` can be seen by models, `ORDERING: Release … Model:`
//! and `ORDERING: Acquire … Invisible:` stand together.

/// Adjacent comment lines that speak of an ordering.
#[derive(Debug, PartialEq)]
pub(super) struct Block {
    /// The last line of the comment.
    pub(super) last: usize,
    /// What it says, in one line.
    pub(super) text: String,
}

/// The blocks with `ORDERING:`, in the order of the source.
pub(super) fn blocks(source: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for (number, line) in source.lines().chain([""]).enumerate() {
        if let Some(text) = line.trim_start().strip_prefix("//") {
            lines.push(text.trim_start_matches(['/', '!']).trim());
        } else {
            let text = lines.join(" ");
            if text.contains("ORDERING:") {
                blocks.push(Block { last: number, text });
            }
            lines.clear();
        }
    }
    blocks
}

/// What is said about an ordering.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Claim {
    /// These models fail without it.
    Models(Vec<String>),
    /// No model can see it, for this reason.
    Invisible(String),
    /// There is no comment, or it names neither.
    Missing(&'static str),
}

/// One `ORDERING:` of a comment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Paragraph {
    /// Its first word, the ordering that it is about if the comment has several.
    about: String,
    claim: Claim,
}

/// The paragraphs of a comment.
pub(super) fn paragraphs(text: &str) -> Vec<Paragraph> {
    let of = |text: &str| {
        let about = text
            .split(|character: char| !character.is_alphanumeric())
            .find(|word| !word.is_empty());
        Paragraph { about: about.unwrap_or_default().into(), claim: claim(text) }
    };
    text.split("ORDERING:").skip(1).map(of).collect()
}

/// The claim that answers for losing one half, `lost`, of an ordering.
pub(super) fn answer(paragraphs: &[Paragraph], ordering: &str, lost: &str) -> Claim {
    match paragraphs {
        [] => Claim::Missing("it has no ORDERING comment"),
        [only] => only.claim.clone(),
        several => {
            let about = |word: &str| several.iter().find(|paragraph| paragraph.about == word);
            about(lost).or_else(|| about(ordering)).map_or(
                Claim::Missing("no paragraph of its comment begins with this ordering"),
                |paragraph| paragraph.claim.clone(),
            )
        }
    }
}

/// The names after each `Model:`, or the sentence after `Invisible:`.
fn claim(text: &str) -> Claim {
    let models: Vec<_> = text.split("Model:").skip(1).flat_map(names).collect();
    let invisible = text.split_once("Invisible:").map(|(_, reason)| reason.trim());
    match (models.is_empty(), invisible) {
        (false, None) => Claim::Models(models),
        (true, Some("")) => Claim::Missing("its comment gives no reason after `Invisible:`"),
        (true, Some(reason)) => Claim::Invisible(reason.into()),
        (false, Some(_)) => Claim::Missing("its comment has both `Model:` and `Invisible:`"),
        (true, None) => Claim::Missing("its comment has neither `Model:` nor `Invisible:`"),
    }
}

/// The names in backticks at the beginning of a text, between commas and `and`.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        names.push(name.to_owned());
        rest = after.trim_start().trim_start_matches(',').trim_start();
        rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_joined_and_ends_with_its_last_line() {
        let source = "// ORDERING: Acquire: a\n    // b. Model: `m`.\nlet x;\n// other\n\n/// doc ORDERING: c\n";
        let text = "ORDERING: Acquire: a b. Model: `m`.".to_owned();
        assert_eq!(
            blocks(source),
            [Block { last: 2, text }, Block { last: 6, text: "doc ORDERING: c".into() }]
        );
    }

    #[test]
    fn all_models_of_all_sentences_count() {
        let models = |text| match claim(text) {
            Claim::Models(models) => models,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            models("ORDERING: x `y`. Model: `a`, `b` and `c`, see `d`. z."),
            ["a", "b", "c"]
        );
        assert_eq!(models("ORDERING: Release: x. Model: `a`. Acquire: y. Model: `b`."), ["a", "b"]);
    }

    #[test]
    fn each_half_of_an_ordering_has_its_paragraph() {
        let both =
            paragraphs("ORDERING: Release: x. Model: `a`. ORDERING: Acquire: y. Invisible: z.");
        assert_eq!(answer(&both, "AcqRel", "Release"), Claim::Models(vec!["a".into()]));
        assert_eq!(answer(&both, "AcqRel", "Acquire"), Claim::Invisible("z.".into()));
        assert!(matches!(answer(&both, "SeqCst", "SeqCst"), Claim::Missing(_)));
        let one = paragraphs("ORDERING: AcqRel: x. Model: `a`.");
        assert_eq!(answer(&one, "AcqRel", "Acquire"), Claim::Models(vec!["a".into()]));
        assert!(matches!(answer(&[], "AcqRel", "Acquire"), Claim::Missing(_)));
    }

    #[test]
    fn an_invisible_site_needs_a_reason_and_no_model() {
        assert_eq!(claim("ORDERING: x. Invisible: a fence."), Claim::Invisible("a fence.".into()));
        for text in
            ["ORDERING: x.", "ORDERING: x. Invisible: ", "Model: `a`. Invisible: b.", "Model: a"]
        {
            assert!(matches!(claim(text), Claim::Missing(_)), "{text}");
        }
    }
}
