//! The orderings that a source file names, each with the comment that answers for it.
//!
//! The source is read as tokens, so that strings and comments hold no orderings and a macro's
//! arguments do. For each `Ordering::X` stronger than `Relaxed` the scanner notes the call that it
//! is an argument of, how many orderings stand before it there, and the nearest `ORDERING:` comment
//! above: in the same function at any distance, or outside of all functions at most [`NEAR_LINES`]
//! lines away.

use super::comment::{self, Block, Paragraph};
use crate::verify::site::Position;
use anyhow::{Result, anyhow, bail};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use std::ops::RangeInclusive;

/// A comment this far above answers for an ordering even from outside its function.
const NEAR_LINES: usize = 12;

const STRONG: [&str; 4] = ["Acquire", "Release", "AcqRel", "SeqCst"];

/// One ordering in the source.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) file: String,
    pub(super) position: Position,
    pub(super) ordering: String,
    /// Orderings before it in the same call.
    pub(super) nth: usize,
    /// From where to where the name of the called function reaches; `None` outside of calls.
    pub(super) callee: Option<(Position, Position)>,
    /// What the comment above says.
    pub(super) comment: Vec<Paragraph>,
}

/// All strong orderings of one file.
pub(super) fn scan(file: &str, source: &str) -> Result<Vec<Token>> {
    let stream: TokenStream =
        source.parse().map_err(|error| anyhow!("{file} cannot be read: {error}"))?;
    let mut scanner = Scanner {
        file,
        names: vec!["Ordering".into()],
        blocks: comment::blocks(source),
        functions: Vec::new(),
        tokens: Vec::new(),
    };
    scanner.uses(&stream)?;
    scanner.functions(&stream);
    scanner.walk(&stream, None);
    Ok(scanner.tokens)
}

