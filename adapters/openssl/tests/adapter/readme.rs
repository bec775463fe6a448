//! The README's table "OpenSSL → Sessile": complete, and no row without a test that exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The calls and flags that the table must have a row for.
const VOCABULARY: [&str; 38] = [
    "SSL_SESSION *",
    "SSL_SESSION_up_ref",
    "SSL_SESSION_free",
    "SSL_CTX_add_session",
    "SSL_add_session",
    "SSL_CTX_remove_session",
    "SSL_remove_session",
    "SSL_CTX_sess_set_cache_size",
    "SSL_CTX_sess_get_cache_size",
    "SSL_CTX_sessions",
    "SSL_CTX_flush_sessions",
    "SSL_CTX_set_timeout",
    "SSL_CTX_get_timeout",
    "SSL_SESSION_set_timeout",
    "SSL_SESSION_set_time",
    "SSL_SESSION_is_resumable",
    "SSL_CTX_set_session_id_context",
    "SSL_CTX_sess_set_new_cb",
    "SSL_CTX_sess_set_get_cb",
    "SSL_CTX_sess_set_remove_cb",
    "SSL_CTX_set_session_cache_mode",
    "SSL_SESS_CACHE_OFF",
    "SSL_SESS_CACHE_CLIENT",
    "SSL_SESS_CACHE_SERVER",
    "SSL_SESS_CACHE_BOTH",
    "SSL_SESS_CACHE_NO_AUTO_CLEAR",
    "SSL_SESS_CACHE_NO_INTERNAL_LOOKUP",
    "SSL_SESS_CACHE_NO_INTERNAL_STORE",
    "SSL_SESS_CACHE_NO_INTERNAL",
    "SSL_SESS_CACHE_UPDATE_TIME",
    "SSL_CTX_sess_number",
    "SSL_CTX_sess_connect",
    "SSL_CTX_sess_accept",
    "SSL_CTX_sess_hits",
    "SSL_CTX_sess_cb_hits",
    "SSL_CTX_sess_misses",
    "SSL_CTX_sess_timeouts",
    "SSL_CTX_sess_cache_full",
];

struct Row {
    openssl: String,
    sessile: String,
    tests: Vec<String>,
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of every table whose head begins with "OpenSSL".
fn rows(readme: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut is_inside = false;
    for line in readme.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        match cells[..] {
            ["OpenSSL", ..] => is_inside = true,
            [openssl, sessile, tests] if is_inside && line.starts_with('|') => rows.push(Row {
                openssl: openssl.to_owned(),
                sessile: sessile.to_owned(),
                tests: quoted(tests),
            }),
            _ if line.starts_with("|---") => {}
            _ => is_inside = false,
        }
    }
    rows
}

/// The names of all tests of this crate.
fn tests() -> BTreeSet<String> {
    fn read(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, text);
            } else {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut text);
    let after_attribute = text.split("#[test]\nfn ").skip(1);
    after_attribute.filter_map(|rest| rest.split('(').next()).map(str::to_owned).collect()
}

/// What is wrong with a table.
fn complaints(readme: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(readme);
    let words: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row.openssl)).collect();
    let missing = VOCABULARY.iter().filter(|word| !words.contains(**word));
    let mut complaints: Vec<_> = missing.map(|word| format!("no row for {word}")).collect();
    for row in &rows {
        if row.tests.is_empty() || row.sessile.is_empty() {
            complaints.push(format!("{} has an empty cell", row.openssl));
        }
        let unknown = row.tests.iter().filter(|test| !tests.contains(*test));
        complaints
            .extend(unknown.map(|test| format!("{} names {test}, which is no test", row.openssl)));
    }
    complaints
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn every_row_names_a_test_that_exists() {
    let complaints = complaints(&readme(), &tests());
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(rows(&readme()).len() >= VOCABULARY.len() / 2);
}

#[test]
fn a_wrong_table_is_complained_about() {
    let tests = tests();
    let readme = readme();
    let first = "libssl_and_sessile_do_the_same";
    assert!(tests.contains(first));
    assert!(!complaints(&readme.replace(first, "nowhere_to_be_found"), &tests).is_empty());
    assert!(!complaints(&readme.replace("`SSL_CTX_sess_misses`", ""), &tests).is_empty());
    assert!(complaints("", &tests).len() == VOCABULARY.len());
}
