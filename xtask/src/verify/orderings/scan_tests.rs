use super::super::comment::{Claim, answer};
use super::*;

fn tokens(source: &str) -> Vec<Token> {
    scan("src/x.rs", source).unwrap()
}

fn models(token: &Token) -> Vec<String> {
    match claim(token) {
        Claim::Models(models) => models,
        other => panic!("{other:?}"),
    }
}

fn claim(token: &Token) -> Claim {
    answer(&token.comment, &token.ordering, &token.ordering)
}

#[test]
fn the_nearest_comment_above_answers() {
    let found = tokens(
        "fn f() {
            // ORDERING: one. Model: `a`.
            x.load(Ordering::Acquire);
            // ORDERING: two. Model: `b`.
            let y = 1;
            x.store(y, Ordering::Release);
        }",
    );
    assert_eq!(found.len(), 2);
    assert_eq!(
        (models(&found[0]), models(&found[1])),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );
    assert_eq!(found[1].position, Position { line: 6, column: 24 });
}

#[test]
fn a_comment_answers_for_all_below_it_in_its_function_and_for_no_other_function() {
    let far = "\n            work();".repeat(NEAR_LINES + 5);
    let found = tokens(&format!(
        "impl X {{
            fn f() {{
                // ORDERING: all. Model: `a`.
                x.load(Ordering::Acquire);{far}
                x.load(Ordering::Acquire);
            }}
            fn g() {{ x.load(Ordering::Acquire); }}
        }}"
    ));
    assert_eq!(
        (models(&found[0]), models(&found[1])),
        (vec!["a".to_owned()], vec!["a".to_owned()])
    );
    assert_eq!(claim(&found[2]), Claim::Missing("it has no ORDERING comment"));
}

#[test]
fn a_comment_outside_of_functions_reaches_twelve_lines() {
    let near = tokens(
        "// ORDERING: both. Model: `a`.
        fn f() { x.load(Ordering::Acquire); }
        fn g() { x.load(Ordering::Acquire); }",
    );
    assert_eq!((models(&near[0]), models(&near[1])), (vec!["a".to_owned()], vec!["a".to_owned()]));
    let lines = "\n".repeat(NEAR_LINES + 1);
    let far = tokens(&format!(
        "// ORDERING: everything. Model: `a`.{lines}fn f() {{ x.load(Ordering::Acquire); }}"
    ));
    assert_eq!(claim(&far[0]), Claim::Missing("it has no ORDERING comment"));
}

#[test]
fn the_orderings_of_one_call_are_numbered_with_the_relaxed_ones() {
    let found = tokens(
        "fn f() {
            // ORDERING: x. Model: `a`.
            x.0.compare_exchange(a, g(b), Ordering::AcqRel, Ordering::Acquire);
            y.compare_exchange(a, b, Ordering::Relaxed, Ordering::Acquire);
            sync::fence(Ordering::SeqCst);
        }",
    );
    let seen: Vec<_> = found.iter().map(|token| (token.ordering.as_str(), token.nth)).collect();
    assert_eq!(seen, [("AcqRel", 0), ("Acquire", 1), ("Acquire", 1), ("SeqCst", 0)]);
    let name = Position { line: 3, column: 17 };
    assert_eq!((found[0].callee, found[1].callee), (Some((name, name)), Some((name, name))));
    let fence = (Position { line: 5, column: 13 }, Position { line: 5, column: 19 });
    assert_eq!(found[3].callee, Some(fence));
}

#[test]
fn macros_are_read_and_strings_and_comments_are_not() {
    let found = tokens(
        "fn f() {
            // Ordering::SeqCst ORDERING: x. Invisible: a macro.
            let text = \"Ordering::SeqCst\";
            assert!(x.load(Ordering::Acquire));
        }",
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].callee.unwrap().0, Position { line: 4, column: 23 });
    assert_eq!(claim(&found[0]), Claim::Invisible("a macro.".into()));
}

#[test]
fn tests_are_left_out_and_what_follows_them_is_not() {
    let found = tokens(
        "#[cfg(test)]
        mod tests { fn f() { x.load(Ordering::SeqCst); } }
        #[cfg(test)]
        use std::sync::atomic::Ordering;
        #[cfg(not(test))]
        fn g() { x.load(Ordering::Acquire); }",
    );
    assert_eq!(found.iter().map(|token| token.ordering.as_str()).collect::<Vec<_>>(), ["Acquire"]);
}

#[test]
fn other_names_of_the_enum_count_and_bare_variants_are_refused() {
    let found = tokens(
        "use crate::sync::{AtomicBool, untracked::{AtomicUsize, Ordering as Order}};
        fn f() { x.store(true, Order::Release); }",
    );
    assert_eq!((found.len(), found[0].ordering.as_str()), (1, "Release"));
    let error = scan("src/x.rs", "mod m { use std::sync::atomic::Ordering::{Acquire, Release}; }")
        .unwrap_err();
    assert!(error.to_string().contains("src/x.rs:1"), "{error}");
}