struct Scanner<'a> {
    file: &'a str,
    /// `Ordering`, and what it is imported as.
    names: Vec<String>,
    blocks: Vec<Block>,
    /// The lines of every function's body.
    functions: Vec<RangeInclusive<usize>>,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    /// Notes other names of `Ordering`, and refuses bare variants, which nobody would find.
    fn uses(&mut self, stream: &TokenStream) -> Result<()> {
        let trees: Vec<_> = stream.clone().into_iter().collect();
        for (at, tree) in trees.iter().enumerate() {
            if let TokenTree::Group(group) = tree {
                self.uses(&group.stream())?;
            }
            if is_ident(Some(tree), "use") {
                let end = trees[at..].iter().position(|tree| is_punct(Some(tree), ';'));
                let mut names = Vec::new();
                flatten(&trees[at..at + end.unwrap_or(0)], &mut names);
                for (nth, tree) in
                    names.iter().enumerate().filter(|(_, tree)| is_ident(Some(tree), "Ordering"))
                {
                    if is_ident(names.get(nth + 1), "as") {
                        self.names.extend(names.get(nth + 2).map(ToString::to_string));
                    } else if is_punct(names.get(nth + 1), ':') {
                        let line = start(tree).line;
                        bail!("{}:{line}: import `Ordering` and not its variants", self.file);
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes where functions have their bodies.
    fn functions(&mut self, stream: &TokenStream) {
        let mut is_signature = false;
        let mut trees = stream.clone().into_iter().peekable();
        while let Some(tree) = trees.next() {
            if is_ident(Some(&tree), "fn") {
                is_signature = matches!(trees.peek(), Some(TokenTree::Ident(_)));
            } else if is_punct(Some(&tree), ';') {
                is_signature = false;
            } else if let TokenTree::Group(group) = &tree {
                if is_signature && group.delimiter() == Delimiter::Brace {
                    self.functions
                        .push(group.span_open().start().line..=group.span_close().end().line);
                    is_signature = false;
                }
                self.functions(&group.stream());
            }
        }
    }

    /// Notes the orderings among the arguments of `callee`.
    fn walk(&mut self, stream: &TokenStream, callee: Option<(Position, Position)>) {
        let trees: Vec<_> = stream.clone().into_iter().collect();
        let mut nth = 0;
        let mut at = 0;
        while at < trees.len() {
            if let Some(length) = test_item(&trees[at..]) {
                at += length;
                continue;
            }
            match &trees[at] {
                TokenTree::Group(group) => self.walk(&group.stream(), called(&trees[..at], group)),
                TokenTree::Ident(name) if self.names.iter().any(|known| name == known) => {
                    if let Some(ordering) = variant(&trees[at + 1..]) {
                        if STRONG.iter().any(|strong| ordering == strong) {
                            self.note(name, ordering, nth, callee);
                        }
                        nth += 1;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn note(
        &mut self,
        name: &Ident,
        ordering: &Ident,
        nth: usize,
        callee: Option<(Position, Position)>,
    ) {
        let position = start(&TokenTree::Ident(name.clone()));
        self.tokens.push(Token {
            file: self.file.into(),
            position,
            ordering: ordering.to_string(),
            nth,
            callee,
            comment: self.comment(position.line),
        });
    }

    fn comment(&self, line: usize) -> Vec<Paragraph> {
        let own = self.function_around(line);
        let above = self.blocks.iter().rev().filter(|block| block.last < line);
        let mut answering = above.filter(|block| {
            let around = self.function_around(block.last);
            around == own && own.is_some()
                || around.is_none_or(|around| around.contains(&line))
                    && line - block.last <= NEAR_LINES
        });
        answering.next().map_or(Vec::new(), |block| comment::paragraphs(&block.text))
    }

    /// The innermost function body around a line.
    fn function_around(&self, line: usize) -> Option<&RangeInclusive<usize>> {
        let around = self.functions.iter().filter(|lines| lines.contains(&line));
        around.min_by_key(|lines| lines.end() - lines.start())
    }
}

/// The name of the function whose arguments `group` holds, with its path.
fn called(before: &[TokenTree], group: &Group) -> Option<(Position, Position)> {
    if group.delimiter() != Delimiter::Parenthesis {
        return None;
    }
    let TokenTree::Ident(name) = before.last()? else { return None };
    let mut first = before.len() - 1;
    while first >= 3
        && is_punct(before.get(first - 1), ':')
        && is_punct(before.get(first - 2), ':')
        && matches!(before[first - 3], TokenTree::Ident(_))
    {
        first -= 3;
    }
    Some((start(&before[first]), start(&TokenTree::Ident(name.clone()))))
}

/// `::X` after the name of the enum.
fn variant(after: &[TokenTree]) -> Option<&Ident> {
    match after {
        [first, second, TokenTree::Ident(variant), ..]
            if is_punct(Some(first), ':') && is_punct(Some(second), ':') =>
        {
            Some(variant)
        }
        _ => None,
    }
}

/// The length of an item that is compiled for tests only, if one begins here.
fn test_item(trees: &[TokenTree]) -> Option<usize> {
    let [hash, TokenTree::Group(attribute), rest @ ..] = trees else { return None };
    let text: String = attribute.to_string().split_whitespace().collect();
    if !is_punct(Some(hash), '#') || !(text == "[cfg(test)]" || text.starts_with("[cfg(all(test,"))
    {
        return None;
    }
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        tree => is_punct(Some(tree), ';'),
    };
    Some(3 + rest.iter().position(ends)?)
}

/// The trees of a `use`, with those of its groups in place.
fn flatten(trees: &[TokenTree], into: &mut Vec<TokenTree>) {
    for tree in trees {
        match tree {
            TokenTree::Group(group) => {
                flatten(&group.stream().into_iter().collect::<Vec<_>>(), into)
            }
            tree => into.push(tree.clone()),
        }
    }
}

fn is_ident(tree: Option<&TokenTree>, text: &str) -> bool {
    matches!(tree, Some(TokenTree::Ident(ident)) if ident == text)
}

fn is_punct(tree: Option<&TokenTree>, character: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

/// Where a tree begins, counted as the compiler prints it.
fn start(tree: &TokenTree) -> Position {
    let start = tree.span().start();
    Position { line: start.line, column: start.column + 1 }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
