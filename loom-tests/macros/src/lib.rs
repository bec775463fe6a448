//! The attribute of a model. Its documentation is that of `loom_tests::model`.

#![forbid(unsafe_code)]

use proc_macro::{Delimiter, Group, Punct, Spacing, TokenStream, TokenTree};

/// Makes a function a test that searches it as the model of its name. The arguments are methods of
/// `loom_tests::Model`: `#[model(preemptions(2), tracks(&[REGISTRY]))]`.
///
/// # Panics
/// When it does not stand at a function.
#[proc_macro_attribute]
pub fn model(methods: TokenStream, function: TokenStream) -> TokenStream {
    let mut head: Vec<_> = function.into_iter().collect();
    let body = head.pop().expect("a function has a body");
    let is_fn =
        |tree: &TokenTree| matches!(tree, TokenTree::Ident(ident) if ident.to_string() == "fn");
    let name = head.iter().skip_while(|tree| !is_fn(tree)).nth(1).expect("a function has a name");

    let mut search = tokens(&format!("::loom_tests::Model::new(\"{name}\")"));
    if !methods.is_empty() {
        search.extend(tokens("."));
        search.extend(methods.into_iter().map(|tree| match tree {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                Punct::new('.', Spacing::Alone).into()
            }
            other => other,
        }));
    }
    search.extend(tokens(".check"));
    let mut scenario = tokens("||");
    scenario.extend([body]);
    search.extend([group(Delimiter::Parenthesis, scenario)]);

    let mut test = tokens("#[test]");
    test.extend(head);
    test.extend([group(Delimiter::Brace, search)]);
    test
}

fn tokens(text: &str) -> TokenStream {
    text.parse().expect("tokens")
}

fn group(delimiter: Delimiter, inside: TokenStream) -> TokenTree {
    TokenTree::Group(Group::new(delimiter, inside))
}
